--- `bin/paciolan login` as a process: where the code may come from, what is kept and who may read it, and that a code
-- is not spent when its pair could not be kept.

local cjson = require("cjson").new()
local files = require("support.files")
local folder = require("support.folder")
local httpd = require("paciolan.httpd")
local paciolan = require("paciolan")
local program = require("support.program")
local redis = require("support.redis")
local sandboxes = require("paciolan.sandbox.child")
local socket = require("socket")

describe("paciolan login", function()
  local box, place, path

  setup(function()
    box = sandboxes.start { seed = "login" }
  end)

  teardown(function()
    box:stop()
  end)

  before_each(function()
    box:control("POST", "/_sandbox/reset")
    place = folder.make()
    path = place .. "/the tokens.db"
  end)

  after_each(function()
    redis.stop_all()
    program.stop_all()
    folder.remove_all()
  end)

  -- The environment of a client, as words for `env`. An empty variable counts as not set.
  local function environment(changes)
    local variables = {
      PACIOLAN_BASE_URL = box.base_url, PACIOLAN_APPLICATION_ID = box.application_id, PACIOLAN_API_KEY = box.api_key,
      PACIOLAN_CHANNEL_CODE = box.channel_code, PACIOLAN_ORGANIZATION_ID = box.organization_id,
      PACIOLAN_AUTH_CODE = "", PACIOLAN_STORE = "", PACIOLAN_REFRESH_TOKEN = "", PACIOLAN_ACCESS_TOKEN = "",
    }
    for name, value in pairs(changes or {}) do
      variables[name] = value
    end
    return program.environment(variables)
  end

  local function command(arguments, changes)
    return ("env %s bin/paciolan login %s"):format(environment(changes), arguments or "")
  end

  local function store_option(name)
    return "--store " .. program.words { "sqlite:" .. (name or path) }
  end

  -- Exit code, output, problems.
  local function log_in(arguments, changes)
    return program.run(command(arguments or store_option(), changes))
  end

  local function with_code(changes)
    changes = changes or {}
    changes.PACIOLAN_AUTH_CODE = changes.PACIOLAN_AUTH_CODE or box.auth_code
    return changes
  end

  local function counts()
    return box:control("GET", "/_sandbox/ledger").tokens
  end

  local function assert_unspent()
    assert.same({ exchanged = 0, refreshed = 0, refused = 0, families_revoked = 0 }, counts())
  end

  local function mode_of(name)
    local code, output, problems = program.run("stat -c %a " .. program.words { name })
    assert.equal(0, code, problems)
    return output:match("%d+")
  end

  local function chmod(mode, name)
    assert.equal(0, (program.run(("chmod %s %s"):format(mode, program.words { name }))))
  end

  -- What the store keeps, all in one text.
  local function kept()
    local store = assert(paciolan.store.sqlite(path))
    local texts = {}
    for i, item in ipairs(assert(store:list(""))) do
      texts[i] = table.concat(item, "\n")
    end
    store:close()
    return table.concat(texts, "\n")
  end

  -- The tokens that the store keeps.
  local function secrets()
    local found = { box.api_key, box.auth_code }
    for _, name in ipairs { "accessToken", "refreshToken" } do
      found[#found + 1] = assert(kept():match('"' .. name .. '":"([^"]+)"'), name)
    end
    return found
  end

  local function assert_quiet(...)
    local told = table.concat({ ... }, "\n")
    for _, secret in ipairs(secrets()) do
      assert.is_nil(told:find(secret, 1, true))
    end
  end

  -- A program of somebody who knows nothing of the code.
  local SELLER = [[
    local link = require("paciolan").from_env {}
    local seats = assert(link.listings:get("A3qnemZ"))[1].tickets[1].seats
    assert(link.tickets:lock { source = "MY_ACCOUNT",
      listing = { externalListingId = "L-1", tokens = { seats[1].token } } })
    link:close()
    print("sold")
  ]]

  local function sell()
    return program.run(("env %s %s"):format(environment { PACIOLAN_STORE = "sqlite:" .. path },
      program.words { program.lua, "-e", SELLER }))
  end

  describe("keeps the pair", function()
    it("of a code from the environment, for its user only, and tells no token", function()
      local code, output, problems = log_in(nil, with_code())
      assert.equal(0, code, problems)
      assert.equal("", problems)
      assert.truthy(output:find("stored in " .. path .. ".\n", 1, true), output)
      assert.truthy(output:find("valid until %d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d UTC"), output)
      assert.truthy(output:find("A refresh token came", 1, true), output)
      assert.equal("600", mode_of(path))
      assert_quiet(output)
      assert.same({ exchanged = 1, refreshed = 0, refused = 0, families_revoked = 0 }, counts())
    end)

    it("so that another program sells without a code", function()
      assert.equal(0, (log_in(nil, with_code())))
      local code, output, problems = sell()
      assert.equal(0, code, problems)
      assert.equal("sold\n", output)
      assert.same({ exchanged = 1, refreshed = 0, refused = 0, families_revoked = 0 }, counts())
    end)

    it("in place of the one that a running program has, which goes on with the new one", function()
      assert.equal(0, (log_in(nil, with_code())))
      local store = assert(paciolan.store.sqlite(path))
      local link = paciolan.new(box:client_options { store = store, auth = {} })
      local before = assert(link.auth:token()).accessToken
      box:control("POST", "/_sandbox/tokens/revoke", { refresh = true })
      assert.equal(0, (log_in(nil, with_code { PACIOLAN_AUTH_CODE = box:new_auth_code() })))
      assert(link.listings:get("A3qnemZ"))
      assert.are_not.equal(before, assert(link.auth:token()).accessToken)
      link:close()
      store:close()
      assert.same({ exchanged = 2, refreshed = 0, refused = 0, families_revoked = 0 }, counts())
    end)

    it("in the store that PACIOLAN_STORE names, and --store wins over it", function()
      assert.equal(0, (log_in("", with_code { PACIOLAN_STORE = "sqlite:" .. path })))
      assert.equal(0, (sell()))
      local other = place .. "/other.db"
      assert.equal(0, (log_in(store_option(other), with_code { PACIOLAN_AUTH_CODE = box:new_auth_code(),
        PACIOLAN_STORE = "sqlite:" .. place .. "/none/none.db" })))
      assert.equal("600", mode_of(other))
    end)

    it("and tells programs as JSON", function()
      local code, output, problems = log_in("--json " .. store_option(), with_code())
      assert.equal(0, code, problems)
      local told = cjson.decode(output)
      assert.truthy(paciolan.parse_time(told.expiration))
      told.expiration = nil
      assert.same({ stored = true, has_refresh_token = true }, told)
      assert_quiet(output, problems)
    end)

    it("and leaves nothing else in the store", function()
      assert.equal(0, (log_in(nil, with_code())))
      assert.is_nil(kept():find("paciolan/login/", 1, true))
    end)
  end)

  describe("takes the code", function()
    local function through_pipe(text, changes)
      return program.run(("printf %%s %s | %s"):format(program.words { text }, command(store_option(), changes)))
    end

    it("from the first line of standard input when that is no terminal", function()
      local code, output, problems = through_pipe(" " .. box.auth_code .. "\r\nanother line\n")
      assert.equal(0, code, problems)
      assert.equal("", problems)
      assert_quiet(output, problems)
      assert.equal(1, counts().exchanged)
    end)

    it("from the environment before standard input", function()
      assert.equal(0, (through_pipe("nonsense\n", with_code())))
    end)

    it("from the first line of a file before the environment, and warns when others can read that", function()
      local code_file = place .. "/the code"
      files.write(code_file, box.auth_code .. "\n")
      chmod("640", code_file)
      local code, output, problems = log_in(store_option() .. " --code-file " .. program.words { code_file },
        { PACIOLAN_AUTH_CODE = "nonsense" })
      assert.equal(0, code, problems)
      assert.truthy(problems:find("others may read or write it (mode 640)", 1, true), problems)
      assert_quiet(output, problems)
    end)

    it("from a file that is private without a word", function()
      local code_file = place .. "/code"
      files.write(code_file, box.auth_code)
      chmod("600", code_file)
      local code, _, problems = log_in(store_option() .. " --code-file " .. program.words { code_file })
      assert.equal(0, code, problems)
      assert.equal("", problems)
    end)

    local NO_CODE = {
      { "an empty line", "\n" }, { "nothing", "" }, { "blanks", " \t\n" },
    }
    for _, row in ipairs(NO_CODE) do
      it("not from " .. row[1] .. ", and answers 2", function()
        local code, output, problems = through_pipe(row[2])
        assert.equal(2, code)
        assert.equal("", output)
        assert.truthy(problems:find("no authorization code", 1, true), problems)
        assert_unspent()
      end)
    end

    it("not from a file that is empty or not there, and answers 2", function()
      local empty = place .. "/empty"
      files.write(empty, "")
      for _, name in ipairs { empty, place .. "/none" } do
        local code, _, problems = log_in(store_option() .. " --code-file " .. program.words { name }, with_code())
        assert.equal(2, code)
        assert.truthy(problems:find("--code-file: ", 1, true), problems)
      end
      assert_unspent()
    end)

    it("not from the command line", function()
      local code, _, problems = log_in(store_option() .. " --code " .. box.auth_code)
      assert.equal(2, code)
      assert.truthy(problems:find("--code", 1, true), problems)
      assert_unspent()
    end)
  end)

  describe("at a prompt", function()
    -- What is preloaded here, such as a sanitizer, is for the command, and not for the program that makes the terminal.
    local preloaded = { LD_PRELOAD = os.getenv("LD_PRELOAD") or "" }

    -- Runs a script for the shell on a terminal, types when it is asked, and returns what the terminal shows.
    local function on_terminal(script, typed)
      local shown = place .. "/shown"
      files.write(shown, "")
      local keyboard = assert(io.popen(("env -u LD_PRELOAD SHELL=/bin/sh script -qec %s /dev/null >%s"):format(
        program.words { script }, program.words { shown }), "w"))
      for _ = 1, 600 do
        if files.read(shown):find("Authorization code: ", 1, true) then
          break
        end
        socket.sleep(0.05)
      end
      keyboard:write(typed)
      keyboard:close()
      return files.read(shown)
    end

    -- The command, its exit code, and the state of the terminal after it.
    local function session()
      return ("trap : INT; %s; echo exit $?; stty -a"):format(command(store_option(), preloaded))
    end

    it("does not show what is typed, and shows the next thing again", function()
      local shown = on_terminal(session(), box.auth_code .. "\n")
      assert.truthy(shown:find("exit 0", 1, true), shown)
      assert.truthy(shown:find("stored in " .. path, 1, true), shown)
      assert.truthy(shown:find(" echo ", 1, true), shown)
      assert_quiet(shown)
      assert.equal(1, counts().exchanged)
    end)

    it("shows the next thing again after an interrupt, and answers 130", function()
      local shown = on_terminal(session(), box.auth_code .. "\3")
      assert.truthy(shown:find("interrupted; nothing was sent", 1, true), shown)
      assert.truthy(shown:find("exit 130", 1, true), shown)
      assert.truthy(shown:find(" echo ", 1, true), shown)
      assert.is_nil(shown:find(box.auth_code, 1, true))
      assert_unspent()
    end)

    it("answers 2 to an empty line and to the end of the input", function()
      for _, typed in ipairs { "\n", "\4" } do
        local shown = on_terminal(session(), typed)
        assert.truthy(shown:find("exit 2", 1, true), shown)
        assert.truthy(shown:find(" echo ", 1, true), shown)
      end
      assert_unspent()
    end)

    it("says so when what is typed will be shown", function()
      files.write(place .. "/stty", "#!/bin/sh\nexit 1\n")
      chmod("755", place .. "/stty")
      local shown = on_terminal(command(store_option(), { LD_PRELOAD = preloaded.LD_PRELOAD,
        PATH = place .. ":" .. os.getenv("PATH") }), box.auth_code .. "\n")
      assert.truthy(shown:find("What is typed here will be shown", 1, true), shown)
      assert.truthy(shown:find("stored in " .. path, 1, true), shown)
    end)
  end)

  describe("narrows", function()
    it("the file of the store, and those beside it, and says so", function()
      local store = assert(paciolan.store.sqlite(path))
      assert(store:put("a", "b"))
      local names = { path, path .. "-wal", path .. "-shm" }
      for _, name in ipairs(names) do
        chmod("644", name)
      end
      local code, _, problems = log_in(nil, with_code())
      assert.equal(0, code, problems)
      for _, name in ipairs(names) do
        assert.equal("600", mode_of(name))
        assert.truthy(problems:find(name .. " was open to others (mode 644); it has mode 600 now", 1, true), problems)
      end
      store:close()
    end)

    it("no file that is no store", function()
      files.write(path, "somebody else's notes, long enough to be read as the head of a database file\n"
        .. ("x"):rep(4096))
      chmod("644", path)
      local code, _, problems = log_in(nil, with_code())
      assert.equal(1, code)
      assert.truthy(problems:find("(store)", 1, true), problems)
      assert.equal("644", mode_of(path))
      assert_unspent()
    end)

    it("or stops before the code is sent", function()
      assert(paciolan.store.sqlite(path)):close()
      chmod("640", path)
      files.write(place .. "/chmod", "#!/bin/sh\nexit 1\n")
      chmod("755", place .. "/chmod")
      local code, _, problems = log_in(nil, with_code { PATH = place .. ":" .. os.getenv("PATH") })
      assert.equal(1, code)
      assert.truthy(problems:find("cannot be made so; the code was not sent", 1, true), problems)
      assert_unspent()
    end)
  end)

  describe("spends no code", function()
    it("when the store would keep nothing", function()
      for _, row in ipairs { { "" }, { "", "memory" }, { "--store memory" } } do
        local code, output, problems = log_in(row[1], with_code { PACIOLAN_STORE = row[2] or "" })
        assert.equal(2, code)
        assert.equal("", output)
        assert.truthy(problems:find("nothing would be kept", 1, true), problems)
      end
      assert_unspent()
    end)

    it("when settings are missing, and names them", function()
      local code, _, problems = log_in(nil, with_code { PACIOLAN_API_KEY = "", PACIOLAN_CHANNEL_CODE = "" })
      assert.equal(2, code)
      assert.truthy(problems:find("not set: PACIOLAN_API_KEY, PACIOLAN_CHANNEL_CODE\nTry: paciolan login", 1, true),
        problems)
      assert.is_nil(problems:find(".lua:", 1, true))
      assert_unspent()
    end)

    it("when a setting is none, or the store is named in a way that nobody knows", function()
      local code, _, problems = log_in(nil, with_code { PACIOLAN_BASE_URL = "ftp://nowhere" })
      assert.equal(2, code)
      assert.truthy(problems:find("base_url", 1, true), problems)
      code, _, problems = log_in("--store postgres:tokens", with_code())
      assert.equal(2, code)
      assert.truthy(problems:find("sqlite:PATH", 1, true), problems)
      assert.is_nil(problems:find(".lua:", 1, true))
      assert_unspent()
    end)

    it("when --store holds a password, which it does not repeat", function()
      for _, text in ipairs { "redis://user:PRIVATE@localhost", "redis+unix:///run/redis.sock?password=PRIVATE" } do
        local code, _, problems = log_in("--store " .. program.words { text }, with_code())
        assert.equal(2, code)
        assert.truthy(problems:find("set PACIOLAN_STORE instead", 1, true), problems)
        assert.is_nil(problems:find("PRIVATE", 1, true))
      end
      assert_unspent()
    end)

    it("when the store cannot be opened", function()
      local code, output, problems = log_in(store_option(place .. "/none/tokens.db"), with_code())
      assert.equal(1, code)
      assert.equal("", output)
      assert.truthy(problems:find("(store)", 1, true), problems)
      assert_unspent()
    end)

    -- The file and its log are there, so that only the write itself is too much for the limit on the size of files.
    it("when the store can be read and not be written", function()
      local store = assert(paciolan.store.sqlite(path))
      assert(store:put("a", "b"))
      local code, output, problems = program.run(("trap '' XFSZ; ulimit -f 1; %s"):format(
        command(store_option(), with_code())))
      store:close()
      assert.equal(1, code)
      assert.equal("", output)
      assert.truthy(problems:find("the store cannot be written, so the code was not sent", 1, true), problems)
      assert_unspent()
    end)

    it("when the service is not there", function()
      local code, output, problems = log_in(nil, with_code { PACIOLAN_BASE_URL = "http://127.0.0.1:1" })
      assert.equal(1, code)
      assert.equal("", output)
      assert.truthy(problems:find("the code was not sent, and still works", 1, true), problems)
      assert.equal(0, (log_in(nil, with_code())))
    end)
  end)

  describe("with a Redis", function()
    -- The value of PACIOLAN_STORE, with a password that nobody may read.
    local function with_store(server, password)
      return with_code { PACIOLAN_STORE = ("redis://:%s@127.0.0.1:%d/0?prefix=login:"):format(password, server.port) }
    end

    it("keeps the pair, and tells where without the password", function()
      local code, output, problems = log_in("", with_store(redis.start("requirepass PRIVATE"), "PRIVATE"))
      assert.equal(0, code, problems)
      assert.truthy(output:find("stored in redis://127%.0%.0%.1:%d+/0%.\n"), output)
      assert.is_nil((output .. problems):find("PRIVATE", 1, true))
      assert.equal(1, counts().exchanged)
    end)

    it("spends no code when it lets nobody in or cannot be written, and shows no password", function()
      local server = redis.start("requirepass PRIVATE\nmaxmemory 1\nmaxmemory-policy noeviction")
      for _, password in ipairs { "PRIVATE", "PRIVATE-and-wrong" } do
        local code, output, problems = log_in("", with_store(server, password))
        assert.equal(1, code)
        assert.equal("", output)
        assert.truthy(problems:find(", so the code was not sent", 1, true), problems)
        assert.is_nil(problems:find("PRIVATE", 1, true))
      end
      assert_unspent()
    end)
  end)

  it("stores a pair late that the store did not take at once", function()
    local server = redis.start()
    box:control("POST", "/_sandbox/faults", { fault = "delay=700", count = 1, operation = "auth.token" })
    local running = program.start(command("", with_code { PACIOLAN_STORE = server:url() }))
    repeat
      socket.sleep(0.02)
    until box:control("GET", "/_sandbox/faults").applied["delay=700"]
    server:command("CONFIG", "SET", "maxmemory", "1")
    running:wait_for_problem("the tokens are here and cannot be stored")
    server:command("CONFIG", "SET", "maxmemory", "0")
    running:wait_for("The tokens are stored in")
    assert.equal(0, (running:stop("CONT")))
    assert.equal(1, counts().exchanged)
    local stored = server:command("EVAL", "return redis.call('keys', '*/token/*')[1]", "0")
    assert.truthy(stored:find("paciolan/token/", 1, true), stored)
  end)

  it("says that a code was not looked at, which then still works", function()
    box:control("POST", "/_sandbox/faults", { fault = "status=403", count = 1, operation = "auth.token" })
    local code, _, problems = log_in(nil, with_code())
    assert.equal(1, code)
    assert.truthy(problems:find("the code was not looked at, and still works; check PACIOLAN_", 1, true), problems)
    assert.equal(0, (log_in(nil, with_code())))
  end)

  it("makes no store before the settings are complete", function()
    local code = log_in(nil, with_code { PACIOLAN_API_KEY = "" })
    assert.equal(2, code)
    assert.is_nil(io.open(path, "rb"))
  end)

  describe("tells of a code that is refused", function()
    it("that each works once, and leaves the pair that was there", function()
      assert.equal(0, (log_in(nil, with_code())))
      local before = secrets()
      local code, output, problems = log_in(nil, with_code { PACIOLAN_AUTH_CODE = "code-of-nobody" })
      assert.equal(1, code)
      assert.equal("", output)
      assert.truthy(problems:find("the authorization code in PACIOLAN_AUTH_CODE was refused; each works once; a new one"
        .. " is needed; unset it to be asked", 1, true), problems)
      assert.is_nil(problems:find("code-of-nobody", 1, true))
      assert.same(before, secrets())
      assert.equal(0, (sell()))
    end)

    it("the same when it was sent from this store before, without sending it again", function()
      assert.equal(0, (log_in(nil, with_code())))
      local code, _, problems = log_in(nil, with_code())
      assert.equal(1, code)
      assert.truthy(problems:find("a new one is needed", 1, true), problems)
      assert.same({ exchanged = 1, refreshed = 0, refused = 0, families_revoked = 0 }, counts())
      assert.equal(0, (sell()))
    end)
  end)

  -- Answers one token call of its own making.
  local function log_in_at_service(arguments, answer)
    local server = assert(httpd.listen {})
    local client = program.start(command(arguments .. store_option(), with_code {
      PACIOLAN_BASE_URL = ("http://127.0.0.1:%d"):format(server:port()) }))
    local request
    for _ = 1, 600 do
      request = server:next(100)
      if request then
        break
      end
    end
    assert(request, "the token call never came")
    server:reply(request, 200, { ["Content-Type"] = "application/json" }, cjson.encode(answer))
    local output
    for _ = 1, 600 do
      server:next(50)
      output = client:output()
      if output:find("\n") then
        break
      end
    end
    server:close()
    client:stop()
    return output
  end

  it("says when no refresh token came, and shows no time that is none", function()
    local answer = { accessToken = "access-of-a-service", tokenType = "Bearer", expiration = "soon\27[2J" }
    local output = log_in_at_service("", answer)
    assert.truthy(output:find("did not say how long", 1, true), output)
    assert.is_nil(output:find("\27", 1, true))
    output = log_in_at_service("", answer)
    assert.truthy(output:find("No refresh token came with it", 1, true), output)
  end)

  it("tells programs that no refresh token and no time came", function()
    local output = log_in_at_service("--json ", { accessToken = "access-of-a-service", tokenType = "Bearer" })
    assert.same({ stored = true, expiration = cjson.null, has_refresh_token = false }, cjson.decode(output))
  end)

  it("explains itself", function()
    local code, output, problems = program.run(command("--help"))
    assert.equal(0, code, problems)
    for _, word in ipairs { "--store", "--code-file", "--json", "PACIOLAN_AUTH_CODE", "PACIOLAN_STORE" } do
      assert.truthy(output:find(word, 1, true), word)
    end
    code, output, problems = program.run(command("--colour red"))
    assert.equal(2, code)
    assert.equal("", output)
    assert.truthy(problems:find("Try: paciolan login --help", 1, true), problems)
  end)
end)
