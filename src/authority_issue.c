/* authority_issue.c: what paciolan.authority asks of OpenSSL. */
#include "authority_issue.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SERIAL_BYTES        8
#define CERTIFICATE_VERSION 2L /* counts from 0, RFC 5280, 4.1.2.1 */
#define MAX_TEXT_NUMBER     24 /* digits of a 64-bit number, a sign and a NUL */

/* Says what failed and, where OpenSSL knows it, why. Returns 0. */
static int say(char *message, const char *what) {
  unsigned long code = ERR_peek_last_error();
  const char *reason = code ? ERR_reason_error_string(code) : NULL;
  snprintf(message, AUTHORITY_MESSAGE_SIZE, reason ? "%s (%s)" : "%s", what, reason);
  ERR_clear_error();
  return 0;
}

/* ---- keys ---------------------------------------------------------------- */

/* A setting of key generation and its value, both as text: the one form that
** OpenSSL 1.1.1 and 3 share without deprecation. */
typedef struct setting {
  const char *name;
  const char *value;
} setting;

static EVP_PKEY *generate(int type, const setting *settings, size_t count, char *message) {
  EVP_PKEY *key = NULL;
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(type, NULL);
  int is_ready = context && EVP_PKEY_keygen_init(context) == 1;
  for (size_t i = 0; is_ready && i < count; i++) {
    is_ready = EVP_PKEY_CTX_ctrl_str(context, settings[i].name, settings[i].value) == 1;
  }
  if (!is_ready || EVP_PKEY_keygen(context, &key) != 1) {
    say(message, "the key cannot be made");
    key = NULL;
  }
  EVP_PKEY_CTX_free(context);
  ERR_clear_error();
  return key;
}

EVP_PKEY *authority_new_rsa(int bits, int64_t exponent, char message[AUTHORITY_MESSAGE_SIZE]) {
  char bits_text[MAX_TEXT_NUMBER], exponent_text[MAX_TEXT_NUMBER];
  snprintf(bits_text, sizeof bits_text, "%d", bits);
  snprintf(exponent_text, sizeof exponent_text, "%lld", (long long)exponent);
  const setting settings[] = { { "rsa_keygen_bits", bits_text }, { "rsa_keygen_pubexp", exponent_text } };
  return generate(EVP_PKEY_RSA, settings, 2, message);
}

EVP_PKEY *authority_new_ec(char message[AUTHORITY_MESSAGE_SIZE]) {
  static const setting settings[] = { { "ec_paramgen_curve", "P-256" }, { "ec_param_enc", "named_curve" } };
  return generate(EVP_PKEY_EC, settings, 2, message);
}

/* Without it OpenSSL would ask the terminal. */
static int no_passphrase(char *buffer, int size, int is_writing, void *context) {
  (void)buffer, (void)size, (void)is_writing, (void)context;
  return -1;
}

EVP_PKEY *authority_read_key(const char *pem, size_t length, char message[AUTHORITY_MESSAGE_SIZE]) {
  BIO *in = length <= INT_MAX ? BIO_new_mem_buf(pem, (int)length) : NULL;
  EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL) : NULL;
  BIO_free(in);
  if (!key) {
    say(message, "this is no private key in PEM without a passphrase");
  }
  ERR_clear_error();
  return key;
}

int authority_write_key(EVP_PKEY *key, BIO *out, char message[AUTHORITY_MESSAGE_SIZE]) {
  if (PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) != 1) {
    return say(message, "the key cannot be written");
  }
  ERR_clear_error();
  return 1;
}

/* ---- certificates -------------------------------------------------------- */

static int set_serial(X509 *certificate, int64_t serial) {
  ASN1_INTEGER *number = X509_get_serialNumber(certificate);
  if (serial > 0) {
    return ASN1_INTEGER_set_int64(number, serial) == 1;
  }
  unsigned char bytes[SERIAL_BYTES];
  uint64_t random = 0;
  if (RAND_bytes(bytes, sizeof bytes) != 1) {
    return 0;
  }
  memcpy(&random, bytes, sizeof random);
  return ASN1_INTEGER_set_uint64(number, random | 1) == 1; /* positive, RFC 5280, 4.1.2.2 */
}

static int set_validity(X509 *certificate, const authority_request *request) {
  return ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)request->not_before) != NULL &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)request->not_after) != NULL;
}

static int set_subject(X509 *certificate, const char *name) {
  X509_NAME *subject = X509_get_subject_name(certificate);
  return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) == 1;
}

static int add_dns(GENERAL_NAMES *names, const char *text) {
  GENERAL_NAME *name = GENERAL_NAME_new();
  ASN1_IA5STRING *value = ASN1_IA5STRING_new();
  if (!name || !value || ASN1_STRING_set(value, text, -1) != 1) {
    GENERAL_NAME_free(name);
    ASN1_IA5STRING_free(value);
    return 0;
  }
  GENERAL_NAME_set0_value(name, GEN_DNS, value);
  if (sk_GENERAL_NAME_push(names, name) == 0) {
    GENERAL_NAME_free(name);
    return 0;
  }
  return 1;
}

static int add_ip(GENERAL_NAMES *names, const char *text) {
  GENERAL_NAME *name = GENERAL_NAME_new();
  ASN1_OCTET_STRING *value = a2i_IPADDRESS(text);
  if (!name || !value) {
    GENERAL_NAME_free(name);
    ASN1_OCTET_STRING_free(value);
    return 0;
  }
  GENERAL_NAME_set0_value(name, GEN_IPADD, value);
  if (sk_GENERAL_NAME_push(names, name) == 0) {
    GENERAL_NAME_free(name);
    return 0;
  }
  return 1;
}

/* The names one by one, not as one text for OpenSSL to split: a comma in a name stays a comma. */
static int add_alternative_names(X509 *certificate, const authority_request *request) {
  if (request->dns_count + request->ip_count == 0) {
    return 1;
  }
  GENERAL_NAMES *names = GENERAL_NAMES_new();
  int is_done = names != NULL;
  for (size_t i = 0; is_done && i < request->dns_count; i++) {
    is_done = add_dns(names, request->dns[i]);
  }
  for (size_t i = 0; is_done && i < request->ip_count; i++) {
    is_done = add_ip(names, request->ip[i]);
  }
  is_done = is_done && X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
  GENERAL_NAMES_free(names);
  return is_done;
}

static int add_extension(X509 *certificate, X509V3_CTX *context, int nid, const char *value) {
  X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, context, nid, value);
  int is_done = extension && X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return is_done;
}

static int add_extensions(X509 *certificate, X509 *issuer, const authority_request *request) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
  return add_extension(certificate, &context, NID_basic_constraints,
                       request->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
         (!request->usage || add_extension(certificate, &context, NID_key_usage, request->usage)) &&
         (!request->extended_usage ||
          add_extension(certificate, &context, NID_ext_key_usage, request->extended_usage)) &&
         add_extension(certificate, &context, NID_subject_key_identifier, "hash") &&
         add_extension(certificate, &context, NID_authority_key_identifier, "keyid") &&
         add_alternative_names(certificate, request);
}

static int fill(X509 *certificate, X509 *issuer, const authority_request *request) {
  return X509_set_version(certificate, CERTIFICATE_VERSION) == 1 && set_serial(certificate, request->serial) &&
         set_validity(certificate, request) && set_subject(certificate, request->name) &&
         X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1 &&
         X509_set_pubkey(certificate, request->key) == 1 && add_extensions(certificate, issuer, request) &&
         X509_sign(certificate, request->issuer_key ? request->issuer_key : request->key, request->digest) > 0;
}

static X509 *read_certificate(const char *pem) {
  BIO *in = BIO_new_mem_buf(pem, -1);
  X509 *certificate = in ? PEM_read_bio_X509(in, NULL, no_passphrase, NULL) : NULL;
  BIO_free(in);
  return certificate;
}

int authority_certify(const authority_request *request, BIO *out, char message[AUTHORITY_MESSAGE_SIZE]) {
  X509 *issuer = NULL;
  if (request->issuer_certificate) {
    issuer = read_certificate(request->issuer_certificate);
    if (!issuer) {
      return say(message, "issuer.certificate: this is no certificate in PEM");
    }
    if (X509_check_private_key(issuer, request->issuer_key) != 1) {
      X509_free(issuer);
      return say(message, "issuer.key is not the key of issuer.certificate");
    }
  }
  X509 *certificate = X509_new();
  int is_done = certificate && fill(certificate, issuer ? issuer : certificate, request) &&
                PEM_write_bio_X509(out, certificate) == 1;
  if (!is_done) {
    say(message, "the certificate cannot be made");
  }
  X509_free(certificate);
  X509_free(issuer);
  ERR_clear_error();
  return is_done;
}

/* ---- signatures ---------------------------------------------------------- */

static int sign_digest(EVP_PKEY *key, const unsigned char *text, size_t length, const EVP_MD *digest,
                       unsigned char *bytes, size_t *size) {
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  EVP_PKEY_CTX *settings = NULL;
  int is_done =
      context && EVP_DigestSignInit(context, &settings, digest, NULL, key) == 1 &&
      (EVP_PKEY_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PADDING) == 1) &&
      EVP_DigestSign(context, bytes, size, text, length) == 1;
  EVP_MD_CTX_free(context);
  return is_done;
}

static int sign_block(EVP_PKEY *key, const unsigned char *block, size_t length, unsigned char *bytes, size_t *size) {
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
  int is_done = context && EVP_PKEY_sign_init(context) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(context, RSA_NO_PADDING) == 1 &&
                EVP_PKEY_sign(context, bytes, size, block, length) == 1;
  EVP_PKEY_CTX_free(context);
  return is_done;
}

int authority_sign(EVP_PKEY *key, const char *text, size_t length, const EVP_MD *digest, BIO *out,
                   char message[AUTHORITY_MESSAGE_SIZE]) {
  const unsigned char *data = (const unsigned char *)text;
  size_t size = (size_t)EVP_PKEY_size(key);
  unsigned char *bytes = malloc(size);
  int is_done = bytes && (digest ? sign_digest(key, data, length, digest, bytes, &size)
                                 : sign_block(key, data, length, bytes, &size));
  is_done = is_done && BIO_write(out, bytes, (int)size) == (int)size;
  free(bytes);
  if (!is_done) {
    return say(message, digest ? "this key cannot sign" : "raw needs an RSA key and a block as long as its modulus");
  }
  ERR_clear_error();
  return 1;
}
