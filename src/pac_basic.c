/* pac_basic.c: see pac_basic.h. */
#include "pac_basic.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#include "pac_base64.h"

#define SCHEME       "Basic"
#define SCHEME_BYTES (sizeof SCHEME - 1)
#define MAX_TEXT     (2 * PAC_BASIC_MAX_BYTES + 1) /* user, colon, password */
#define MAX_ENCODED  ((MAX_TEXT + 2) / 3 * 4)

static bool digest(const char *text, size_t length, unsigned char out[PAC_BASIC_DIGEST_BYTES]) {
  unsigned size = 0;
  bool is_done = EVP_Digest(text, length, out, &size, EVP_sha256(), NULL) == 1 && size == PAC_BASIC_DIGEST_BYTES;
  ERR_clear_error();
  return is_done;
}

static pac_status check_text(const char *name, const char *text, size_t length, pac_err *err) {
  if (length == 0 || length > PAC_BASIC_MAX_BYTES) {
    return pac_fail(err, PAC_INVALID, "%s: 1 to %d bytes are expected", name, PAC_BASIC_MAX_BYTES);
  }
  for (size_t i = 0; i < length; i++) {
    unsigned char byte = (unsigned char)text[i];
    if (byte < 0x20 || byte == 0x7f) {
      return pac_fail(err, PAC_INVALID, "%s: control characters are not allowed", name);
    }
  }
  return PAC_OK;
}

pac_status pac_basic_add(pac_basic *basic, const char *user, size_t user_length, const char *password,
                         size_t password_length, pac_err *err) {
  if (basic->count == PAC_BASIC_MAX_PAIRS) {
    return pac_fail(err, PAC_INVALID, "at most %d pairs are accepted", PAC_BASIC_MAX_PAIRS);
  }
  if (check_text("user", user, user_length, err) != PAC_OK ||
      check_text("password", password, password_length, err) != PAC_OK) {
    return PAC_INVALID;
  }
  if (memchr(user, ':', user_length)) {
    return pac_fail(err, PAC_INVALID, "user: a colon is not allowed");
  }
  pac_basic_pair *pair = &basic->pairs[basic->count];
  if (!digest(user, user_length, pair->user) || !digest(password, password_length, pair->password)) {
    return pac_fail(err, PAC_FAILED, "OpenSSL gives no SHA-256");
  }
  basic->count++;
  return PAC_OK;
}

/* What follows the scheme and its blanks, or NULL. */
static const char *find_encoded(const char *header, size_t length, size_t *encoded) {
  if (length <= SCHEME_BYTES || strncasecmp(header, SCHEME, SCHEME_BYTES) != 0 || header[SCHEME_BYTES] != ' ') {
    return NULL;
  }
  size_t at = SCHEME_BYTES;
  while (at < length && header[at] == ' ') {
    at++;
  }
  *encoded = length - at;
  return *encoded <= MAX_ENCODED ? header + at : NULL;
}

/* Without a branch on what is equal. */
static bool is_accepted(const pac_basic *basic, const pac_basic_pair *given) {
  int found = 0;
  for (size_t i = 0; i < basic->count; i++) {
    int user = CRYPTO_memcmp(basic->pairs[i].user, given->user, PAC_BASIC_DIGEST_BYTES);
    int password = CRYPTO_memcmp(basic->pairs[i].password, given->password, PAC_BASIC_DIGEST_BYTES);
    found |= (user | password) == 0;
  }
  return found != 0;
}

static pac_status match_text(const pac_basic *basic, const char *text, size_t length, bool *is_match) {
  const char *colon = memchr(text, ':', length);
  if (!colon) {
    return PAC_OK;
  }
  size_t user_length = (size_t)(colon - text);
  pac_basic_pair given;
  if (!digest(text, user_length, given.user) || !digest(colon + 1, length - user_length - 1, given.password)) {
    return PAC_FAILED;
  }
  *is_match = is_accepted(basic, &given);
  return PAC_OK;
}

pac_status pac_basic_match(const pac_basic *basic, const char *header, size_t length, bool *is_match) {
  unsigned char text[MAX_ENCODED];
  size_t encoded_length = 0, size = 0;
  const char *encoded = header ? find_encoded(header, length, &encoded_length) : NULL;
  *is_match = false;
  if (!encoded || pac_base64_decode(encoded, encoded_length, text, &size) != PAC_OK) {
    return PAC_OK;
  }
  pac_status status = match_text(basic, (const char *)text, size, is_match);
  OPENSSL_cleanse(text, sizeof text);
  return status;
}

void pac_basic_clear(pac_basic *basic) {
  OPENSSL_cleanse(basic, sizeof *basic);
}
