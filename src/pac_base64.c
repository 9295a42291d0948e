#include "pac_base64.h"

/* What each character stands for, plus one; 0: it is none of the 64. */
#define UPPER(c)   [c] = (c) - 'A' + 1
#define LOWER(c)   [c] = (c) - 'a' + 27
#define DIGIT(c)   [c] = (c) - '0' + 53
#define FIVE(M, c) M(c), M((c) + 1), M((c) + 2), M((c) + 3), M((c) + 4)
static const unsigned char digits[256] = {
  FIVE(UPPER, 'A'), FIVE(UPPER, 'F'), FIVE(UPPER, 'K'), FIVE(UPPER, 'P'), FIVE(UPPER, 'U'), UPPER('Z'),
  FIVE(LOWER, 'a'), FIVE(LOWER, 'f'), FIVE(LOWER, 'k'), FIVE(LOWER, 'p'), FIVE(LOWER, 'u'), LOWER('z'),
  FIVE(DIGIT, '0'), FIVE(DIGIT, '5'), ['+'] = 63,       ['/'] = 64,
};

/* How many '=' stand at the end: 0, 1 or 2. */
static size_t padding_of(const unsigned char *text, size_t length) {
  if (length == 0 || text[length - 1] != '=') {
    return 0;
  }
  return text[length - 2] == '=' ? 2 : 1;
}

/* Four characters as 24 bits. Returns 0 when one of them is none of the 64. */
static int take_four(const unsigned char *text, uint32_t *bits) {
  uint32_t a = digits[text[0]], b = digits[text[1]], c = digits[text[2]], d = digits[text[3]];
  *bits = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
  return a && b && c && d;
}

/* The last group, where 'A' stands in for what is missing. */
static pac_status take_last(const unsigned char *text, size_t padding, unsigned char *out) {
  unsigned char last[4] = { text[0], text[1], padding == 2 ? 'A' : text[2], 'A' };
  uint32_t bits, unused = padding == 2 ? 0xffff : 0xff;
  if (!take_four(last, &bits) || (bits & unused) != 0) {
    return PAC_INVALID;
  }
  out[0] = (unsigned char)(bits >> 16);
  if (padding == 1) {
    out[1] = (unsigned char)(bits >> 8);
  }
  return PAC_OK;
}

pac_status pac_base64_decode(const char *text, size_t length, unsigned char *out, size_t *size) {
  const unsigned char *at = (const unsigned char *)text;
  if (length % 4 != 0) {
    return PAC_INVALID;
  }
  size_t padding = padding_of(at, length), whole = (length / 4 - (padding > 0)) * 3;
  for (size_t i = 0; i < whole; i += 3, at += 4) {
    uint32_t bits;
    if (!take_four(at, &bits)) {
      return PAC_INVALID;
    }
    out[i] = (unsigned char)(bits >> 16);
    out[i + 1] = (unsigned char)(bits >> 8);
    out[i + 2] = (unsigned char)bits;
  }
  if (padding > 0 && take_last(at, padding, out + whole) != PAC_OK) {
    return PAC_INVALID;
  }
  *size = whole + (padding > 0 ? 3 - padding : 0);
  return PAC_OK;
}
