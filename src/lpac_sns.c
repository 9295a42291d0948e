/* lpac_sns.c: core.sns, the Lua face of pac_sns and pac_certificate.
**
** Three kinds of userdata. "paciolan.sns.trust" owns a pac_trust,
** "paciolan.sns.certificate" a pac_certificate; both are freed by the collector.
** "paciolan.sns.message" is one block of memory, with a copy of the body behind
** the struct and, behind that, room for what is decoded and for the string to
** sign. Nothing of a message is handed out before its signature was verified but
** its type, its topic and the URL of its certificate. */
#include "lpac.h"
#include "pac_certificate.h"
#include "pac_sns.h"

#include <string.h>

#define TRUST_TYPE       "paciolan.sns.trust"
#define CERTIFICATE_TYPE "paciolan.sns.certificate"
#define MESSAGE_TYPE     "paciolan.sns.message"

/* Longer than any URL of SNS with a token of the greatest length. */
#define CONFIRM_URL_SIZE 2048

typedef struct lpac_trust {
  pac_trust *trust; /* NULL: not made, or freed */
} lpac_trust;

typedef struct lpac_certificate {
  pac_certificate *certificate; /* NULL: not made, or freed */
} lpac_certificate;

typedef struct lpac_message {
  pac_sns_message read;
  char *string; /* room for the string to sign */
  char bytes[]; /* the body, what is decoded, the string to sign */
} lpac_message;

/* ---- trust and certificates ---------------------------------------------- */

static int trust_gc(lua_State *L) {
  lpac_trust *self = luaL_checkudata(L, 1, TRUST_TYPE);
  pac_trust *trust = self->trust;
  self->trust = NULL;
  pac_trust_free(trust);
  return 0;
}

/* core.sns.trust(intermediates, roots) -> trust | nil, message. PEM texts, or
** nil for none beside Amazon's. */
static int trust_new(lua_State *L) {
  size_t intermediates_length = 0, roots_length = 0;
  const char *intermediates = luaL_optlstring(L, 1, NULL, &intermediates_length);
  const char *roots = luaL_optlstring(L, 2, NULL, &roots_length);
  lpac_trust *self = lua_newuserdatauv(L, sizeof *self, 0);
  self->trust = NULL;
  luaL_setmetatable(L, TRUST_TYPE);
  pac_err err;
  if (pac_trust_new(intermediates, intermediates_length, roots, roots_length, &self->trust, &err) != PAC_OK) {
    lua_pushnil(L);
    lua_pushstring(L, err.message);
    return 2;
  }
  return 1;
}

static int certificate_gc(lua_State *L) {
  lpac_certificate *self = luaL_checkudata(L, 1, CERTIFICATE_TYPE);
  pac_certificate *certificate = self->certificate;
  self->certificate = NULL;
  pac_certificate_free(certificate);
  return 0;
}

/* core.sns.certificate(pem, trust) -> certificate | nil, reason. Without trust it
** is trusted as it is. */
static int certificate_new(lua_State *L) {
  size_t length;
  const char *pem = luaL_checklstring(L, 1, &length);
  lpac_trust *trust = lua_isnoneornil(L, 2) ? NULL : luaL_checkudata(L, 2, TRUST_TYPE);
  lpac_certificate *self = lua_newuserdatauv(L, sizeof *self, 0);
  self->certificate = NULL;
  luaL_setmetatable(L, CERTIFICATE_TYPE);
  luaL_argcheck(L, trust == NULL || trust->trust != NULL, 2, "the trust is closed");
  const char *reason = pac_certificate_read(pem, length, trust == NULL ? NULL : trust->trust, &self->certificate);
  if (reason != NULL) {
    lua_pushnil(L);
    lua_pushstring(L, reason);
    return 2;
  }
  return 1;
}

static pac_certificate *check_certificate(lua_State *L, int index) {
  lpac_certificate *self = luaL_checkudata(L, index, CERTIFICATE_TYPE);
  luaL_argcheck(L, self->certificate != NULL, index, "the certificate is closed");
  return self->certificate;
}

/* certificate:times() -> the two dates of the certificate, unix seconds. */
static int certificate_times(lua_State *L) {
  int64_t not_before, not_after;
  pac_certificate_times(check_certificate(L, 1), &not_before, &not_after);
  lpac_push_integer(L, not_before);
  lpac_push_integer(L, not_after);
  return 2;
}

/* core.sns.can_verify(version) -> boolean: whether the policy of this system lets
** signatures of version 1 or 2 be verified. Tried with a key that is there. */
static int sns_can_verify(lua_State *L) {
  lua_Integer version = luaL_checkinteger(L, 1);
  luaL_argcheck(L, version == 1 || version == 2, 1, "1 or 2 is expected");
  const char *pem = pac_amazon_intermediates[0];
  pac_certificate *certificate = NULL;
  if (pac_certificate_read(pem, strlen(pem), NULL, &certificate) != NULL) {
    return luaL_error(L, "out of memory");
  }
  int can = pac_certificate_can_verify(certificate, (int)version);
  pac_certificate_free(certificate);
  lua_pushboolean(L, can);
  return 1;
}

/* core.sns.is_topic(text) -> boolean: an ARN whose messages can be verified, since
** the host of its region is known. */
static int sns_is_topic(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  pac_topic topic;
  lua_pushboolean(L, pac_topic_read(text, length, &topic) == PAC_OK);
  return 1;
}

/* ---- messages ------------------------------------------------------------ */

static int refuse(lua_State *L, const char *reason, const char *message) {
  lua_pushnil(L);
  lua_pushstring(L, reason);
  lua_pushstring(L, message);
  return 3;
}

static void push_text(lua_State *L, pac_text text) {
  lua_pushlstring(L, text.data, text.length);
}

/* Pushes a message of which nothing was read. */
static lpac_message *message_new(lua_State *L, const char *body, size_t length) {
  lpac_message *self = lua_newuserdatauv(L, sizeof *self + 2 * length + PAC_SNS_STRING_SIZE(length), 0);
  memcpy(self->bytes, body, length);
  self->string = self->bytes + 2 * length;
  return self;
}

/* A time in seconds, with fractions, as milliseconds. */
static int64_t check_seconds(lua_State *L, int index) {
  lua_Number seconds = luaL_checknumber(L, index);
  luaL_argcheck(L, seconds >= -1e12 && seconds <= 1e12, index, "not a time in seconds");
  return (int64_t)(seconds * 1000);
}

/* The lowest version that the topic may use, from the table at index, or 0 when
** the topic is not in it. */
static int lowest_version(lua_State *L, int index, pac_text topic) {
  push_text(L, topic);
  int64_t version = 0;
  if (lpac_rawget(L, index) != LUA_TNIL && !lpac_to_integer(L, -1, &version)) {
    luaL_argerror(L, index, "a version must be a whole number");
  }
  lua_pop(L, 1);
  return (int)version;
}

/* When messages are judged, and by which limits: three arguments from `first`. */
typedef struct times {
  int64_t now_ms, max_age_ms, skew_ms;
} times;

static times check_times(lua_State *L, int first) {
  return (times){ check_seconds(L, first), check_seconds(L, first + 1), check_seconds(L, first + 2) };
}

/* Everything that can be said without a certificate, of a body that was copied or
** stays on the stack. topics: the index of { [arn] = lowest version }. Returns
** NULL or the reason, with what err says. */
static const char *read_message(lua_State *L, int topics, const times *when, const char *body, size_t length,
                                char *arena, pac_sns_message *out, pac_err *err) {
  const char *reason = pac_sns_read(body, length, arena, out, err);
  if (reason != NULL) {
    return reason;
  }
  int lowest = lowest_version(L, topics, out->envelope.topic_arn);
  if (lowest == 0) {
    (void)pac_fail(err, PAC_INVALID, "/TopicArn is none of the topics that are listened to");
    return "topic_not_allowed";
  } else if (out->version < lowest) {
    (void)pac_fail(err, PAC_INVALID, "/SignatureVersion is lower than the topic may use");
    return "version_refused";
  }
  reason = pac_sns_judge_time(out, when->now_ms, when->max_age_ms, when->skew_ms);
  if (reason != NULL) {
    (void)pac_fail(err, PAC_INVALID, "/Timestamp is %s",
                   strcmp(reason, "stale") == 0 ? "older than messages may be" : "in the future");
  }
  return reason;
}

/* core.sns.open(body, topics, now_s, max_age_s, skew_s) -> message | nil, reason,
** text. topics: { [arn] = lowest version }. */
static int sns_open(lua_State *L) {
  size_t length;
  const char *body = luaL_checklstring(L, 1, &length);
  luaL_checktype(L, 2, LUA_TTABLE);
  times when = check_times(L, 3);
  if (length > PAC_ENVELOPE_MAX_BYTES) { /* before there are copies of it */
    return refuse(L, "too_large", "the body is larger than 2 MiB");
  }
  lpac_message *self = message_new(L, body, length);
  pac_err err;
  const char *reason = read_message(L, 2, &when, self->bytes, length, self->bytes + length, &self->read, &err);
  if (reason != NULL) {
    return refuse(L, reason, err.message);
  }
  luaL_setmetatable(L, MESSAGE_TYPE);
  return 1;
}

static lpac_message *check_message(lua_State *L) {
  return luaL_checkudata(L, 1, MESSAGE_TYPE);
}

static int message_certificate_url(lua_State *L) {
  push_text(L, check_message(L)->read.envelope.signing_cert_url);
  return 1;
}

static int message_topic_arn(lua_State *L) {
  push_text(L, check_message(L)->read.envelope.topic_arn);
  return 1;
}

static int message_type(lua_State *L) {
  lua_pushstring(L, pac_sns_type_name(check_message(L)->read.type));
  return 1;
}

static void set_text(lua_State *L, const char *name, pac_text text) {
  if (text.data != NULL) {
    push_text(L, text);
    lua_setfield(L, -2, name);
  }
}

static void set_integer(lua_State *L, const char *name, int64_t value) {
  lpac_push_integer(L, value);
  lua_setfield(L, -2, name);
}

/* What only the two confirmations have. */
static void set_confirmation(lua_State *L, const pac_sns_message *message) {
  const pac_envelope *e = &message->envelope;
  char url[CONFIRM_URL_SIZE];
  set_text(L, "token", e->token);
  set_text(L, "subscribe_url", e->subscribe_url);
  if (pac_topic_write_confirm_url(&message->topic, e->topic_arn.data, e->topic_arn.length, e->token.data,
                                  e->token.length, url, sizeof url) == PAC_OK) {
    lua_pushstring(L, url);
    lua_setfield(L, -2, "confirm_url");
  }
}

static void push_envelope(lua_State *L, const pac_sns_message *message) {
  const pac_envelope *e = &message->envelope;
  lua_createtable(L, 0, 12);
  lua_pushstring(L, pac_sns_type_name(message->type));
  lua_setfield(L, -2, "type");
  set_text(L, "message_id", e->message_id);
  set_text(L, "topic_arn", e->topic_arn);
  set_text(L, "message", e->message);
  set_text(L, "timestamp", e->timestamp);
  set_integer(L, "timestamp_ms", message->timestamp_ms);
  set_integer(L, "signature_version", message->version);
  if (message->type == PAC_SNS_NOTIFICATION) {
    set_text(L, "subject", e->subject);
  } else {
    set_confirmation(L, message);
  }
  lua_createtable(L, 0, 2);
  set_text(L, "unsubscribe_url", e->unsubscribe_url);
  set_text(L, "attributes", e->attributes);
  lua_setfield(L, -2, "unsigned");
}

/* Returns NULL, or why the certificate or the signature will not do. string: room
** for the string to sign. */
static const char *verify(const pac_sns_message *message, pac_certificate *certificate, int64_t now, char *string) {
  const char *reason = pac_certificate_judge(certificate, &message->topic, now);
  if (reason != NULL) {
    return reason;
  }
  size_t length = pac_sns_write_string(message, string);
  return pac_certificate_verify(certificate, message->version, string, length, message->signature,
                                message->signature_size);
}

/* core.sns.check(message, certificate, now_s) -> envelope | nil, reason. The
** certificate must suit the message's topic and be within its dates, and the
** signature must be right. */
static int sns_check(lua_State *L) {
  lpac_message *self = check_message(L);
  pac_certificate *certificate = check_certificate(L, 2);
  lua_Number now = luaL_checknumber(L, 3);
  luaL_argcheck(L, now >= -1e12 && now <= 1e12, 3, "not a time in seconds");
  const char *reason = verify(&self->read, certificate, (int64_t)now, self->string);
  if (reason != NULL) {
    lua_pushnil(L);
    lua_pushstring(L, reason);
    return 2;
  }
  push_envelope(L, &self->read);
  return 1;
}

/* Most messages are shorter, and their work fits the stack of C. */
#define SHORT_BODY 4096u

/* core.sns.verify(body, topics, now_s, max_age_s, skew_s, certificate) ->
** envelope | nil, reason, text. What open and check do, for one who has the
** certificate already: no message has to be kept in between. */
static int sns_verify(lua_State *L) {
  size_t length;
  const char *body = luaL_checklstring(L, 1, &length);
  luaL_checktype(L, 2, LUA_TTABLE);
  times when = check_times(L, 3);
  pac_certificate *certificate = check_certificate(L, 6);
  char arena[SHORT_BODY], string[PAC_SNS_STRING_SIZE(SHORT_BODY)], *work = arena, *signed_string = string;
  if (length > PAC_ENVELOPE_MAX_BYTES) {
    return refuse(L, "too_large", "the body is larger than 2 MiB");
  } else if (length > SHORT_BODY) {
    work = lua_newuserdatauv(L, length + PAC_SNS_STRING_SIZE(length), 0);
    signed_string = work + length;
  }
  pac_sns_message message;
  pac_err err;
  const char *reason = read_message(L, 2, &when, body, length, work, &message, &err);
  if (reason == NULL) {
    err.message[0] = '\0';
    reason = verify(&message, certificate, when.now_ms / 1000, signed_string);
  }
  if (reason != NULL) {
    return refuse(L, reason, err.message);
  }
  push_envelope(L, &message);
  return 1;
}

static const luaL_Reg trust_metamethods[] = { { "__gc", trust_gc }, { NULL, NULL } };
static const luaL_Reg certificate_metamethods[] = { { "__gc", certificate_gc }, { NULL, NULL } };
static const luaL_Reg none[] = { { NULL, NULL } };
static const luaL_Reg certificate_methods[] = { { "times", certificate_times }, { NULL, NULL } };
static const luaL_Reg message_methods[] = {
  { "certificate_url", message_certificate_url },
  { "topic_arn", message_topic_arn },
  { "type", message_type },
  { NULL, NULL },
};
static const luaL_Reg functions[] = {
  { "trust", trust_new }, { "certificate", certificate_new }, { "is_topic", sns_is_topic },     { "open", sns_open },
  { "check", sns_check }, { "verify", sns_verify },           { "can_verify", sns_can_verify }, { NULL, NULL },
};

void lpac_sns_register(lua_State *L) {
  lpac_register_type(L, TRUST_TYPE, trust_metamethods, none);
  lpac_register_type(L, CERTIFICATE_TYPE, certificate_metamethods, certificate_methods);
  lpac_register_type(L, MESSAGE_TYPE, none, message_methods);
  luaL_newlib(L, functions);
  lua_setfield(L, -2, "sns");
}
