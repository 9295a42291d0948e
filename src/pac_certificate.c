#include "pac_certificate.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "pac_base64.h"

#define MIN_KEY_BITS 2048
#define MAX_KEY_BITS 4096
#define MIN_EXPONENT 65537u
/* 112 bits of security in every link of the chain: RSA of 2048 bits, SHA-256. */
#define CHAIN_SECURITY_LEVEL 2
#define MAX_DIGEST_SIZE      32

struct pac_trust {
  unsigned shares;
  X509_STORE *roots;
  STACK_OF(X509) * intermediates;
};

/* One digest with its context, kept for all messages: setting them up costs a
** quarter of a verification. */
typedef struct verifier {
  EVP_MD_CTX *digest;
  EVP_PKEY_CTX *key;
  int is_ready; /* 0: the policy of the system refused the digest, or there was no memory */
} verifier;

struct pac_certificate {
  X509 *x509;
  EVP_PKEY *key;
  pac_trust *trust; /* a share of it; NULL: trusted as it is */
  int64_t not_before, not_after;
  /* What the last judgement found: within these times, the chain holds. */
  int64_t chain_from, chain_until; /* until is no more within; from > until: nothing was found yet */
  char name[PAC_TOPIC_HOST_SIZE];  /* the name that fitted last, or "" */
  verifier verifiers[2];           /* version 1, version 2 */
};

/* Empties OpenSSL's error queue. Returns 1 when there was too little memory for
** something, which says nothing of what was asked. */
static int lacked_memory(void) {
  int is_memory = 0;
  unsigned long code;
  while ((code = ERR_get_error()) != 0) {
    is_memory |= ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
  }
  return is_memory;
}

/* What OpenSSL keeps beside a certificate is made when it is first asked for. A
** failure of that would be kept too, so it has to show while reading. */
static int is_whole(X509 *x509) {
  return X509_check_purpose(x509, -1, 0) == 1 && (X509_get_extension_flags(x509) & EXFLAG_INVALID) == 0 &&
         X509_get0_pubkey(x509) != NULL;
}

/* ---- trust --------------------------------------------------------------- */

/* The certificate of a PEM block, or NULL for a block of another kind. An
** encrypted one has headers, and would ask the terminal for a password. */
static X509 *read_block(const char *name, const char *header, const unsigned char *data, long length) {
  const unsigned char *at = data;
  if (strcmp(name, PEM_STRING_X509) != 0 || header[0] != '\0') {
    return NULL;
  }
  X509 *x509 = d2i_X509(NULL, &at, length);
  if (x509 != NULL && (at != data + length || !is_whole(x509))) {
    X509_free(x509);
    return NULL;
  }
  return x509;
}

/* The next certificate. NULL: at the end of the blocks, or for a wrong one. */
static X509 *next_certificate(BIO *bio) {
  char *name = NULL, *header = NULL;
  unsigned char *data = NULL;
  long length = 0;
  X509 *x509 = NULL;
  if (PEM_read_bio(bio, &name, &header, &data, &length) == 1) {
    x509 = read_block(name, header, data, length);
    if (x509 == NULL) {
      ERR_raise(ERR_LIB_PEM, PEM_R_UNSUPPORTED_ENCRYPTION); /* so that it cannot look like the end */
    }
  }
  OPENSSL_free(name);
  OPENSSL_free(header);
  OPENSSL_free(data);
  return x509;
}

typedef pac_status taker(pac_trust *trust, X509 *x509);

/* Hands each certificate of a PEM text to `take`, which owns it. Text that is in
** no block is overlooked, as it stands in many bundles. */
static pac_status each_certificate(const char *pem, size_t length, taker *take, pac_trust *trust) {
  BIO *bio = length > INT_MAX ? NULL : BIO_new_mem_buf(pem, (int)length);
  if (bio == NULL) {
    return PAC_NO_MEMORY;
  }
  pac_status status = PAC_OK;
  X509 *x509;
  int count = 0;
  while (status == PAC_OK && (x509 = next_certificate(bio)) != NULL) {
    status = take(trust, x509);
    count++;
  }
  int is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  BIO_free(bio);
  if (lacked_memory()) {
    return PAC_NO_MEMORY;
  }
  return status != PAC_OK ? status : count > 0 && is_end ? PAC_OK : PAC_INVALID;
}

/* Only what signed itself ends a chain: any other certificate would be trusted
** by name and never found. */
static pac_status take_root(pac_trust *trust, X509 *x509) {
  int is_root = (X509_get_extension_flags(x509) & EXFLAG_SS) != 0;
  int is_added = is_root && X509_STORE_add_cert(trust->roots, x509);
  X509_free(x509);
  return is_added ? PAC_OK : is_root ? PAC_NO_MEMORY : PAC_INVALID;
}

static pac_status take_intermediate(pac_trust *trust, X509 *x509) {
  if (sk_X509_push(trust->intermediates, x509) > 0) {
    return PAC_OK;
  }
  X509_free(x509);
  return PAC_NO_MEMORY;
}

static pac_status add_all(pac_trust *trust, const char *const *pems, taker *take) {
  pac_status status = PAC_OK;
  for (; status == PAC_OK && *pems != NULL; pems++) {
    status = each_certificate(*pems, strlen(*pems), take, trust);
  }
  return status;
}

/* rule: what every certificate of the text has to be. */
static pac_status add_given(pac_trust *trust, const char *rule, const char *pem, size_t length, taker *take,
                            pac_err *err) {
  pac_status status = pem == NULL ? PAC_OK : each_certificate(pem, length, take, trust);
  return status == PAC_OK ? PAC_OK : pac_fail(err, status, "%s", status == PAC_INVALID ? rule : "out of memory");
}

static pac_status fill_trust(pac_trust *trust, const char *intermediates, size_t intermediates_length,
                             const char *roots, size_t roots_length, pac_err *err) {
  trust->roots = X509_STORE_new();
  trust->intermediates = sk_X509_new_null();
  if (trust->roots == NULL || trust->intermediates == NULL || add_all(trust, pac_amazon_roots, take_root) != PAC_OK ||
      add_all(trust, pac_amazon_intermediates, take_intermediate) != PAC_OK) {
    return pac_fail(err, PAC_NO_MEMORY, "out of memory");
  }
  pac_status status = add_given(trust, "roots: must be self-signed certificates in PEM, and nothing else", roots,
                                roots_length, take_root, err);
  if (status == PAC_OK) {
    status = add_given(trust, "intermediates: must be certificates in PEM, and nothing else", intermediates,
                       intermediates_length, take_intermediate, err);
  }
  return status;
}

pac_status pac_trust_new(const char *intermediates, size_t intermediates_length, const char *roots, size_t roots_length,
                         pac_trust **out, pac_err *err) {
  pac_trust *trust = calloc(1, sizeof *trust);
  if (trust == NULL) {
    return pac_fail(err, PAC_NO_MEMORY, "out of memory");
  }
  trust->shares = 1;
  pac_status status = fill_trust(trust, intermediates, intermediates_length, roots, roots_length, err);
  (void)lacked_memory();
  if (status != PAC_OK) {
    pac_trust_free(trust);
    return status;
  }
  *out = trust;
  return PAC_OK;
}

void pac_trust_free(pac_trust *trust) {
  if (trust != NULL && --trust->shares == 0) {
    X509_STORE_free(trust->roots);
    sk_X509_pop_free(trust->intermediates, X509_free);
    free(trust);
  }
}

/* ---- reading ------------------------------------------------------------- */

#define BEGIN_LINE "-----BEGIN CERTIFICATE-----"
#define END_LINE   "-----END CERTIFICATE-----"

/* Moves past a line break. */
static const char *skip_break(const char *at, const char *end) {
  if (at < end && *at == '\r') {
    at++;
  }
  return at < end && *at == '\n' ? at + 1 : NULL;
}

/* Copies the base64 between the two lines without its line breaks. Returns how
** many characters, or 0 when the text is not one block and nothing else. */
static size_t take_base64(const char *pem, size_t length, char *out) {
  const size_t head = sizeof BEGIN_LINE - 1, tail = sizeof END_LINE - 1;
  const char *end = pem + length;
  if (length < head + tail || memcmp(pem, BEGIN_LINE, head) != 0) {
    return 0;
  }
  const char *at = skip_break(pem + head, end);
  size_t count = 0;
  while (at != NULL && at < end && *at != '-') {
    if (*at == '\r' || *at == '\n') {
      at = skip_break(at, end);
    } else {
      out[count++] = *at++;
    }
  }
  if (at == NULL || (size_t)(end - at) < tail || at[-1] != '\n' || memcmp(at, END_LINE, tail) != 0) {
    return 0;
  }
  at += tail;
  if (at < end) {
    at = skip_break(at, end);
  }
  return at == end ? count : 0;
}

static X509 *decode_pem(const char *pem, size_t length, char *text, unsigned char *der) {
  size_t count = take_base64(pem, length, text), size = 0;
  if (count == 0 || pac_base64_decode(text, count, der, &size) != PAC_OK) {
    return NULL;
  }
  const unsigned char *at = der;
  X509 *x509 = d2i_X509(NULL, &at, (long)size);
  if (x509 != NULL && at != der + size) {
    X509_free(x509);
    return NULL;
  }
  return x509;
}

static X509 *read_pem(const char *pem, size_t length) {
  if (length == 0 || length > PAC_CERTIFICATE_MAX_BYTES) {
    return NULL;
  }
  char *text = malloc(length);
  unsigned char *der = malloc(length);
  X509 *x509 = text == NULL || der == NULL ? NULL : decode_pem(pem, length, text, der);
  free(text);
  free(der);
  return x509;
}

static int has_strong_exponent(EVP_PKEY *key) {
  BIGNUM *exponent = NULL;
  if (!EVP_PKEY_get_bn_param(key, "e", &exponent)) {
    return 0;
  }
  int is_strong = BN_is_odd(exponent) && BN_num_bits(exponent) <= 64 && BN_get_word(exponent) >= MIN_EXPONENT;
  BN_free(exponent);
  return is_strong;
}

static int is_strong(EVP_PKEY *key) {
  return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= MIN_KEY_BITS &&
         EVP_PKEY_get_bits(key) <= MAX_KEY_BITS && has_strong_exponent(key);
}

/* Seconds since 1970 of an ASN.1 time. */
static int read_time(const ASN1_TIME *time, int64_t *out) {
  int days = 0, seconds = 0;
  ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
  int is_read = epoch != NULL && ASN1_TIME_diff(&days, &seconds, epoch, time);
  ASN1_TIME_free(epoch);
  *out = (int64_t)days * 86400 + seconds;
  return is_read;
}

/* ---- verifying ----------------------------------------------------------- */

static const EVP_MD *digest_of(size_t index) {
  return index == 0 ? EVP_sha1() : EVP_sha256();
}

/* Returns 0 when the digest cannot be used in signatures. */
static int start_verifier(verifier *v, const EVP_MD *digest) {
  v->is_ready = EVP_DigestInit_ex(v->digest, digest, NULL) == 1 && EVP_PKEY_verify_init(v->key) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(v->key, RSA_PKCS1_PADDING) == 1 &&
                EVP_PKEY_CTX_set_signature_md(v->key, digest) == 1;
  return v->is_ready;
}

/* Version 1 may be against the policy of the system, version 2 never is. */
static int set_up_verifiers(pac_certificate *self) {
  for (size_t i = 0; i < 2; i++) {
    self->verifiers[i].digest = EVP_MD_CTX_new();
    self->verifiers[i].key = EVP_PKEY_CTX_new(self->key, NULL);
    if (self->verifiers[i].digest == NULL || self->verifiers[i].key == NULL) {
      return 0;
    }
  }
  (void)start_verifier(&self->verifiers[0], digest_of(0));
  return start_verifier(&self->verifiers[1], digest_of(1));
}

static const char *fill_certificate(pac_certificate *self, const char *pem, size_t length) {
  self->x509 = read_pem(pem, length);
  if (self->x509 == NULL || !is_whole(self->x509) || !read_time(X509_get0_notBefore(self->x509), &self->not_before) ||
      !read_time(X509_get0_notAfter(self->x509), &self->not_after)) {
    return "bad_certificate";
  }
  self->key = X509_get_pubkey(self->x509);
  if (self->key == NULL) {
    return "bad_certificate";
  }
  self->chain_from = 1; /* until 0: nothing was found yet */
  return !is_strong(self->key) ? "weak_key" : set_up_verifiers(self) ? NULL : "system_failure";
}

const char *pac_certificate_read(const char *pem, size_t length, pac_trust *trust, pac_certificate **out) {
  pac_certificate *self = calloc(1, sizeof *self);
  if (self == NULL) {
    return "system_failure";
  }
  self->trust = trust;
  if (trust != NULL) {
    trust->shares++;
  }
  const char *reason = fill_certificate(self, pem, length);
  if (lacked_memory() && reason != NULL) {
    reason = "system_failure";
  }
  if (reason != NULL) {
    pac_certificate_free(self);
    return reason;
  }
  *out = self;
  return NULL;
}

void pac_certificate_free(pac_certificate *certificate) {
  if (certificate == NULL) {
    return;
  }
  for (size_t i = 0; i < 2; i++) {
    EVP_MD_CTX_free(certificate->verifiers[i].digest);
    EVP_PKEY_CTX_free(certificate->verifiers[i].key);
  }
  EVP_PKEY_free(certificate->key);
  X509_free(certificate->x509);
  pac_trust_free(certificate->trust);
  free(certificate);
}

void pac_certificate_times(const pac_certificate *certificate, int64_t *not_before, int64_t *not_after) {
  *not_before = certificate->not_before;
  *not_after = certificate->not_after;
}

int pac_certificate_can_verify(pac_certificate *certificate, int version) {
  size_t index = version == 1 ? 0 : 1;
  verifier *v = &certificate->verifiers[index];
  int is_ready = v->is_ready || start_verifier(v, digest_of(index));
  ERR_clear_error();
  return is_ready;
}

static const char *verify(pac_certificate *self, int version, const char *text, size_t length,
                          const unsigned char *signature, size_t signature_size) {
  size_t index = version == 1 ? 0 : 1;
  verifier *v = &self->verifiers[index];
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (!v->is_ready && !start_verifier(v, digest_of(index))) {
    return version == 1 ? "sha1_disabled" : "system_failure";
  }
  /* Without a digest the context starts anew with the one it has. */
  if (EVP_DigestInit_ex(v->digest, NULL, NULL) != 1 || EVP_DigestUpdate(v->digest, text, length) != 1 ||
      EVP_DigestFinal_ex(v->digest, digest, &size) != 1) {
    return "system_failure";
  }
  return signature_size == (size_t)EVP_PKEY_get_size(self->key) &&
                 EVP_PKEY_verify(v->key, signature, signature_size, digest, size) == 1
             ? NULL
             : "bad_signature";
}

const char *pac_certificate_verify(pac_certificate *certificate, int version, const char *text, size_t length,
                                   const unsigned char *signature, size_t signature_size) {
  ERR_clear_error();
  const char *reason = verify(certificate, version, text, length, signature, signature_size);
  return lacked_memory() && reason != NULL ? "system_failure" : reason;
}

/* ---- the chain ----------------------------------------------------------- */

/* Narrows the times of the chain to those of one of its certificates. */
static int narrow(pac_certificate *self, const X509 *x509) {
  int64_t from, until;
  if (!read_time(X509_get0_notBefore(x509), &from) || !read_time(X509_get0_notAfter(x509), &until)) {
    return 0;
  }
  self->chain_from = from > self->chain_from ? from : self->chain_from;
  self->chain_until = until < self->chain_until ? until : self->chain_until;
  return 1;
}

static void keep_times(pac_certificate *self, STACK_OF(X509) * chain) {
  self->chain_from = INT64_MIN;
  self->chain_until = INT64_MAX;
  for (int i = 0; i < sk_X509_num(chain); i++) {
    if (!narrow(self, sk_X509_value(chain, i))) {
      self->chain_from = 1;
      self->chain_until = 0;
      return;
    }
  }
}

/* Only what is certain counts against the certificate. */
static const char *reason_of(int error) {
  switch (error) {
  case X509_V_ERR_CERT_HAS_EXPIRED:
  case X509_V_ERR_CERT_NOT_YET_VALID:
    return "certificate_dates";
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
  case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
  case X509_V_ERR_CERT_SIGNATURE_FAILURE:
  case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
  case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
  case X509_V_ERR_CERT_CHAIN_TOO_LONG:
  case X509_V_ERR_INVALID_CA:
  case X509_V_ERR_PATH_LENGTH_EXCEEDED:
  case X509_V_ERR_INVALID_PURPOSE:
  case X509_V_ERR_CERT_UNTRUSTED:
  case X509_V_ERR_CERT_REJECTED:
  case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
  case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
  case X509_V_ERR_PERMITTED_VIOLATION:
  case X509_V_ERR_EXCLUDED_VIOLATION:
  case X509_V_ERR_EE_KEY_TOO_SMALL:
  case X509_V_ERR_CA_KEY_TOO_SMALL:
  case X509_V_ERR_CA_MD_TOO_WEAK:
    return "untrusted_certificate";
  default:
    return "system_failure";
  }
}

static const char *trace(pac_certificate *self, X509_STORE_CTX *ctx, int64_t now) {
  if (!X509_STORE_CTX_init(ctx, self->trust->roots, self->x509, self->trust->intermediates)) {
    return "system_failure";
  }
  X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
  X509_VERIFY_PARAM_set_time(param, (time_t)now);
  X509_VERIFY_PARAM_set_auth_level(param, CHAIN_SECURITY_LEVEL);
  X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
  if (X509_verify_cert(ctx) != 1) {
    return reason_of(X509_STORE_CTX_get_error(ctx));
  }
  keep_times(self, X509_STORE_CTX_get0_chain(ctx));
  return NULL;
}

/* A CA may not sign messages, though a chain may end in one. A server's usage may
** be to encipher alone; where a usage is named, it must be to sign (RFC 5280,
** 4.2.1.3). */
static int may_sign(X509 *x509) {
  return (X509_get_extension_flags(x509) & (EXFLAG_CA | EXFLAG_SS | EXFLAG_INVALID)) == 0 &&
         (X509_get_key_usage(x509) & KU_DIGITAL_SIGNATURE) != 0;
}

static const char *judge_chain(pac_certificate *self, int64_t now) {
  if (now >= self->chain_from && now < self->chain_until) {
    return NULL;
  } else if (!may_sign(self->x509)) {
    return "untrusted_certificate";
  }
  X509_STORE_CTX *ctx = X509_STORE_CTX_new();
  const char *reason = ctx == NULL ? "system_failure" : trace(self, ctx, now);
  X509_STORE_CTX_free(ctx);
  return reason;
}

static const char *judge_name(pac_certificate *self, const pac_topic *topic) {
  for (size_t i = 0; i < 2; i++) {
    const char *name = topic->names[i];
    if (name[0] == '\0') {
      continue;
    } else if (strcmp(self->name, name) == 0) {
      return NULL;
    } else if (X509_check_host(self->x509, name, 0, X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                               NULL) == 1) {
      memcpy(self->name, name, sizeof self->name);
      return NULL;
    }
  }
  return "certificate_name";
}

const char *pac_certificate_judge(pac_certificate *certificate, const pac_topic *topic, int64_t now) {
  if (certificate->trust == NULL) {
    return NULL;
  }
  ERR_clear_error();
  const char *reason = judge_chain(certificate, now);
  if (reason == NULL) {
    reason = judge_name(certificate, topic);
  }
  return lacked_memory() && reason != NULL ? "system_failure" : reason;
}
