#include "pac_uuid.h"

#include "pac_random.h"

#define UUID_LENGTH  (PAC_UUID_SIZE - 1)
#define UUID_BYTES   16
#define VERSION_BYTE 6
#define VARIANT_BYTE 8
#define VERSION_AT   14 /* the character of the version, and of the variant below */
#define VARIANT_AT   19

static int is_hyphen_at(int i) {
  return i == 8 || i == 13 || i == 18 || i == 23;
}

static int is_hex(char byte) {
  return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

static int is_variant(char byte) {
  return byte == '8' || byte == '9' || byte == 'a' || byte == 'b' || byte == 'A' || byte == 'B';
}

pac_status pac_uuid_v4(char out[PAC_UUID_SIZE]) {
  static const char digits[] = "0123456789abcdef";
  unsigned char bytes[UUID_BYTES];
  out[0] = '\0';
  pac_status status = pac_random_bytes(bytes, sizeof bytes);
  if (status != PAC_OK) {
    return status;
  }
  bytes[VERSION_BYTE] = (unsigned char)((bytes[VERSION_BYTE] & 0x0f) | 0x40);
  bytes[VARIANT_BYTE] = (unsigned char)((bytes[VARIANT_BYTE] & 0x3f) | 0x80);
  for (int i = 0, nibble = 0; i < UUID_LENGTH; i++) {
    if (is_hyphen_at(i)) {
      out[i] = '-';
    } else {
      unsigned byte = bytes[nibble / 2];
      out[i] = digits[nibble % 2 == 0 ? byte >> 4 : byte & 0x0f];
      nibble++;
    }
  }
  out[UUID_LENGTH] = '\0';
  return PAC_OK;
}

int pac_uuid_is_v4(const char *text, size_t length) {
  if (length != UUID_LENGTH) {
    return 0;
  }
  for (int i = 0; i < UUID_LENGTH; i++) {
    if (is_hyphen_at(i) ? text[i] != '-' : !is_hex(text[i])) {
      return 0;
    }
  }
  return text[VERSION_AT] == '4' && is_variant(text[VARIANT_AT]);
}
