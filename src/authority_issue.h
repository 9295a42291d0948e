/* authority_issue.h: keys, certificates and signatures for services that only
** play the real ones: the sandbox and specs. Pure C over OpenSSL: no Lua here.
** Every function leaves OpenSSL's error queue empty. */
#ifndef AUTHORITY_ISSUE_H
#define AUTHORITY_ISSUE_H

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#define AUTHORITY_MESSAGE_SIZE 160

/* The shortest RSA key that OpenSSL makes; keys of these sizes are for tests of refusals, too. */
#define AUTHORITY_MIN_BITS 512
#define AUTHORITY_MAX_BITS 8192

/* 9999-12-31T23:59:59Z, the last time a certificate can name (RFC 5280, 4.1.2.5). */
#define AUTHORITY_MAX_TIME INT64_C(253402300799)

/* What a certificate is to say. Everything is borrowed. */
typedef struct authority_request {
  EVP_PKEY *key;                  /* whose certificate it is */
  EVP_PKEY *issuer_key;           /* NULL: self-signed */
  const char *issuer_certificate; /* PEM; NULL: self-signed */
  const char *name;               /* the common name of the subject */
  const char *const *dns;         /* alternative names */
  size_t dns_count;
  const char *const *ip; /* alternative addresses, numeric */
  size_t ip_count;
  int is_ca;
  int64_t not_before; /* unix seconds, 0..AUTHORITY_MAX_TIME */
  int64_t not_after;
  const char *usage; /* words of OpenSSL with commas between, such as "digitalSignature"; NULL: no such extension */
  const char *extended_usage; /* the same, such as "serverAuth" */
  int64_t serial;             /* 0: a random one */
  const EVP_MD *digest;
} authority_request;

/* Makes an RSA key.
** Args: bits, AUTHORITY_MIN_BITS..AUTHORITY_MAX_BITS; exponent, odd and above 1; message, filled on failure.
** Returns NULL on failure. Owns: the caller frees the key with EVP_PKEY_free. */
EVP_PKEY *authority_new_rsa(int bits, int64_t exponent, char message[AUTHORITY_MESSAGE_SIZE]);

/* Makes an EC key on the curve P-256. As authority_new_rsa. */
EVP_PKEY *authority_new_ec(char message[AUTHORITY_MESSAGE_SIZE]);

/* Reads an unencrypted private key. As authority_new_rsa. */
EVP_PKEY *authority_read_key(const char *pem, size_t length, char message[AUTHORITY_MESSAGE_SIZE]);

/* Writes the private key as PKCS#8 PEM. Returns 0 on failure. */
int authority_write_key(EVP_PKEY *key, BIO *out, char message[AUTHORITY_MESSAGE_SIZE]);

/* Writes the certificate as PEM. Returns 0 on failure. */
int authority_certify(const authority_request *request, BIO *out, char message[AUTHORITY_MESSAGE_SIZE]);

/* Signs: with an RSA key RSASSA-PKCS1-v1_5 (RFC 8017, 8.2.1), with an EC key ECDSA.
** Args: digest, NULL: the private RSA operation alone over a block as long as the modulus (RFC 8017, 5.2.1).
** Returns 0 on failure; out then holds nothing. */
int authority_sign(EVP_PKEY *key, const char *text, size_t length, const EVP_MD *digest, BIO *out,
                   char message[AUTHORITY_MESSAGE_SIZE]);

#endif
