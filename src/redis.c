/* redis.c: paciolan.redis, one connection to a Redis server.
**
** hiredis writes commands and reads replies; the bytes go through redis_link,
** where every wait has an end. A command blocks the thread until then, and
** nothing here calls Lua.
**
** A connection is never repaired. After a failure that leaves its state unknown
** it is closed, so that a late reply cannot be taken for the next command's,
** and the caller opens another.
**
** Ownership: the connection userdata owns the socket and the reader, and an
** exchange userdata, one for each command, the reply that is handed over, which
** so outlives an error of Lua. A command takes its memory from Lua before it is
** sent, and Lua gets none of the reply before all of it is read: a finalizer that
** Lua runs in between finds the connection idle, and may use or close it. */
#include "lpac_compat.h"
#include "redis_link.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The inline functions in these headers do not mind their signs. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include <hiredis.h>
#pragma GCC diagnostic pop

#define CONNECTION_TYPE "paciolan.redis.connection"
#define EXCHANGE_TYPE   "paciolan.redis.exchange"

#define MAX_COMMAND_BYTES (512u * 1024 * 1024) /* the most that Redis takes for one string */
#define MAX_ARGUMENTS     4096
#define READ_BYTES        16384
#define MAX_DEPTH         8 /* of lists in lists; hiredis 0.14 reads 7 */

typedef struct connection {
  redis_link link;
  redisReader *reader; /* NULL: closed */
  int is_used;         /* a command was sent on it */
  int is_answered;     /* a reply came on it */
} connection;

/* One command and its reply. */
typedef struct exchange {
  redisReply *reply;
  int count;
  const char **words; /* these two in userdata of their own, on the stack */
  size_t *lengths;
  int is_sent; /* the whole command was */
} exchange;

static connection *check_connection(lua_State *L) {
  return luaL_checkudata(L, 1, CONNECTION_TYPE);
}

static void free_reply(exchange *e) {
  if (e->reply) {
    freeReplyObject(e->reply);
    e->reply = NULL;
  }
}

static int l_exchange_gc(lua_State *L) {
  free_reply(luaL_checkudata(L, 1, EXCHANGE_TYPE));
  return 0;
}

static void shut(connection *c) {
  redis_link_close(&c->link);
  if (c->reader) {
    redisReaderFree(c->reader);
    c->reader = NULL;
  }
}

static int l_close(lua_State *L) {
  shut(check_connection(L));
  return 0;
}

static int l_tostring(lua_State *L) {
  lua_pushstring(L, check_connection(L)->reader ? "paciolan.redis (open)" : "paciolan.redis (closed)");
  return 1;
}

/* ---- connect ---- */

/* The string stays anchored in the table at index 1. */
static const char *field_string(lua_State *L, const char *name, const char *fallback) {
  int type = lpac_rawgetfield(L, 1, name);
  if (type != LUA_TNIL && type != LUA_TSTRING) {
    luaL_error(L, "%s must be a string", name);
  }
  const char *value = type == LUA_TSTRING ? lua_tostring(L, -1) : fallback;
  lua_pop(L, 1);
  return value;
}

static int64_t check_timeout(lua_State *L, int index) {
  int64_t value = 0;
  if (!lpac_to_integer(L, index, &value) || value < 0 || value > INT32_MAX) {
    luaL_error(L, "timeout_ms must be a whole number of milliseconds");
  }
  return value;
}

static int64_t read_target(lua_State *L, redis_target *target) {
  luaL_checktype(L, 1, LUA_TTABLE);
  memset(target, 0, sizeof *target);
  target->host = field_string(L, "host", NULL);
  target->port = field_string(L, "port", "6379");
  target->socket = field_string(L, "socket", NULL);
  target->ca_file = field_string(L, "ca_file", NULL);
  target->server_name = field_string(L, "server_name", target->host);
  target->certificate_file = field_string(L, "certificate_file", NULL);
  target->key_file = field_string(L, "key_file", NULL);
  lpac_rawgetfield(L, 1, "has_tls");
  target->has_tls = lua_toboolean(L, -1);
  lpac_rawgetfield(L, 1, "timeout_ms");
  int64_t timeout_ms = check_timeout(L, -1);
  lua_pop(L, 2);
  luaL_argcheck(L, !target->host != !target->socket, 1, "give host or socket");
  luaL_argcheck(L, !target->certificate_file == !target->key_file, 1, "certificate_file and key_file go together");
  luaL_argcheck(L, !target->has_tls || target->server_name, 1, "TLS needs a server_name");
  return timeout_ms;
}

/* redis.connect { host, port, socket, has_tls, server_name, ca_file, certificate_file, key_file, timeout_ms }
** -> connection | nil, message. `port` is text. */
static int l_connect(lua_State *L) {
  redis_target target;
  char message[REDIS_MESSAGE_SIZE] = REDIS_NO_MEMORY_MESSAGE;
  int64_t timeout_ms = read_target(L, &target);
  connection *c = lua_newuserdatauv(L, sizeof *c, 0);
  memset(c, 0, sizeof *c);
  c->link.fd = -1;
  luaL_setmetatable(L, CONNECTION_TYPE);
  c->reader = redisReaderCreate();
  if (!c->reader || !redis_link_open(&c->link, &target, redis_now_ms() + timeout_ms, message)) {
    shut(c);
    luaL_pushfail(L);
    lua_pushstring(L, message);
    return 2;
  }
  return 1;
}

/* ---- command ---- */

static int fail(lua_State *L, const char *reason, int is_sent) {
  luaL_pushfail(L);
  lua_pushstring(L, reason);
  lua_pushboolean(L, is_sent);
  return 3;
}

static const char *reason_of(const connection *c, redis_status status) {
  switch (status) {
  case REDIS_LATE:
    return "timeout";
  case REDIS_NO_MEMORY:
    return "memory";
  default:
    return c->is_answered || !c->is_used ? "closed" : "unanswered";
  }
}

/* After a failure of the stream nobody knows what is on its way. */
static int abandon(lua_State *L, connection *c, redis_status status, int is_sent) {
  const char *reason = reason_of(c, status), *refusal = c->is_answered ? NULL : c->link.refusal;
  shut(c);
  fail(L, refusal ? "tls" : reason, refusal ? 0 : is_sent);
  lua_pushstring(L, refusal);
  return 4;
}

static void check_arguments(lua_State *L, int first, int count) {
  size_t total = 0, length;
  luaL_argcheck(L, count > 0 && count <= MAX_ARGUMENTS, first, "a command of 1 to 4096 strings");
  for (int i = 0; i < count; i++) {
    luaL_argcheck(L, lua_type(L, first + i) == LUA_TSTRING, first + i, "a string");
    (void)lua_tolstring(L, first + i, &length);
    total += length;
    luaL_argcheck(L, total <= MAX_COMMAND_BYTES, first + i, "a command of at most 512 MiB");
  }
}

/* Takes all memory of Lua that a command needs. The strings are those of the stack. */
static exchange *new_exchange(lua_State *L, int first, int count) {
  exchange *e = lua_newuserdatauv(L, sizeof *e, 0);
  memset(e, 0, sizeof *e);
  luaL_setmetatable(L, EXCHANGE_TYPE);
  e->count = count;
  e->words = lua_newuserdatauv(L, (size_t)count * sizeof *e->words, 0);
  e->lengths = lua_newuserdatauv(L, (size_t)count * sizeof *e->lengths, 0);
  for (int i = 0; i < count; i++) {
    e->words[i] = lua_tolstring(L, first + i, &e->lengths[i]);
  }
  return e;
}

static redis_status send_command(connection *c, exchange *e, int64_t ends_at_ms) {
  char *text = NULL;
  long long length = redisFormatCommandArgv(&text, e->count, e->words, e->lengths);
  if (length < 0) {
    return REDIS_NO_MEMORY;
  }
  redis_status status = redis_link_write(&c->link, text, (size_t)length, ends_at_ms);
  redisFreeCommand(text);
  e->is_sent = status == REDIS_DONE;
  return status;
}

/* Gives the reader what came. Returns whether to read on. */
static int take(connection *c, exchange *e, const char *data, size_t length, redis_status *status) {
  void *reply = NULL;
  int is_protocol =
      redisReaderFeed(c->reader, data, length) == REDIS_OK && redisReaderGetReply(c->reader, &reply) == REDIS_OK;
  e->reply = reply;
  c->is_answered = c->is_answered || reply != NULL || !is_protocol;
  if (!is_protocol && c->reader->err == REDIS_ERR_OOM) {
    *status = REDIS_NO_MEMORY;
  }
  return is_protocol && !reply;
}

/* Leaves e->reply NULL when what came is not the protocol. The clock is looked at after each part too: a reply that
** never ends always has one more. */
static redis_status read_reply(connection *c, exchange *e, int64_t ends_at_ms) {
  char data[READ_BYTES];
  size_t length = 0;
  redis_status status = redis_link_read(&c->link, data, sizeof data, &length, ends_at_ms);
  while (status == REDIS_DONE && take(c, e, data, length, &status)) {
    status =
        redis_now_ms() < ends_at_ms ? redis_link_read(&c->link, data, sizeof data, &length, ends_at_ms) : REDIS_LATE;
  }
  return status;
}

/* Nothing but what Redis says to a client of its second protocol. */
static int is_known(const redisReply *reply, int depth) {
  switch (reply->type) {
  case REDIS_REPLY_STRING:
  case REDIS_REPLY_STATUS:
  case REDIS_REPLY_INTEGER:
  case REDIS_REPLY_NIL:
    return 1;
  case REDIS_REPLY_ARRAY:
    for (size_t i = 0; i < reply->elements; i++) {
      if (depth >= MAX_DEPTH || !is_known(reply->element[i], depth + 1)) {
        return 0;
      }
    }
    return 1;
  default:
    return 0;
  }
}

/* A nil inside a list becomes false, which leaves no hole. */
static void push_reply(lua_State *L, const redisReply *reply, int depth) {
  luaL_checkstack(L, 3, "reply of Redis");
  if (reply->type == REDIS_REPLY_INTEGER) {
    lpac_push_integer(L, reply->integer);
  } else if (reply->type == REDIS_REPLY_ARRAY) {
    lua_createtable(L, reply->elements < INT32_MAX ? (int)reply->elements : 0, 0);
    for (size_t i = 0; i < reply->elements; i++) {
      push_reply(L, reply->element[i], depth + 1);
      lua_rawseti(L, -2, (int)i + 1);
    }
  } else if (reply->type == REDIS_REPLY_NIL && depth > 0) {
    lua_pushboolean(L, 0);
  } else if (reply->type == REDIS_REPLY_NIL) {
    lua_pushnil(L);
  } else {
    lua_pushlstring(L, reply->str, reply->len);
  }
}

/* False when the other side has ended an idle connection, when something came that nothing asked for, and in a child of
** the process that connected. What comes on a fresh connection may be the server's refusal, which is worth reading. */
static int is_usable(connection *c) {
  return c->link.pid == getpid() && (!c->is_used || (c->reader->pos == c->reader->len && redis_link_is_idle(&c->link)));
}

static int is_error(const redisReply *reply) {
  return reply && reply->type == REDIS_REPLY_ERROR;
}

/* Sends the command and reads its reply into e->reply. A server that hung up meanwhile may have said why before that,
** as it does when it has too many clients: such a reply counts, and no other. */
static redis_status converse(connection *c, exchange *e, int64_t ends_at_ms) {
  redis_status status = send_command(c, e, ends_at_ms);
  if (e->is_sent) {
    return read_reply(c, e, ends_at_ms);
  }
  int is_told = status == REDIS_GONE && read_reply(c, e, 0) == REDIS_DONE && is_error(e->reply);
  return is_told ? REDIS_DONE : status;
}

static int push_result(lua_State *L, connection *c, exchange *e) {
  if (!e->reply || (!is_error(e->reply) && !is_known(e->reply, 0))) {
    shut(c);
    return fail(L, "protocol", 1);
  }
  int count = 1;
  if (is_error(e->reply)) {
    luaL_pushfail(L);
    lua_pushliteral(L, "refused");
    lua_pushlstring(L, e->reply->str, e->reply->len);
    count = 3;
  } else {
    push_reply(L, e->reply, 0);
  }
  free_reply(e);
  return count;
}

/* connection:command(timeout_ms, word, …) -> the reply: a string, a whole number, a list, or nil for the nil of Redis;
** or nil, reason and a third value:
**   "refused"   the server answered with an error, whose text follows: never show it, it may repeat arguments
**   "closed", "timeout", "protocol", "memory"   the connection is closed; true follows when the whole command was sent
**   "unanswered"   as "closed", and never has a reply come on this connection
**   "tls"   the other side refused the handshake of TLS, and so saw no command: false follows, and the alert in words
** On a closed connection the answer is "closed": a finalizer may close it at any time. */
static int l_command(lua_State *L) {
  connection *c = check_connection(L);
  int64_t timeout_ms = check_timeout(L, 2);
  int count = lua_gettop(L) - 2;
  check_arguments(L, 3, count);
  exchange *e = new_exchange(L, 3, count);
  if (!c->reader || !is_usable(c)) {
    return abandon(L, c, REDIS_GONE, 0);
  }
  c->is_used = 1;
  redis_status status = converse(c, e, redis_now_ms() + timeout_ms);
  return status == REDIS_DONE ? push_result(L, c, e) : abandon(L, c, status, e->is_sent);
}

static const luaL_Reg methods[] = { { "command", l_command }, { "close", l_close }, { NULL, NULL } };
static const luaL_Reg metamethods[] = {
  { "__gc", l_close }, { "__close", l_close }, { "__tostring", l_tostring }, { NULL, NULL }
};
static const luaL_Reg functions[] = { { "connect", l_connect }, { NULL, NULL } };

int luaopen_paciolan_redis(lua_State *L);

LPAC_EXPORT int luaopen_paciolan_redis(lua_State *L) {
  luaL_newmetatable(L, EXCHANGE_TYPE);
  lua_pushcfunction(L, l_exchange_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newmetatable(L, CONNECTION_TYPE);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
