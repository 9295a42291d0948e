--- Answers that two readers could understand in two ways, and answers without end: each is refused as `protocol`, and
-- its connection is closed and not used for anything else.

local openresty = require("support.openresty")

-- The other end: it sends the bytes that were left for it, keeps the connection open, and notes how it ends.
local SERVER = [[
location /raw {
  content_by_lua_block {
    local dict, id = ngx.shared.attacks, ngx.var.arg_id
    local socket = assert(ngx.req.socket(true))
    socket:send(dict:get("bytes " .. id))
    local size = dict:get("size " .. id)
    for sent = 1, size or 0, 65536 do
      if not socket:send(("h"):rep(65536)) then break end
    end
    socket:settimeout(5000)
    repeat
      local bytes, problem = socket:receiveany(4096)
      if bytes then dict:incr("more " .. id, #bytes, 0) end
      problem = problem == "connection reset by peer" and "closed" or problem
      if not bytes then dict:set("end " .. id, problem) end
    until not bytes
  }
}
]]

-- Sends a request to it. Returns the kind, phase and message of a failure, or "answered" and the body; how the
-- connection ended; and how many more bytes came over it.
local CHUNK = [[
local url, bytes, size, method, timeout_ms, gzip = ...
local dict = ngx.shared.attacks
local id = tostring(dict:incr("count", 1, 0))
dict:set("bytes " .. id, bytes)
if size then dict:set("size " .. id, size) end
local transport = require("paciolan.transport.nginx").new { max_answer_bytes = 100000 }
local request = { method = method or "GET", url = url .. "/raw?id=" .. id, timeout_ms = timeout_ms or 10000 }
request.gzip = gzip
local answer, failure = transport:send(request)
local ending
for _ = 1, 400 do
  ending = dict:get("end " .. id)
  if ending then break end
  ngx.sleep(0.005)
end
if answer then
  failure = { kind = "answered", phase = answer.status, message = answer.body }
end
return failure.kind, failure.phase, failure.message, ending, dict:get("more " .. id)
]]

local OK = "HTTP/1.1 200 OK\r\n"
local CHUNKED = OK .. "Transfer-Encoding: chunked\r\n\r\n"

describe("the nginx transport, given a crooked answer,", function()
  local server

  setup(function()
    server = openresty.start { http = "lua_shared_dict attacks 8m;", server = SERVER }
  end)

  teardown(function()
    openresty.stop_all()
  end)

  local function attack(bytes, size, method, timeout_ms, gzip)
    return server:run(CHUNK, server.url, bytes, size, method, timeout_ms, gzip)
  end

  local refused = {
    { "both length headers", OK .. "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
    { "both, the other way round", OK .. "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n" },
    { "two lengths", OK .. "Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc" },
    { "the same length twice", OK .. "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab" },
    { "a list of lengths", OK .. "Content-Length: 2, 2\r\n\r\nab" },
    { "a signed length", OK .. "Content-Length: +2\r\n\r\nab" },
    { "a negative length", OK .. "Content-Length: -2\r\n\r\nab" },
    { "a hexadecimal length", OK .. "Content-Length: 0x2\r\n\r\nab" },
    { "a length with a blank within", OK .. "Content-Length: 2 2\r\n\r\nab" },
    { "a length with a fraction", OK .. "Content-Length: 2.0\r\n\r\nab" },
    { "an empty length", OK .. "Content-Length:\r\n\r\nab" },
    { "a length of 64 bits and more", OK .. "Content-Length: 18446744073709551618\r\n\r\nab" },
    { "a length over the cap", OK .. "Content-Length: 100001\r\n\r\nab" },
    { "a length that ends in a vertical tab", OK .. "Content-Length: 2\11\r\n\r\nab" },
    { "another transfer coding", OK .. "Transfer-Encoding: gzip\r\n\r\nab" },
    { "gzip and chunked", OK .. "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" },
    { "chunked twice", OK .. "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
    { "chunked and something else", OK .. "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" },
    { "chunked with a vertical tab", OK .. "Transfer-Encoding: \11chunked\r\n\r\n0\r\n\r\n" },
    { "xchunked", OK .. "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" },
    { "chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
    { "a chunk size that is none", CHUNKED .. "zz\r\n" },
    { "an empty chunk size", CHUNKED .. "\r\nab\r\n0\r\n\r\n" },
    { "a signed chunk size", CHUNKED .. "+2\r\nab\r\n0\r\n\r\n" },
    { "a negative chunk size", CHUNKED .. "-2\r\nab\r\n0\r\n\r\n" },
    { "a chunk size with 0x", CHUNKED .. "0x2\r\nab\r\n0\r\n\r\n" },
    { "a blank before a chunk size", CHUNKED .. " 2\r\nab\r\n0\r\n\r\n" },
    { "a blank behind a chunk size", CHUNKED .. "2 \r\nab\r\n0\r\n\r\n" },
    { "a chunk size with words behind it", CHUNKED .. "2 x\r\nab\r\n0\r\n\r\n" },
    { "a chunk size of 16 digits", CHUNKED .. "0000000000000002\r\nab\r\n0\r\n\r\n" },
    { "a chunk size that would overflow", CHUNKED .. "ffffffffffffffff\r\n" },
    { "a chunk over the cap", CHUNKED .. "186a1\r\n" },
    { "chunks that pass the cap together", CHUNKED .. "1869f\r\n" .. ("x"):rep(99999) .. "\r\n2\r\nab\r\n" },
    { "a chunk longer than its size", CHUNKED .. "2\r\nabc\r\n0\r\n\r\n" },
    { "a chunk that ends in LF", CHUNKED .. "2\r\nab\n0\r\n\r\n" },
    { "a chunk size that ends in LF", CHUNKED .. "2\nab\r\n0\r\n\r\n" },
    { "a NUL in a chunk extension", CHUNKED .. "2;a=\0b\r\nab\r\n0\r\n\r\n" },
    { "a CR in a chunk extension", CHUNKED .. "2;a=\rb\r\nab\r\n0\r\n\r\n" },
    { "a trailer that is no header", CHUNKED .. "0\r\nno colon\r\n\r\n" },
    { "a head with line ends of LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nab" },
    { "one line that ends in LF", OK .. "X: a\nContent-Length: 2\r\n\r\nab" },
    { "a CR in a value", OK .. "X: a\rContent-Length: 5\r\nContent-Length: 2\r\n\r\nab" },
    { "two CRs before the LF", OK .. "Content-Length: 2\r\r\n\r\nab" },
    { "a NUL in a value", OK .. "X: a\0b\r\nContent-Length: 2\r\n\r\nab" },
    { "a NUL in a name", OK .. "X\0Y: b\r\nContent-Length: 2\r\n\r\nab" },
    { "an escape character in a value", OK .. "X: \27[2J\r\nContent-Length: 2\r\n\r\nab" },
    { "a blank before the colon", OK .. "Content-Length : 2\r\n\r\nab" },
    { "a tab before the colon", OK .. "Transfer-Encoding\t: chunked\r\nContent-Length: 2\r\n\r\nab" },
    { "a blank before the name", OK .. " Content-Length: 2\r\n\r\nab" },
    { "a folded line", OK .. "X: a\r\n b\r\nContent-Length: 2\r\n\r\nab" },
    { "a folded length", OK .. "Content-Length:\r\n 2\r\n\r\nab" },
    { "a line without a colon", OK .. "Content-Length 2\r\n\r\nab" },
    { "a line without a name", OK .. ": 2\r\nContent-Length: 2\r\n\r\nab" },
    { "a name that is no token", OK .. "Content(Length): 2\r\n\r\nab" },
    { "a name beyond ASCII", OK .. "Content-L\195\169ngth: 2\r\n\r\nab" },
    { "HTTP/2.0 in a status line", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nab" },
    { "HTTP/1.2", "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nab" },
    { "a small http", "http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab" },
    { "two blanks in the status line", "HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nab" },
    { "a tab in the status line", "HTTP/1.1\t200 OK\r\nContent-Length: 2\r\n\r\nab" },
    { "a status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nab" },
    { "a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nab" },
    { "a status of zeros", "HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nab" },
    { "a CR in the reason", "HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nab" },
    { "an empty line first", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab" },
    { "a banner first", "220 ready\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab" },
    { "TLS on a plain port", "\21\3\1\0\2\2\70" },
    { "a change of protocol", "HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nPRI" },
    { "an interim answer with a body", "HTTP/1.1 103 Hints\r\nContent-Length: 5\r\n\r\nhello" },
    { "an interim answer in chunks", "HTTP/1.1 103 Hints\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
    { "interim answers without end", ("HTTP/1.1 100 Continue\r\n\r\n"):rep(300) },
    { "a header of 300 KB", OK .. "X: ", 300 * 1000 },
    { "a header of 10 MB", OK .. "X: ", 10 * 1024 * 1024 },
    { "a status line of 10 MB", "HTTP/1.1 200 ", 10 * 1024 * 1024 },
    { "a chunk extension of 1 MB", CHUNKED .. "2;", 1024 * 1024 },
    { "trailers of 1 MB", CHUNKED .. "0\r\nX: ", 1024 * 1024 },
    { "a body of 10 MB without a length", OK .. "\r\n", 10 * 1024 * 1024 },
    { "a thousand headers", OK .. ("X: y\r\n"):rep(1000) .. "\r\n" },
  }
  for _, row in ipairs(refused) do
    it("refuses " .. row[1] .. " and closes the connection", function()
      local kind, phase, message, ending, more = attack(row[2], row[3])
      assert.equal("protocol", kind)
      assert.equal("unknown", phase)
      assert.is_true(#message > 10 and not message:find("[%c\128-\255]"))
      assert.equal("closed", ending)
      assert.is_nil(more)
    end)
  end

  local no_body = OK:gsub("200", "204") .. "Content-Length: 2\r\n\r\nab"
  local accepted = {
    { "bytes behind the body", OK .. "Content-Length: 2\r\n\r\nabHTTP/1.1 401 No\r\n\r\n", 200, "ab" },
    { "a second answer behind the last chunk", CHUNKED .. "2\r\nab\r\n0\r\n\r\n" .. OK .. "\r\n", 200, "ab" },
    { "a 204 with a body", no_body, 204, "" },
    { "a 304 with a length and more bytes", "HTTP/1.1 304 Same\r\nContent-Length: 2\r\n\r\nab", 304, "" },
    { "a HEAD with a body", OK .. "Content-Length: 2\r\n\r\nab", 200, "", "HEAD" },
  }
  for _, row in ipairs(accepted) do
    it("takes one answer of " .. row[1] .. " and closes the connection", function()
      local kind, status, body, ending, more = attack(row[2], nil, row[5])
      assert.equal("answered", kind)
      assert.equal(row[3], status)
      assert.equal(row[4], body)
      assert.equal("closed", ending)
      assert.is_nil(more)
    end)
  end

  it("gives up a head without end in time", function()
    local kind, phase, _, ending = attack(OK .. "X: y\r\n", nil, nil, 100)
    assert.equal("timeout", kind)
    assert.equal("unknown", phase)
    assert.equal("closed", ending)
  end)

  it("refuses an encoding that was not asked for, but hands on what it did not ask about", function()
    local answer = OK .. "Content-Encoding: br\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab"
    assert.equal("protocol", (attack(answer, nil, nil, nil, true)))
    assert.same({ "answered", 200, "ab", "closed" }, { attack(answer) })
  end)

  it("logs nothing", function()
    assert.equal("", server:errors())
  end)
end)
