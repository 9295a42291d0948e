/* pac_certificate: PEM read strictly, Amazon's own chain, and a system that
** refuses SHA-1. Chains that somebody forged are in spec/sns/. */
#include "unit.h"

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "pac_certificate.h"

#define GENUINE "spec/fixtures/sns/SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem"
#define TOPIC   "arn:aws:sns:us-west-2:123456789012:seats"
/* 2025-11-10 to 2026-10-14 23:59:59. */
#define NOT_BEFORE INT64_C(1762732800)
#define NOT_AFTER  INT64_C(1792022399)

/* While set, the linker's wrapper below answers as the policy of Red Hat 9 does. */
static int is_sha1_refused;

int __real_EVP_PKEY_CTX_set_signature_md(EVP_PKEY_CTX *ctx, const EVP_MD *md);
int __wrap_EVP_PKEY_CTX_set_signature_md(EVP_PKEY_CTX *ctx, const EVP_MD *md);
int __wrap_EVP_PKEY_CTX_set_signature_md(EVP_PKEY_CTX *ctx, const EVP_MD *md) {
  return is_sha1_refused && md == EVP_sha1() ? -1 : __real_EVP_PKEY_CTX_set_signature_md(ctx, md);
}

static size_t read_file(const char *path, char *out, size_t size) {
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  size_t length = fread(out, 1, size, file);
  assert_true(length > 0 && length < size);
  fclose(file);
  out[length] = '\0';
  return length;
}

static size_t read_genuine(char *out, size_t size) {
  return read_file(GENUINE, out, size);
}

static const char *read_exactly(const char *pem, size_t length, pac_trust *trust, pac_certificate **out) {
  char *copy = exact_copy(pem, length);
  const char *reason = pac_certificate_read(copy, length, trust, out);
  free(copy);
  assert_int_equal(ERR_peek_error(), 0);
  return reason;
}

static void expect_reason(const char *reason, const char *wanted) {
  if (wanted == NULL) {
    assert_null(reason);
  } else {
    assert_non_null(reason);
    assert_string_equal(reason, wanted);
  }
}

static pac_trust *new_trust(void) {
  pac_trust *trust = NULL;
  assert_int_equal(pac_trust_new(NULL, 0, NULL, 0, &trust, NULL), PAC_OK);
  assert_int_equal(ERR_peek_error(), 0);
  return trust;
}

static void expect_form(const char *pem, size_t length, const char *wanted) {
  pac_certificate *certificate = NULL;
  expect_reason(read_exactly(pem, length, NULL, &certificate), wanted);
  pac_certificate_free(certificate);
}

static void expect_text(const char *before, const char *pem, const char *behind, const char *wanted) {
  char text[16384];
  int length = snprintf(text, sizeof text, "%s%s%s", before, pem, behind);
  assert_true(length >= 0 && (size_t)length < sizeof text);
  expect_form(text, (size_t)length, wanted);
}

static void test_takes_one_certificate_and_nothing_else(void **state) {
  (void)state;
  char pem[4096];
  size_t length = read_genuine(pem, sizeof pem);
  expect_form(pem, length, NULL);
  expect_form(pem, length - 1, NULL); /* the last line break is no part of it */
  expect_text("", pem, "\n", "bad_certificate");
  expect_text(" ", pem, "", "bad_certificate");
  expect_text("\n", pem, "", "bad_certificate");
  expect_text("<Error>", pem, "</Error>", "bad_certificate");
  expect_text("Bag Attributes\n", pem, "", "bad_certificate");
  expect_text(pem, pem, "", "bad_certificate");
  expect_text("", "", "", "bad_certificate");
  expect_text("-----BEGIN CERTIFICATE-----\n", "", "-----END CERTIFICATE-----\n", "bad_certificate");
  expect_text("-----BEGIN CERTIFICATE-----\n", "AAAA\n", "-----END CERTIFICATE-----\n", "bad_certificate");
  for (size_t cut = 1; cut < length - 1; cut += 7) {
    expect_form(pem, cut, "bad_certificate");
  }
}

static void test_refuses_other_blocks_and_large_texts(void **state) {
  (void)state;
  char pem[4096];
  size_t length = read_genuine(pem, sizeof pem);
  char *large = malloc(PAC_CERTIFICATE_MAX_BYTES + 1);
  assert_non_null(large);
  memset(large, '\n', PAC_CERTIFICATE_MAX_BYTES + 1);
  memcpy(large, pem, length);
  expect_form(large, PAC_CERTIFICATE_MAX_BYTES + 1, "bad_certificate");
  free(large);
  memcpy(pem + 11, "PUBLIC KEY!", 11);
  expect_form(pem, length, "bad_certificate");
  expect_form("\x30\x82\x01\x0a\x02\x82\x01\x01\x00", 9, "bad_certificate");
}

/* Each byte of the base64 in turn becomes another character: nothing may crash,
** and nothing is trusted. */
static void test_trusts_no_changed_certificate(void **state) {
  (void)state;
  char pem[4096];
  size_t length = read_genuine(pem, sizeof pem);
  pac_trust *trust = new_trust();
  pac_topic topic;
  assert_int_equal(pac_topic_read(TOPIC, strlen(TOPIC), &topic), PAC_OK);
  for (size_t i = 28; i < length - 28; i += 5) {
    char kept = pem[i];
    pem[i] = kept == 'A' ? 'B' : 'A';
    pac_certificate *certificate = NULL;
    if (kept != '\n' && read_exactly(pem, length, trust, &certificate) == NULL) {
      assert_non_null(pac_certificate_judge(certificate, &topic, NOT_BEFORE + 1));
      assert_int_equal(ERR_peek_error(), 0);
    }
    pac_certificate_free(certificate);
    pem[i] = kept;
  }
  pac_trust_free(trust);
}

static pac_certificate *genuine(pac_trust *trust) {
  char pem[4096];
  size_t length = read_genuine(pem, sizeof pem);
  pac_certificate *certificate = NULL;
  assert_null(read_exactly(pem, length, trust, &certificate));
  return certificate;
}

static void expect_judgement(pac_certificate *certificate, const char *arn, int64_t now, const char *wanted) {
  pac_topic topic;
  assert_int_equal(pac_topic_read(arn, strlen(arn), &topic), PAC_OK);
  expect_reason(pac_certificate_judge(certificate, &topic, now), wanted);
  assert_int_equal(ERR_peek_error(), 0);
}

static void test_judges_the_genuine_chain_at_every_time(void **state) {
  (void)state;
  pac_trust *trust = new_trust();
  pac_certificate *certificate = genuine(trust);
  int64_t from, until;
  pac_certificate_times(certificate, &from, &until);
  assert_int_equal(from, NOT_BEFORE);
  assert_int_equal(until, NOT_AFTER);
  expect_judgement(certificate, TOPIC, NOT_BEFORE - 1, "certificate_dates");
  expect_judgement(certificate, TOPIC, NOT_AFTER, "certificate_dates");
  expect_judgement(certificate, TOPIC, NOT_BEFORE, NULL);
  expect_judgement(certificate, TOPIC, NOT_AFTER - 1, NULL);
  /* OpenSSL takes the last second for too late; so it is also when the chain is known. */
  expect_judgement(certificate, TOPIC, NOT_AFTER, "certificate_dates");
  expect_judgement(certificate, TOPIC, NOT_AFTER + 1, "certificate_dates");
  expect_judgement(certificate, TOPIC, NOT_AFTER - 1, NULL);
  pac_certificate_free(certificate);
  pac_trust_free(trust);
}

static void test_judges_the_name_of_each_topic(void **state) {
  (void)state;
  pac_trust *trust = new_trust();
  pac_certificate *certificate = genuine(trust);
  pac_trust_free(trust); /* the certificate has a share of its own */
  expect_judgement(certificate, "arn:aws:sns:eu-west-1:123456789012:a", NOT_BEFORE, NULL);
  expect_judgement(certificate, "arn:aws:sns:af-south-1:123456789012:a", NOT_BEFORE, "certificate_name");
  expect_judgement(certificate, "arn:aws-cn:sns:cn-north-1:123456789012:a", NOT_BEFORE, "certificate_name");
  expect_judgement(certificate, TOPIC, NOT_BEFORE, NULL);
  pac_certificate_free(certificate);
}

/* A root and an intermediate are trusted, and may not sign messages. */
static void test_lets_no_ca_sign(void **state) {
  (void)state;
  static const char *const files[] = { "spec/fixtures/sns/chain/amazon-rsa-2048-m01.pem",
                                       "spec/fixtures/sns/chain/amazon-root-ca-1.pem" };
  pac_trust *trust = new_trust();
  for (size_t i = 0; i < COUNT(files); i++) {
    char pem[4096];
    size_t length = read_file(files[i], pem, sizeof pem);
    pac_certificate *certificate = NULL;
    assert_null(read_exactly(pem, length, trust, &certificate));
    expect_judgement(certificate, TOPIC, NOT_BEFORE, "untrusted_certificate");
    pac_certificate_free(certificate);
  }
  pac_trust_free(trust);
}

static void test_wants_rsa(void **state) {
  (void)state;
  char pem[4096];
  size_t length = read_file("spec/fixtures/sns/chain/amazon-root-ca-3.pem", pem, sizeof pem);
  expect_form(pem, length, "weak_key");
}

static void test_refuses_trust_that_is_no_certificate(void **state) {
  (void)state;
  char pem[4096], broken[4096];
  size_t length = read_genuine(pem, sizeof pem);
  static const char *const rows[] = { "", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" };
  pac_trust *trust = NULL;
  pac_err err;
  for (size_t i = 0; i < COUNT(rows); i++) {
    assert_int_equal(pac_trust_new(rows[i], strlen(rows[i]), NULL, 0, &trust, &err), PAC_INVALID);
    assert_string_equal(err.message, "intermediates: must be certificates in PEM, and nothing else");
    assert_int_equal(pac_trust_new(NULL, 0, rows[i], strlen(rows[i]), &trust, &err), PAC_INVALID);
    assert_string_equal(err.message, "roots: must be self-signed certificates in PEM, and nothing else");
  }
  int broken_length = snprintf(broken, sizeof broken, "%s%.60s", pem, pem);
  assert_int_equal(pac_trust_new(broken, (size_t)broken_length, NULL, 0, &trust, &err), PAC_INVALID);
  assert_int_equal(pac_trust_new(NULL, 0, pem, length, &trust, &err), PAC_INVALID); /* no root */
  assert_int_equal(pac_trust_new(pem, length, NULL, 0, &trust, &err), PAC_OK);
  assert_int_equal(ERR_peek_error(), 0);
  pac_trust_free(trust);
}

/* Such a block would make OpenSSL ask the terminal for a password. */
static void test_asks_nobody_for_a_password(void **state) {
  (void)state;
  char pem[4096], encrypted[4096];
  size_t head = strlen("-----BEGIN CERTIFICATE-----\n");
  (void)read_genuine(pem, sizeof pem);
  static const char *const headers =
      "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,000102030405060708090A0B0C0D0E0F\n\n";
  int length = snprintf(encrypted, sizeof encrypted, "%.*s%s%s", (int)head, pem, headers, pem + head);
  pac_trust *trust = NULL;
  assert_int_equal(pac_trust_new(encrypted, (size_t)length, NULL, 0, &trust, NULL), PAC_INVALID);
  expect_form(encrypted, (size_t)length, "bad_certificate");
  assert_int_equal(ERR_peek_error(), 0);
}

/* A bundle explains itself between its blocks, and holds no keys. */
static void test_reads_a_bundle(void **state) {
  (void)state;
  char pem[4096], bundle[8192];
  (void)read_file("spec/fixtures/sns/chain/amazon-rsa-2048-m01.pem", pem, sizeof pem);
  pac_trust *trust = NULL;
  int length = snprintf(bundle, sizeof bundle, "# M01\n%s\n# again\n%s# end\n", pem, pem);
  assert_int_equal(pac_trust_new(bundle, (size_t)length, NULL, 0, &trust, NULL), PAC_OK);
  pac_trust_free(trust);
  length = snprintf(bundle, sizeof bundle, "%s-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", pem);
  assert_int_equal(pac_trust_new(bundle, (size_t)length, NULL, 0, &trust, NULL), PAC_INVALID);
}

static void test_tells_a_policy_against_sha1_from_a_bad_signature(void **state) {
  (void)state;
  unsigned char signature[256] = { 1 };
  is_sha1_refused = 1;
  pac_certificate *certificate = genuine(NULL);
  expect_reason(pac_certificate_verify(certificate, 1, "x", 1, signature, sizeof signature), "sha1_disabled");
  assert_int_equal(pac_certificate_can_verify(certificate, 1), 0);
  assert_int_equal(pac_certificate_can_verify(certificate, 2), 1);
  expect_reason(pac_certificate_verify(certificate, 2, "x", 1, signature, sizeof signature), "bad_signature");
  expect_reason(pac_certificate_verify(certificate, 2, "x", 1, signature, sizeof signature - 1), "bad_signature");
  is_sha1_refused = 0; /* what was refused is asked for again */
  assert_int_equal(pac_certificate_can_verify(certificate, 1), 1);
  expect_reason(pac_certificate_verify(certificate, 1, "x", 1, signature, sizeof signature), "bad_signature");
  assert_int_equal(ERR_peek_error(), 0);
  pac_certificate_free(certificate);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_takes_one_certificate_and_nothing_else),
    cmocka_unit_test(test_refuses_other_blocks_and_large_texts),
    cmocka_unit_test(test_trusts_no_changed_certificate),
    cmocka_unit_test(test_judges_the_genuine_chain_at_every_time),
    cmocka_unit_test(test_judges_the_name_of_each_topic),
    cmocka_unit_test(test_lets_no_ca_sign),
    cmocka_unit_test(test_wants_rsa),
    cmocka_unit_test(test_refuses_trust_that_is_no_certificate),
    cmocka_unit_test(test_asks_nobody_for_a_password),
    cmocka_unit_test(test_reads_a_bundle),
    cmocka_unit_test(test_tells_a_policy_against_sha1_from_a_bad_signature),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
