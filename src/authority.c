/* authority.c: paciolan.authority, keys, certificates and signatures for
** services that only play the real ones. The sandbox signs its messages with
** it and specs forge what a receiver must refuse: so keys may be too short here
** and certificates wrong. Receiving messages never needs it.
**
** Ownership: a key userdata owns one private key, until it is collected. What a
** function makes is first owned by an output userdata, so that an error of Lua
** leaves nothing behind. */
#include "authority_issue.h"
#include "lpac_compat.h"

#include <limits.h>
#include <string.h>
#include <time.h>

#define KEY_TYPE    "paciolan.authority.key"
#define OUTPUT_TYPE "paciolan.authority.output"

#define DEFAULT_BITS     2048
#define DEFAULT_EXPONENT 65537
#define DAY_S            86400
#define MAX_NAMES        100

typedef struct key_handle {
  EVP_PKEY *key; /* NULL only between its making and its filling */
} key_handle;

typedef struct output {
  BIO *memory;
} output;

/* ---- what functions make ------------------------------------------------- */

static int output_gc(lua_State *L) {
  output *o = luaL_checkudata(L, 1, OUTPUT_TYPE);
  BIO_free(o->memory);
  o->memory = NULL;
  return 0;
}

static BIO *new_output(lua_State *L) {
  output *o = lua_newuserdatauv(L, sizeof *o, 0);
  o->memory = NULL;
  luaL_setmetatable(L, OUTPUT_TYPE);
  o->memory = BIO_new(BIO_s_mem());
  if (!o->memory) {
    luaL_error(L, "out of memory");
  }
  return o->memory;
}

static int fail(lua_State *L, const char *message) {
  luaL_pushfail(L);
  lua_pushstring(L, message);
  return 2;
}

static int push_output(lua_State *L, BIO *memory) {
  char *data = NULL;
  long length = BIO_get_mem_data(memory, &data);
  lua_pushlstring(L, length > 0 ? data : "", length > 0 ? (size_t)length : 0);
  return 1;
}

/* ---- reading tables ------------------------------------------------------ */

/* What is read stays on the stack: a finalizer might take it out of its table. So much room do all options need. */
#define STACK_OF_OPTIONS (30 + 2 * MAX_NAMES)

static void check_known(lua_State *L, int index, const char *const names[]) {
  luaL_checktype(L, index, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    int i = 0;
    while (names[i] && strcmp(names[i], key) != 0) {
      i++;
    }
    if (!names[i]) {
      luaL_argerror(L, index, "unknown option");
    }
  }
}

static int64_t option_whole(lua_State *L, int table, const char *name, int64_t fallback, int64_t low, int64_t high) {
  int64_t value = fallback;
  lpac_rawgetfield(L, table, name);
  if (!lua_isnil(L, -1) && (!lpac_to_integer(L, -1, &value) || value < low || value > high)) {
    luaL_error(L, "%s: a whole number is expected, in the limits of this option", name);
  }
  lua_pop(L, 1);
  return value;
}

/* The string at the top of the stack, which has to stay there. */
static const char *text_here(lua_State *L, const char *name) {
  size_t length = 0;
  const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &length) : NULL;
  if (!text || strlen(text) != length) {
    luaL_error(L, "%s: a string without NUL is expected", name);
  }
  return text;
}

/* Absent: the fallback; false: NULL. */
static const char *option_text(lua_State *L, int table, const char *name, const char *fallback) {
  const char *text = fallback;
  lpac_rawgetfield(L, table, name);
  if (lua_isboolean(L, -1) && !lua_toboolean(L, -1)) {
    text = NULL;
  } else if (!lua_isnil(L, -1)) {
    text = text_here(L, name);
  }
  return text;
}

/* The strings of a list, in an array in a userdata. */
static const char **option_list(lua_State *L, int table, const char *name, size_t *count) {
  *count = 0;
  lpac_rawgetfield(L, table, name);
  if (lua_isnil(L, -1)) {
    return NULL;
  }
  if (!lua_istable(L, -1) || lua_rawlen(L, -1) > MAX_NAMES) {
    luaL_error(L, "%s: a list of at most %d strings is expected", name, MAX_NAMES);
  }
  int list = lua_gettop(L);
  size_t length = lua_rawlen(L, list);
  const char **texts = lua_newuserdatauv(L, (length + 1) * sizeof *texts, 0);
  for (size_t i = 0; i < length; i++) {
    lpac_rawgeti(L, list, (int)i + 1);
    texts[i] = text_here(L, name);
  }
  *count = length;
  return texts;
}

/* ---- keys ---------------------------------------------------------------- */

static EVP_PKEY *check_key(lua_State *L, int index) {
  key_handle *handle = luaL_checkudata(L, index, KEY_TYPE);
  luaL_argcheck(L, handle->key != NULL, index, "this key was collected");
  return handle->key;
}

static key_handle *new_key(lua_State *L) {
  key_handle *handle = lua_newuserdatauv(L, sizeof *handle, 0);
  handle->key = NULL;
  luaL_setmetatable(L, KEY_TYPE);
  return handle;
}

static int key_gc(lua_State *L) {
  key_handle *handle = luaL_checkudata(L, 1, KEY_TYPE);
  EVP_PKEY_free(handle->key);
  handle->key = NULL;
  return 0;
}

static int key_tostring(lua_State *L) {
  const EVP_PKEY *key = check_key(L, 1);
  lua_pushfstring(L, KEY_TYPE " (%s, %d bits)", EVP_PKEY_base_id(key) == EVP_PKEY_RSA ? "rsa" : "ec",
                  EVP_PKEY_bits(key));
  return 1;
}

/* authority.key { type = "rsa", bits = 2048, exponent = 65537 } -> key | nil, message
** authority.key { type = "ec" }                                 on the curve P-256 */
static int l_key(lua_State *L) {
  static const char *const known[] = { "type", "bits", "exponent", NULL };
  char message[AUTHORITY_MESSAGE_SIZE];
  lua_settop(L, 1);
  check_known(L, 1, known);
  const char *type = option_text(L, 1, "type", "rsa");
  int is_rsa = type && strcmp(type, "rsa") == 0;
  luaL_argcheck(L, is_rsa || (type && strcmp(type, "ec") == 0), 1, "type: rsa or ec is expected");
  int bits = (int)option_whole(L, 1, "bits", DEFAULT_BITS, AUTHORITY_MIN_BITS, AUTHORITY_MAX_BITS);
  int64_t exponent = option_whole(L, 1, "exponent", DEFAULT_EXPONENT, 3, INT64_C(1) << 53);
  luaL_argcheck(L, exponent % 2 == 1, 1, "exponent: an odd number is expected");
  key_handle *handle = new_key(L);
  handle->key = is_rsa ? authority_new_rsa(bits, exponent, message) : authority_new_ec(message);
  return handle->key ? 1 : fail(L, message);
}

/* authority.read_key(pem) -> key | nil, message. `pem`: an unencrypted private key. */
static int l_read_key(lua_State *L) {
  char message[AUTHORITY_MESSAGE_SIZE];
  size_t length;
  luaL_checktype(L, 1, LUA_TSTRING);
  lua_settop(L, 1);
  const char *pem = lua_tolstring(L, 1, &length);
  key_handle *handle = new_key(L);
  handle->key = authority_read_key(pem, length, message);
  return handle->key ? 1 : fail(L, message);
}

/* key:pem() -> the private key as PKCS#8 PEM, unencrypted | nil, message */
static int key_pem(lua_State *L) {
  char message[AUTHORITY_MESSAGE_SIZE];
  EVP_PKEY *key = check_key(L, 1);
  BIO *memory = new_output(L);
  return authority_write_key(key, memory, message) ? push_output(L, memory) : fail(L, message);
}

/* ---- certificates -------------------------------------------------------- */

static const EVP_MD *find_digest(const char *name) {
  if (name && strcmp(name, "sha256") == 0) {
    return EVP_sha256();
  }
  return name && strcmp(name, "sha1") == 0 ? EVP_sha1() : NULL;
}

static EVP_PKEY *field_key(lua_State *L, int table, const char *place) {
  lpac_rawgetfield(L, table, "key");
  key_handle *handle = luaL_testudata(L, -1, KEY_TYPE);
  EVP_PKEY *key = handle ? handle->key : NULL;
  if (!key) {
    luaL_error(L, "%s: a key of this module is expected", place);
  }
  return key;
}

static void read_issuer(lua_State *L, authority_request *request) {
  static const char *const known[] = { "key", "certificate", NULL };
  if (lpac_rawgetfield(L, 1, "issuer") == LUA_TNIL) {
    return;
  }
  int issuer = lua_gettop(L);
  check_known(L, issuer, known);
  request->issuer_key = field_key(L, issuer, "issuer.key");
  request->issuer_certificate = option_text(L, issuer, "certificate", NULL);
  if (!request->issuer_certificate) {
    luaL_error(L, "issuer.certificate: a string is expected");
  }
}

static void read_times(lua_State *L, authority_request *request) {
  int64_t now = (int64_t)time(NULL);
  request->not_before = option_whole(L, 1, "not_before", now - DAY_S, 0, AUTHORITY_MAX_TIME);
  request->not_after = option_whole(L, 1, "not_after", now + 30 * DAY_S, 0, AUTHORITY_MAX_TIME);
}

static void read_request(lua_State *L, authority_request *request) {
  static const char *const known[] = { "key",    "issuer",     "name",      "dns",   "ip",
                                       "is_ca",  "not_before", "not_after", "usage", "extended_usage",
                                       "serial", "digest",     NULL };
  check_known(L, 1, known);
  memset(request, 0, sizeof *request);
  request->key = field_key(L, 1, "key");
  request->name = option_text(L, 1, "name", NULL);
  luaL_argcheck(L, request->name != NULL, 1, "name: a string is expected");
  request->digest = find_digest(option_text(L, 1, "digest", "sha256"));
  luaL_argcheck(L, request->digest != NULL, 1, "digest: sha1 or sha256 is expected");
  request->serial = option_whole(L, 1, "serial", 0, 1, INT64_C(1) << 53);
  lpac_rawgetfield(L, 1, "is_ca");
  request->is_ca = lua_toboolean(L, -1);
  lua_pop(L, 1);
  request->usage = option_text(
      L, 1, "usage", request->is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature,keyEncipherment");
  request->extended_usage = option_text(L, 1, "extended_usage", request->is_ca ? NULL : "serverAuth");
  read_times(L, request);
  read_issuer(L, request);
  request->dns = option_list(L, 1, "dns", &request->dns_count);
  request->ip = option_list(L, 1, "ip", &request->ip_count);
}

/* authority.certificate {
**   key = key,                                  whose certificate it is
**   issuer = { key = key, certificate = pem },  without it the certificate is self-signed
**   name = "text",                              the common name of the subject
**   dns = { "name", … }, ip = { "127.0.0.1" },  alternative names
**   is_ca = false,
**   not_before = unix_s, not_after = unix_s,    default: a day ago, and 30 days ahead
**   usage = "digitalSignature,keyEncipherment", extended_usage = "serverAuth",   the words of OpenSSL; false: no such
**                                               extension. Default: what a server, or is_ca an authority, needs
**   serial = n, digest = "sha256"|"sha1" }      default: a random number, and sha256
** -> the certificate as PEM | nil, message */
static int l_certificate(lua_State *L) {
  authority_request request;
  char message[AUTHORITY_MESSAGE_SIZE];
  lua_settop(L, 1);
  luaL_checkstack(L, STACK_OF_OPTIONS, "options of a certificate");
  read_request(L, &request);
  BIO *memory = new_output(L);
  return authority_certify(&request, memory, message) ? push_output(L, memory) : fail(L, message);
}

/* ---- signatures ---------------------------------------------------------- */

/* authority.sign(key, text, digest) -> the bytes of the signature | nil, message
** With an RSA key RSASSA-PKCS1-v1_5, with an EC key ECDSA. `digest`: "sha1", "sha256", or "raw": the private RSA
** operation alone, over a block that the caller has padded to the length of the modulus. */
static int l_sign(lua_State *L) {
  char message[AUTHORITY_MESSAGE_SIZE];
  size_t length;
  EVP_PKEY *key = check_key(L, 1);
  luaL_checktype(L, 2, LUA_TSTRING);
  luaL_checktype(L, 3, LUA_TSTRING);
  const char *text = lua_tolstring(L, 2, &length);
  const char *name = lua_tostring(L, 3);
  const EVP_MD *digest = find_digest(name);
  luaL_argcheck(L, digest || strcmp(name, "raw") == 0, 3, "sha1, sha256 or raw is expected");
  BIO *memory = new_output(L);
  return authority_sign(key, text, length, digest, memory, message) ? push_output(L, memory) : fail(L, message);
}

/* authority.base64(bytes) -> text in the standard alphabet, padded, on one line (RFC 4648, 4) */
static int l_base64(lua_State *L) {
  size_t length;
  luaL_checktype(L, 1, LUA_TSTRING);
  const char *bytes = lua_tolstring(L, 1, &length);
  luaL_argcheck(L, length <= INT_MAX / 2, 1, "at most 1 GiB");
  unsigned char *text = lua_newuserdatauv(L, (length + 2) / 3 * 4 + 1, 0);
  int size = EVP_EncodeBlock(text, (const unsigned char *)bytes, (int)length);
  lua_pushlstring(L, (const char *)text, (size_t)size);
  return 1;
}

static const luaL_Reg key_methods[] = { { "pem", key_pem }, { NULL, NULL } };
static const luaL_Reg key_metamethods[] = { { "__gc", key_gc }, { "__tostring", key_tostring }, { NULL, NULL } };
static const luaL_Reg functions[] = { { "key", l_key },   { "read_key", l_read_key }, { "certificate", l_certificate },
                                      { "sign", l_sign }, { "base64", l_base64 },     { NULL, NULL } };

int luaopen_paciolan_authority(lua_State *L);

LPAC_EXPORT int luaopen_paciolan_authority(lua_State *L) {
  luaL_newmetatable(L, OUTPUT_TYPE);
  lua_pushcfunction(L, output_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newmetatable(L, KEY_TYPE);
  luaL_setfuncs(L, key_metamethods, 0);
  luaL_newlib(L, key_methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
