/* auth.c: POST /v1/auth/token (contract 2.1). */
#include "contract.h"

static const char *const grant_types[] = { "authorization_code", "refresh_token", NULL };
static const char *const by_code[] = { "authorization_code", NULL };
static const char *const by_refresh[] = { "refresh_token", NULL };

static const pac_field token_fields[] = {
  { .name = "grantType", .type = PAC_STRING, .flags = PAC_REQUIRED, .values = grant_types,
    .doc = "How the caller proves itself.", .source = "D:auth; 001 shows the first only" },
  { .name = "code", .type = PAC_STRING, .flags = PAC_SECRET,
    .doc = "Authorization code; with grantType authorization_code.", .source = "D:auth; row 15" },
  { .name = "refreshToken", .type = PAC_STRING, .flags = PAC_SECRET,
    .doc = "Refresh token; with grantType refresh_token.", .source = "D:auth" },
  PAC_END
};
static const pac_rule token_rules[] = {
  { .kind = PAC_REQUIRED_WHEN, .field = "code", .other = "grantType", .values = by_code,
    .source = "D:auth; row 15" },
  { .kind = PAC_REQUIRED_WHEN, .field = "refreshToken", .other = "grantType", .values = by_refresh,
    .source = "D:auth" },
  { .kind = PAC_NO_RULE }
};
static const pac_object token_body = { .fields = token_fields, .rules = token_rules };

static const pac_field token_answer_fields[] = {
  { .name = "accessToken", .type = PAC_STRING, .flags = PAC_SECRET, .doc = "The bearer token.",
    .source = "001, D:auth" },
  { .name = "expiration", .type = PAC_STRING, .doc = "When it ends: YYYY-MM-DDTHH:MM:SS.nnnnnnnnnZ.",
    .source = "001, D:auth; rows 28, 63" },
  { .name = "refreshToken", .type = PAC_STRING, .flags = PAC_SECRET, .doc = "For the next token call.",
    .source = "001, D:auth" },
  { .name = "tokenType", .type = PAC_STRING, .doc = "Normally Bearer.", .source = "001, D:auth" },
  { .name = "error", .type = PAC_STRING, .doc = "Why there is no token, as text.", .source = "D:auth; row 7" },
  PAC_END
};
static const pac_object token_answer = { .fields = token_answer_fields, .open = 1 };

const pac_operation pac_auth_operations[] = {
  { .name = "auth.token", .method = "POST", .path = "/v1/auth/token",
    .lua = "link.auth:token()", .body = &token_body, .answer = &token_answer, .effect = PAC_ONCE, .anonymous = 1,
    .answers = "200, 4XX, 5XX", .doc = "Request or refresh an access token.",
    .source = "001, D:auth; /v1: I, 3P" },
  PAC_END
};
