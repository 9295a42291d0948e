/* pac_json_string.c: the strings of a JSON text: found and checked byte by
** byte, decoded, and compared by their values. */
#include "pac_json_parts.h"

#include "pac_buf.h"

#include <string.h>

#define WORD          ((ptrdiff_t)sizeof(uint64_t))
#define EVERY_BYTE(b) (UINT64_C(0x0101010101010101) * (b))
#define ESCAPE_LENGTH 6 /* \uXXXX */
#define NO_UNIT       UINT32_MAX
#define NO_BYTE       (-1)

static int is_plain(unsigned char byte) {
  return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

/* Eight bytes as a number, the first in its lowest bits. */
static uint64_t load(const char *at) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

/* Marks the bytes of this value by their highest bit. A borrow can mark others,
** which stand behind the first that is marked rightly. */
static uint64_t mark(uint64_t word, char value) {
  uint64_t zero = word ^ EVERY_BYTE((unsigned char)value);
  return (zero - EVERY_BYTE(1)) & ~zero & EVERY_BYTE(0x80);
}

/* The same for bytes that are not plain. */
static uint64_t mark_unplain(uint64_t word) {
  uint64_t control = (word - EVERY_BYTE(0x20)) & ~word;
  return mark(word, '"') | mark(word, '\\') | ((control | word) & EVERY_BYTE(0x80));
}

/* How many bytes stand before the first that is marked. */
static ptrdiff_t count_before(uint64_t marks) {
  return marks == 0 ? WORD : (ptrdiff_t)(__builtin_ctzll(marks) / 8);
}

/* Most bytes of most strings end here, eight at a time. */
static const char *skip_plain(const char *at, const char *end) {
  while (end - at >= WORD) {
    ptrdiff_t plain = count_before(mark_unplain(load(at)));
    at += plain;
    if (plain < WORD) {
      return at;
    }
  }
  while (at < end && is_plain((unsigned char)*at)) {
    at++;
  }
  return at;
}

/* What stands behind a backslash for one byte, or NUL for anything else. */
static char simple_escape(char letter) {
  static const char values[256] = {
    ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t'
  };
  return values[(unsigned char)letter];
}

static uint32_t hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') {
    return (uint32_t)(digit - '0');
  }
  char lower = (char)(digit | 0x20);
  return lower >= 'a' && lower <= 'f' ? (uint32_t)(lower - 'a') + 10 : NO_UNIT;
}

/* The code unit of the \uXXXX that begins here, or NO_UNIT when none does. */
static uint32_t code_unit(const char *at, const char *end) {
  uint32_t unit = 0;
  if (end - at < ESCAPE_LENGTH || at[0] != '\\' || at[1] != 'u') {
    return NO_UNIT;
  }
  for (int i = 2; i < ESCAPE_LENGTH; i++) {
    uint32_t digit = hex_digit(at[i]);
    if (digit == NO_UNIT) {
      return NO_UNIT;
    }
    unit = unit << 4 | digit;
  }
  return unit;
}

static int is_high(uint32_t unit) {
  return unit >= 0xD800 && unit <= 0xDBFF;
}

static int is_low(uint32_t unit) {
  return unit >= 0xDC00 && unit <= 0xDFFF;
}

/* The length of the escape at the place, which is a backslash; or 0 and the
** rule that it breaks. */
static ptrdiff_t escape_length(const char *at, const char *end, const char **rule) {
  if (end - at >= 2 && simple_escape(at[1]) != '\0') {
    return 2;
  }
  uint32_t unit = code_unit(at, end);
  if (unit == NO_UNIT) {
    *rule = "this is no escape of JSON";
    return 0;
  }
  if (!is_high(unit) && !is_low(unit)) {
    return ESCAPE_LENGTH;
  }
  /* The next unit lies behind a whole escape, so the pointer stays inside. */
  if (is_high(unit) && is_low(code_unit(at + ESCAPE_LENGTH, end))) {
    return (ptrdiff_t)2 * ESCAPE_LENGTH;
  }
  *rule = "a surrogate must stand in a pair";
  return 0;
}

/* The length of what stands at a byte that is neither plain nor a quote; or 0,
** the reason and the rule. */
static ptrdiff_t special_length(const char *at, const char *end, const char **reason, const char **rule) {
  *reason = "bad_json";
  if (at == end) {
    *rule = "the text ends inside a string";
    return 0;
  }
  if (*at == '\\') {
    return escape_length(at, end, rule);
  }
  if ((unsigned char)*at < 0x20) {
    *rule = "a control character must be escaped";
    return 0;
  }
  ptrdiff_t length = (ptrdiff_t)pac_utf8_sequence(at, (size_t)(end - at));
  if (length == 0) {
    *reason = "bad_utf8";
    *rule = "this is not UTF-8";
  }
  return length;
}

const char *pac_json_string_scan(const char **at, const char *end, pac_json_string *out, const char **reason,
                                 const char **rule) {
  const char *start = *at;
  const char *here = skip_plain(start, end);
  int has_escapes = 0;
  while (here == end || *here != '"') {
    int is_simple = end - here >= 2 && *here == '\\' && simple_escape(here[1]) != '\0';
    ptrdiff_t length = is_simple ? 2 : special_length(here, end, reason, rule);
    if (length == 0) {
      *at = here;
      return NULL;
    }
    has_escapes |= *here == '\\';
    here = skip_plain(here + length, end);
  }
  out->raw = (pac_text){ start, (size_t)(here - start) };
  out->has_escapes = has_escapes;
  return here + 1;
}

/* ---- values ---- */

static int write_utf8(uint32_t point, char out[4]) {
  if (point < 0x80) {
    out[0] = (char)point;
    return 1;
  }
  int length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  static const unsigned char leads[] = { 0, 0, 0xC0, 0xE0, 0xF0 };
  for (int i = length - 1; i > 0; i--) {
    out[i] = (char)(0x80 | (point & 0x3F));
    point >>= 6;
  }
  out[0] = (char)(leads[length] | point);
  return length;
}

/* Writes the value of a checked escape and moves *at behind it. Returns how many
** bytes it has, which are always fewer than the escape had. */
static int decode_escape(const char **at, const char *end, char out[4]) {
  const char *here = *at;
  if (here[1] != 'u') {
    out[0] = simple_escape(here[1]);
    *at = here + 2;
    return 1;
  }
  uint32_t point = code_unit(here, end);
  here += ESCAPE_LENGTH;
  if (is_high(point)) {
    point = 0x10000 + ((point - 0xD800) << 10) + (code_unit(here, end) - 0xDC00);
    here += ESCAPE_LENGTH;
  }
  *at = here;
  return write_utf8(point, out);
}

/* Copies what comes before the next escape. out has as much room as there is
** from `at` to `end`, so that whole words may be written. */
static size_t copy_plain(const char *at, const char *end, char *out) {
  const char *start = at;
  while (end - at >= WORD) {
    ptrdiff_t plain = count_before(mark(load(at), '\\'));
    memcpy(out + (at - start), at, WORD);
    at += plain;
    if (plain < WORD) {
      return (size_t)(at - start);
    }
  }
  while (at < end && *at != '\\') {
    out[at - start] = *at;
    at++;
  }
  return (size_t)(at - start);
}

size_t pac_json_decode(const pac_json_string *string, char *out) {
  const char *at = string->raw.data;
  const char *end = at + string->raw.length;
  char *start = out;
  while (at < end) {
    size_t plain = copy_plain(at, end, out);
    at += plain;
    out += plain;
    if (at < end && at[1] != 'u') {
      *out++ = simple_escape(at[1]);
      at += 2;
    } else if (at < end) {
      char bytes[4];
      int length = decode_escape(&at, end, bytes);
      for (int i = 0; i < length; i++) {
        *out++ = bytes[i];
      }
    }
  }
  return (size_t)(out - start);
}

/* The bytes of a value one by one, without a place to write it to. */
typedef struct byte_reader {
  const char *at;
  const char *end;
  char bytes[4]; /* of the escape that is being read */
  int next;
  int count;
} byte_reader;

static byte_reader read_bytes(const pac_json_string *string) {
  return (byte_reader){ .at = string->raw.data, .end = string->raw.data + string->raw.length };
}

static int next_byte(byte_reader *reader) {
  if (reader->next < reader->count) {
    return (unsigned char)reader->bytes[reader->next++];
  }
  if (reader->at == reader->end) {
    return NO_BYTE;
  }
  if (*reader->at != '\\') {
    return (unsigned char)*reader->at++;
  }
  reader->count = decode_escape(&reader->at, reader->end, reader->bytes);
  reader->next = 1;
  return (unsigned char)reader->bytes[0];
}

uint32_t pac_json_string_hash(const pac_json_string *string) {
  byte_reader reader = read_bytes(string);
  uint32_t hash = UINT32_C(2166136261); /* FNV-1a */
  for (int byte = next_byte(&reader); byte != NO_BYTE; byte = next_byte(&reader)) {
    hash = (hash ^ (uint32_t)byte) * UINT32_C(16777619);
  }
  return hash;
}

int pac_json_string_same(const pac_json_string *a, const pac_json_string *b) {
  if (!a->has_escapes && !b->has_escapes) {
    return a->raw.length == b->raw.length && memcmp(a->raw.data, b->raw.data, a->raw.length) == 0;
  }
  byte_reader left = read_bytes(a);
  byte_reader right = read_bytes(b);
  int byte = next_byte(&left);
  int other = next_byte(&right);
  while (byte == other && byte != NO_BYTE) {
    byte = next_byte(&left);
    other = next_byte(&right);
  }
  return byte == other;
}
