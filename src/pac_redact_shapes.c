/* pac_redact_shapes.c: what ids, telephone numbers and keys look like. Each
** function looks at the start of a text and no further than it answers for, or
** at most a fixed number of bytes. */
#include <string.h>

#include "pac_operation.h"
#include "pac_redact_parts.h"

/* ---- ids that people need ------------------------------------------------ */

/* Matches a pattern: 'd' a digit, 'x' a hexadecimal digit, anything else
** itself. Its length, or 0. */
static size_t match(const char *text, size_t length, const char *pattern) {
  size_t size = strlen(pattern);
  if (length < size) {
    return 0;
  }
  for (size_t i = 0; i < size; i++) {
    char c = text[i];
    int is_hex = pac_redact_is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    int fits = pattern[i] == 'd' ? pac_redact_is_digit(c) : pattern[i] == 'x' ? is_hex : c == pattern[i];
    if (!fits) {
      return 0;
    }
  }
  return size;
}

/* At most that many digits from there on. */
static size_t digits(const char *text, size_t length, size_t most) {
  size_t i = 0;
  while (i < length && i < most && pac_redact_is_digit(text[i])) {
    i++;
  }
  return i;
}

/* 2026-11-22, 2026-11-22T04:15:04.281000000Z, 2023-06-14 07:23:05+0000 */
static size_t instant(const char *text, size_t length) {
  size_t i = match(text, length, "dddd-dd-dd");
  if (i == 0) {
    return 0;
  }
  size_t clock = match(text + i, length - i, "Tdd:dd");
  clock = clock != 0 ? clock : match(text + i, length - i, " dd:dd");
  if (clock == 0) {
    return i;
  }
  i += clock;
  i += match(text + i, length - i, ":dd");
  if (i + 1 < length && (text[i] == '.' || text[i] == ',') && pac_redact_is_digit(text[i + 1])) {
    i += 1 + digits(text + i + 1, length - i - 1, 9);
  }
  if (i < length && text[i] == 'Z') {
    return i + 1;
  }
  static const char *const zones[] = { "+dd:dd", "-dd:dd", "+dddd", "-dddd" };
  size_t zone = 0;
  for (size_t z = 0; z < sizeof zones / sizeof zones[0] && zone == 0; z++) {
    zone = match(text + i, length - i, zones[z]);
  }
  return i + zone;
}

/* 192.168.100.200 */
static size_t ipv4(const char *text, size_t length) {
  size_t i = 0;
  for (int part = 0; part < 4; part++) {
    if (part > 0 && (i >= length || text[i++] != '.')) {
      return 0;
    }
    size_t size = digits(text + i, length - i, 3);
    if (size == 0) {
      return 0;
    }
    i += size;
  }
  return i;
}

/* 3785222-AMTX:10237 */
static size_t confirmation(const char *text, size_t length) {
  size_t i = digits(text, length, 12);
  if (i == 0 || i >= length || text[i] != '-') {
    return 0;
  }
  size_t first = ++i;
  while (i < length && i - first < 8 && pac_redact_is_upper(text[i])) {
    i++;
  }
  if (i - first < 2 || i >= length || text[i] != ':') {
    return 0;
  }
  size_t last = digits(text + i + 1, length - i - 1, 12);
  return last > 0 ? i + 1 + last : 0;
}

/* Names of operations end in words that also name secrets: "auth.token: ..." */
static size_t operation(const char *text, size_t length) {
  size_t i = 0;
  while (i < length && i < PAC_REDACT_MAX_NAME &&
         (pac_redact_is_lower(text[i]) || pac_redact_is_digit(text[i]) || text[i] == '.' || text[i] == '_')) {
    i++;
  }
  return memchr(text, '.', i) != NULL && pac_operation_find(text, i) != NULL ? i : 0;
}

/* The size, or 0 when what was found goes on and is something else. */
static size_t whole(const char *text, size_t length, size_t size) {
  if (size == 0 || size >= length) {
    return size;
  }
  char next = text[size];
  return pac_redact_is_name(next) || next == '@' || next == '+' || next == '%' ? 0 : size;
}

static size_t uuid(const char *text, size_t length) {
  return whole(text, length, match(text, length, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"));
}

size_t pac_redact_kept(const char *text, size_t length) {
  size_t (*const shapes[])(const char *, size_t) = { uuid, instant, ipv4, confirmation, operation };
  size_t size = 0;
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0] && size == 0; i++) {
    size = whole(text, length, shapes[i](text, length));
  }
  return size;
}

/* ---- numbers in groups --------------------------------------------------- */

#define MAX_GROUPS 8
#define MAX_DIGITS 19 /* the longest card number */

typedef struct group {
  size_t digits;
  size_t end; /* behind the group, its closing bracket included */
} group;

/* The groups at the start, joined by one of " -./" or by brackets. */
static size_t read_groups(const char *text, size_t length, group *groups) {
  size_t count = 0;
  size_t i = 0;
  while (count < MAX_GROUPS) {
    int bracket = i < length && text[i] == '(';
    size_t size = digits(text + i + (size_t)bracket, length - i - (size_t)bracket, MAX_DIGITS + 1);
    size_t end = i + (size_t)bracket + size;
    if (size == 0 || (bracket && (end >= length || text[end] != ')'))) {
      break;
    }
    end += (size_t)bracket;
    groups[count++] = (group){ size, end };
    i = end;
    if (i < length && (text[i] == ' ' || text[i] == '-' || text[i] == '.' || text[i] == '/')) {
      i++;
    } else if (!(i < length && (text[i] == '(' || bracket))) {
      break;
    }
  }
  return count;
}

static int has_sizes(const group *groups, size_t count, const unsigned char *sizes) {
  size_t i = 0;
  while (i < count && sizes[i] == groups[i].digits) {
    i++;
  }
  return sizes[i] == 0 ? (int)i : 0;
}

/* How many groups make a number of a usual national form or of a card. */
static size_t national(const char *text, const group *groups, size_t count) {
  static const unsigned char forms[][6] = { { 4, 4, 4, 4, 3, 0 }, { 4, 4, 4, 4, 0 }, { 4, 6, 5, 0 },
                                            { 1, 3, 3, 4, 0 },    { 3, 3, 4, 0 },    { 3, 7, 0 } };
  for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++) {
    int matched = has_sizes(groups, count, forms[f]);
    if (matched > 0) {
      return (size_t)matched;
    }
  }
  size_t total = 0;
  size_t taken = 0; /* 020 7946 0958, 06 12 34 56 78 */
  while (text[0] == '0' && taken < count && groups[taken].digits <= 5 && total + groups[taken].digits <= 12) {
    total += groups[taken++].digits;
  }
  return total >= 10 && taken >= 2 ? taken : 0;
}

/* +49 151 23456789: after a plus any grouping will do. */
static size_t international(const group *groups, size_t count) {
  size_t total = 0;
  size_t taken = 0;
  while (taken < count && total + groups[taken].digits <= 15) {
    total += groups[taken++].digits;
  }
  return total >= 7 ? taken : 0;
}

size_t pac_redact_grouped_number(const char *text, size_t length) {
  group groups[MAX_GROUPS];
  size_t plus = length > 0 && text[0] == '+';
  size_t count = read_groups(text + plus, length - plus, groups);
  size_t taken = plus ? international(groups, count) : national(text, groups, count);
  if (taken == 0) {
    return 0;
  }
  size_t end = plus + groups[taken - 1].end;
  return end < length && pac_redact_is_alnum(text[end]) ? 0 : end;
}

/* ---- keys ---------------------------------------------------------------- */

#define MIN_KEY       16 /* letters and digits in one piece; shorter ones may be codes and ids */
#define MIN_CHAIN_KEY 20 /* in pieces */
#define MIN_WORD_KEY  28 /* letters of one case: no word is that long */
#define MIN_JWT       10 /* of its first part */
#define MIN_NUMBER    10 /* digits: telephone numbers with their area */
#define MIN_INNER     12 /* digits among letters */

/* What is counted of letters and digits. A turn is a change between small
** letters, capitals and digits: random text has many, words have few. */
typedef struct stats {
  size_t length, digits, upper, lower, turns, longest_number;
} stats;

enum { DIGIT, UPPER, LOWER };

static int kind_of(char c) {
  return pac_redact_is_digit(c) ? DIGIT : pac_redact_is_upper(c) ? UPPER : LOWER;
}

/* Counts the piece of letters and digits at the start. */
static stats count_piece(const char *text, size_t length) {
  stats s = { 0 };
  size_t number = 0;
  while (s.length < length && pac_redact_is_alnum(text[s.length])) {
    int kind = kind_of(text[s.length]);
    size_t *const counts[] = { [DIGIT] = &s.digits, [UPPER] = &s.upper, [LOWER] = &s.lower };
    ++*counts[kind];
    s.turns += s.length > 0 && kind != kind_of(text[s.length - 1]);
    number = kind == DIGIT ? number + 1 : 0;
    s.longest_number = number > s.longest_number ? number : s.longest_number;
    s.length++;
  }
  return s;
}

static void add_stats(stats *sum, const stats *piece) {
  sum->length += piece->length;
  sum->digits += piece->digits;
  sum->upper += piece->upper;
  sum->lower += piece->lower;
  sum->turns += piece->turns;
}

/* Seconds and milliseconds since 1970, from 2001 to 2033. No telephone number
** of North America begins with 1, and no card number of 13 digits. */
static int is_unix_time(const char *text, size_t length) {
  return text[0] == '1' && (length == 10 || length == 13);
}

/* Random text of two or three kinds turns in 40 % of its places or more, or has
** digits among its letters. */
static int is_random(const stats *s, size_t least) {
  size_t letters = s->upper + s->lower;
  if (s->length < least) {
    return 0;
  }
  if (s->digits >= 2 && letters >= 3) {
    return s->turns * 6 >= s->length;
  }
  return s->upper > 0 && s->lower > 0 && s->turns * 5 >= s->length * 2;
}

static int is_key_piece(const char *text, const stats *s) {
  if (s->length >= MIN_JWT && memcmp(text, "eyJ", 3) == 0) {
    return 1; /* {" in base64, the start of a JSON Web Token */
  }
  if (s->digits == s->length) {
    return s->length >= MIN_NUMBER && !is_unix_time(text, s->length);
  }
  return s->longest_number >= MIN_INNER || is_random(s, MIN_KEY) ||
         (s->length >= MIN_WORD_KEY && (s->upper == s->length || s->lower == s->length));
}

/* Signs inside a run. '=' only where it fills up base64: else it parts a name
** from a value. */
static int joins(const char *text, size_t length, size_t i) {
  char c = text[i];
  if (c == '=') {
    return i + 1 >= length || !(pac_redact_is_alnum(text[i + 1]) || strchr("\"'[{(<", text[i + 1]) != NULL);
  }
  return c == '-' || c == '_' || c == '.' || c == '+' || c == '~' || c == '%';
}

/* A fraction, as numbers are printed. */
static int is_decimal(const char *text, size_t length) {
  size_t whole = digits(text, length, 9);
  return whole > 0 && whole + 1 < length && text[whole] == '.' &&
         digits(text + whole + 1, length - whole - 1, 17) == length - whole - 1;
}

size_t pac_redact_run(const char *text, size_t length, int *is_key) {
  stats sum = { 0 };
  size_t i = 0;
  int found = 0;
  while (i < length && (pac_redact_is_alnum(text[i]) || (i > 0 && joins(text, length, i)))) {
    if (!pac_redact_is_alnum(text[i])) {
      i++;
      continue;
    }
    if (i > 0 && uuid(text + i, length - i) != 0) {
      break; /* "request-" and a UUID: the UUID is looked at for itself */
    }
    stats piece = count_piece(text + i, length - i);
    found = found || is_key_piece(text + i, &piece);
    add_stats(&sum, &piece);
    i += piece.length;
  }
  *is_key = (found || (sum.digits >= 3 && is_random(&sum, MIN_CHAIN_KEY)) ||
             (sum.digits < 3 && is_random(&sum, MIN_CHAIN_KEY + 4))) &&
            !is_decimal(text, i);
  while (i > 1 && (text[i - 1] == '.' || text[i - 1] == '-')) {
    i--; /* the end of a sentence */
  }
  return i;
}

/* A part between slashes that a path would have. */
static int is_path_word(const char *text, const stats *s) {
  return (s->lower == s->length && s->length >= 3) || (s->length == 2 && text[0] == 'v');
}

size_t pac_redact_base64(const char *text, size_t length, int *is_key) {
  stats sum = { 0 };
  size_t i = 0;
  int has_word = 0;
  int has_slash = 0;
  while (i < length && (pac_redact_is_alnum(text[i]) || strchr("+/=", text[i]) != NULL) && text[i] != '\0') {
    stats piece = count_piece(text + i, length - i);
    has_word = has_word || (piece.length > 0 && is_path_word(text + i, &piece));
    add_stats(&sum, &piece);
    i += piece.length;
    if (piece.length == 0) {
      has_slash = has_slash || text[i] == '/';
      i++;
    }
  }
  *is_key = has_slash && !has_word && is_random(&sum, MIN_CHAIN_KEY);
  return i;
}
