#include "pac_digest.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#define SHA256_BYTES 32

pac_status pac_digest_fingerprint(const char *text, size_t length, char out[PAC_FINGERPRINT_SIZE]) {
  static const char digits[] = "0123456789abcdef";
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  out[0] = '\0';
  if (EVP_Digest(text, length, bytes, &size, EVP_sha256(), NULL) != 1 || size != SHA256_BYTES) {
    ERR_clear_error();
    return PAC_FAILED;
  }
  for (unsigned i = 0; i < size; i++) {
    out[2 * i] = digits[bytes[i] >> 4];
    out[2 * i + 1] = digits[bytes[i] & 0x0f];
  }
  out[PAC_FINGERPRINT_SIZE - 1] = '\0';
  return PAC_OK;
}
