/* pac_redact.c: going through a text once, and replacing what is private. */
#include <string.h>
#include <strings.h>

#include "pac_redact_parts.h"

/* Blanks and closing signs between a name and its value. */
#define MAX_GAP 8

/* A text on its way. An atom is a run without blanks, quotes and brackets; what
** was found out about the one at `at` is kept, so that no byte is looked at
** again and again. */
typedef struct scanner {
  const char *text;
  size_t length;
  size_t at;
  size_t written; /* how far the text is in out */
  size_t atom_end;
  size_t mail_from; /* where an address of the atom may begin: behind its last slash before the '@' */
  size_t mail_at;   /* the '@', or atom_end */
  size_t base64_end;
  int knows_grant;
  int has_grant; /* a "code" in a text about grants is an authorization code */
  int has_names;
  pac_redact_names names;
  pac_buf *out;
} scanner;

/* Replaces [from, to) and goes on behind it. */
static void replace(scanner *s, size_t from, size_t to) {
  pac_buf_append(s->out, s->text + s->written, from - s->written);
  pac_buf_append_text(s->out, PAC_REDACT_MARK);
  s->written = to;
  s->at = to;
}

static int is_blank(char c) {
  return c == ' ' || c == '\t';
}

static int is_line_end(char c) {
  return c == '\n' || c == '\r';
}

static int is_one_of(char c, const char *set) {
  return c != '\0' && strchr(set, c) != NULL;
}

/* Bytes above 127 count: names and addresses have letters of all kinds. */
static int is_atom(char c) {
  return pac_redact_is_alnum(c) || (unsigned char)c >= 0x80 || is_one_of(c, "-._~:/?#@!$&*+=%^");
}

static size_t skip_blanks(const scanner *s, size_t at) {
  size_t end = at;
  while (end < s->length && end - at < MAX_GAP && is_blank(s->text[end])) {
    end++;
  }
  return end;
}

/* The end of the name at a place; the place itself where none stands or where
** it is too long for one. */
static size_t name_end(const scanner *s, size_t at) {
  size_t end = at;
  while (end < s->length && end - at <= PAC_REDACT_MAX_NAME && pac_redact_is_name(s->text[end])) {
    end++;
  }
  return end - at > PAC_REDACT_MAX_NAME ? at : end;
}

/* ---- name and value ------------------------------------------------------ */

/* Behind the sign that parts a name from its value, or 0. `"name" :`, `name=`,
** `["name"] =`, `name =>`, `<name>`. */
static size_t separator_end(const scanner *s, size_t at) {
  size_t i = at;
  while (i < s->length && i - at < 4 && is_one_of(s->text[i], "\\\"']")) {
    i++;
  }
  i = skip_blanks(s, i);
  if (i >= s->length) {
    return 0;
  }
  char c = s->text[i];
  if (c == '>' && i == at && s->at > 0 && s->text[s->at - 1] == '<') {
    return i + 1;
  }
  if (c == ':' && i + 2 < s->length && s->text[i + 1] == '/' && s->text[i + 2] == '/') {
    return 0;
  }
  if (c != ':' && c != '=') {
    return 0;
  }
  i++;
  return i < s->length && c == '=' && s->text[i] == '>' ? i + 1 : i;
}

/* The three below look for the end of a value. One that is a single word ends at
** a blank, whatever it begins with: a code may be found to stay, and what was
** looked at is then looked at again, so that nothing may be searched behind it. */

/* The end of a quoted value: at the same quote, behind no more backslashes than
** the opening one has. Without it, the end of the text. */
static size_t quoted_end(const scanner *s, size_t at, size_t backslashes, int is_word) {
  size_t slashes = 0;
  char quote = s->text[at - 1];
  for (size_t i = at; i < s->length; i++) {
    char c = s->text[i];
    int closes = backslashes == 0 ? slashes % 2 == 0 : slashes > 0 && slashes <= backslashes;
    if (is_word && is_blank(c)) {
      return i;
    }
    if (c == quote && closes) {
      return i - slashes * (backslashes > 0);
    }
    slashes = c == '\\' ? slashes + 1 : 0;
  }
  return s->length;
}

/* The end of a list or object, brackets in quotes aside. */
static size_t nested_end(const scanner *s, size_t at, int is_word) {
  size_t depth = 0;
  int quoted = 0;
  for (size_t i = at; i < s->length; i++) {
    char c = s->text[i];
    if (is_word && is_blank(c)) {
      return i;
    }
    if (c == '\\') {
      i += i + 1 < s->length && s->text[i + 1] == '\\';
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == '[' || c == '{')) {
      depth++;
    } else if (!quoted && (c == ']' || c == '}') && --depth == 0) {
      return i + 1;
    }
  }
  return s->length;
}

/* A value without quotes ends with its line, at a sign that parts values, or
** where the next name begins. */
static size_t plain_end(const scanner *s, size_t at, int is_word) {
  for (size_t i = at; i < s->length; i++) {
    char c = s->text[i];
    if (is_line_end(c) || is_one_of(c, ",;&()[]{}\"'<>") || (is_word && is_blank(c))) {
      return i;
    }
    if (is_blank(c)) {
      size_t end = name_end(s, i + 1);
      if (end > i + 1 && end < s->length && (s->text[end] == '=' || s->text[end] == ':')) {
        return i;
      }
    }
  }
  return s->length;
}

/* Header fields hold signs that part values elsewhere. */
static size_t header_end(const scanner *s, size_t at) {
  size_t i = at;
  while (i < s->length && !is_line_end(s->text[i]) && !is_one_of(s->text[i], "\"'<>")) {
    i++;
  }
  return i;
}

static int is_header(const char *name, size_t length) {
  return length >= 6 && (strncasecmp(name + length - 6, "cookie", 6) == 0 ||
                         (length >= 13 && strncasecmp(name + length - 13, "authorization", 13) == 0));
}

static int knows_grant(scanner *s) {
  if (!s->knows_grant) {
    s->knows_grant = 1;
    for (size_t i = 0; i + 5 <= s->length && !s->has_grant; i++) {
      s->has_grant = strncasecmp(s->text + i, "grant", 5) == 0;
    }
  }
  return s->has_grant;
}

/* Where the value of a name stands. */
typedef struct value {
  size_t from, to;
} value;

static value find_value(const scanner *s, size_t at, size_t name_length, int is_word) {
  size_t from = skip_blanks(s, at);
  size_t quote = from;
  while (quote < s->length && quote - from < 4 && s->text[quote] == '\\') {
    quote++;
  }
  if (quote < s->length && (s->text[quote] == '"' || s->text[quote] == '\'')) {
    return (value){ quote + 1, quoted_end(s, quote + 1, quote - from, is_word) };
  }
  if (from < s->length && (s->text[from] == '[' || s->text[from] == '{')) {
    return (value){ from, nested_end(s, from, is_word) };
  }
  size_t to = is_header(s->text + s->at, name_length) ? header_end(s, from) : plain_end(s, from, is_word);
  while (to > from && is_blank(s->text[to - 1])) {
    to--;
  }
  return (value){ from, to };
}

/* Without a grant in the text, "code: " is followed by words, and only a value
** in quotes or behind '=' may be an authorization code. Asked before the value
** is looked for, so that no text is searched in vain. */
static int may_be_private(scanner *s, pac_redact_class class, size_t behind) {
  size_t from = skip_blanks(s, behind);
  return class != PAC_REDACT_CODE || s->text[behind - 1] == '=' ||
         (from < s->length && is_one_of(s->text[from], "\\\"'")) || knows_grant(s);
}

static int is_open_code(scanner *s, pac_redact_class class, const value *found) {
  return class == PAC_REDACT_CODE && pac_redact_code_open(s->text + found->from, found->to - found->from) &&
         !knows_grant(s);
}

/* A private name with its value. 1 when it was one. */
static int take_field(scanner *s) {
  size_t end = name_end(s, s->at);
  size_t behind = end > s->at ? separator_end(s, end) : 0;
  if (behind == 0) {
    return 0;
  }
  if (!s->has_names) {
    pac_redact_names_init(&s->names);
    s->has_names = 1;
  }
  pac_redact_class class = pac_redact_name(&s->names, s->text + s->at, end - s->at);
  if (class == PAC_REDACT_OPEN || !may_be_private(s, class, behind)) {
    return 0;
  }
  value found = find_value(s, behind, end - s->at, class == PAC_REDACT_CODE); /* codes have no blanks */
  if (is_open_code(s, class, &found)) {
    return 0;
  }
  if (found.to > found.from) {
    replace(s, found.from, found.to);
  } else {
    s->at = found.from;
  }
  return 1;
}

/* ---- credentials --------------------------------------------------------- */

/* Words that follow "bearer" or "basic" in a sentence. */
static int is_word_of_schemes(const char *text, size_t length) {
  static const char *const words[] = { "token",          "tokens",        "of", "auth",
                                       "authentication", "authorization", "or", "and",
                                       "credentials",    "scheme",        "is", "was" };
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    if (strlen(words[i]) == length && memcmp(words[i], text, length) == 0) {
      return 1;
    }
  }
  return 0;
}

/* "basic" is an English word, and what base64 makes of a name and a password is
** never of small letters alone. */
static int is_credential(const char *text, size_t length, int is_basic) {
  size_t lower = 0;
  while (lower < length && pac_redact_is_lower(text[lower])) {
    lower++;
  }
  return length > 0 && !is_word_of_schemes(text, length) && !(is_basic && lower == length);
}

/* The gap behind the name of a scheme, also as a URL writes it. */
static size_t gap_end(const scanner *s, size_t at) {
  size_t i = skip_blanks(s, at);
  if (i == at && i < s->length && s->text[i] == '+') {
    return i + 1;
  }
  return i == at && i + 3 <= s->length && memcmp(s->text + i, "%20", 3) == 0 ? i + 3 : i;
}

/* "Bearer ..." and "Basic ..." */
static int take_credential(scanner *s) {
  const char *start = s->text + s->at;
  size_t left = s->length - s->at;
  size_t scheme = left > 6 && strncasecmp(start, "bearer", 6) == 0  ? 6
                  : left > 5 && strncasecmp(start, "basic", 5) == 0 ? 5
                                                                    : 0;
  size_t from = scheme > 0 ? gap_end(s, s->at + scheme) : s->at;
  if (scheme == 0 || from == s->at + scheme) {
    return 0;
  }
  size_t to = from;
  while (to < s->length && is_atom(s->text[to])) {
    to++;
  }
  size_t trimmed = to;
  while (trimmed > from && is_one_of(s->text[trimmed - 1], ".:!?")) {
    trimmed--;
  }
  if (!is_credential(s->text + from, trimmed - from, scheme == 5)) {
    s->at += scheme;
    return 1;
  }
  replace(s, from, trimmed);
  return 1;
}

/* ---- URLs and addresses -------------------------------------------------- */

/* A scheme and "://": what stands before an '@' goes. */
static int take_url(scanner *s) {
  size_t i = s->at;
  while (i < s->length && i - s->at < 16 && (pac_redact_is_alnum(s->text[i]) || is_one_of(s->text[i], "+-."))) {
    i++;
  }
  if (i == s->at || s->length - i < 3 || memcmp(s->text + i, "://", 3) != 0) {
    return 0;
  }
  size_t from = i + 3;
  size_t user_end = 0;
  for (i = from; i < s->length && !is_one_of(s->text[i], "/?#\"<> \t\r\n"); i++) {
    user_end = s->text[i] == '@' ? i : user_end;
  }
  s->at = from;
  if (user_end > from) {
    replace(s, from, user_end);
    s->at++;
  }
  return 1;
}

/* Looks for the next '@' of the atom at `at`, and for its end, once. */
static void read_atom(scanner *s) {
  size_t i = s->at;
  size_t from = i;
  while (i < s->length && is_atom(s->text[i])) {
    char c = s->text[i];
    int is_at = c == '@' || (c == '%' && i + 3 <= s->length && memcmp(s->text + i, "%40", 3) == 0);
    if (is_at) {
      break;
    }
    from = is_one_of(c, "/?#&") ? i + 1 : from;
    i++;
  }
  s->mail_from = from;
  s->mail_at = i;
  if (s->at >= s->atom_end) {
    while (i < s->length && is_atom(s->text[i])) {
      i++;
    }
    s->atom_end = i;
  }
}

/* What a name and a sign may put before an address: "mailto:", "to=". */
static size_t label_end(const scanner *s) {
  size_t end = name_end(s, s->at);
  int is_label = end > s->at && end < s->mail_at && s->text[end] == '=';
  int is_mailto = end - s->at == 6 && s->text[end] == ':' && strncasecmp(s->text + s->at, "mailto", 6) == 0;
  return is_label || is_mailto ? end + 1 : s->at;
}

static int take_address(scanner *s) {
  if (s->at >= s->atom_end || s->at > s->mail_at) {
    read_atom(s);
  }
  if (s->at < s->mail_from || s->mail_at >= s->atom_end || s->at >= s->mail_at) {
    return 0;
  }
  size_t from = label_end(s);
  size_t to = s->mail_at + 1;
  while (to < s->atom_end && !is_one_of(s->text[to], "/?#&=:!")) {
    to++;
  }
  while (to > s->mail_at + 1 && is_one_of(s->text[to - 1], ".-")) {
    to--;
  }
  if (from >= s->mail_at || to == s->mail_at + 1) {
    s->at = s->mail_at; /* no address: "5@" */
    return 1;
  }
  replace(s, from, to);
  return 1;
}

/* The values of a query. Their names stay. */
static int take_query(scanner *s) {
  size_t end = name_end(s, s->at + 1);
  if (end == s->at + 1 || end >= s->length || s->text[end] != '=') {
    return 0;
  }
  s->at = end + 1;
  for (;;) {
    size_t from = s->at;
    size_t to = from;
    while (to < s->length && !is_one_of(s->text[to], "&#\"<> \t\r\n") && s->text[to] != '\0') {
      to++;
    }
    size_t trimmed = to;
    while (trimmed > from && is_one_of(s->text[trimmed - 1], ".,;:!?)}'")) {
      trimmed--;
    }
    if (trimmed > from) {
      replace(s, from, trimmed);
    }
    end = to < s->length && s->text[to] == '&' ? name_end(s, to + 1) : to;
    if (end <= to + 1 || end >= s->length || s->text[end] != '=') {
      return 1;
    }
    s->at = end + 1;
  }
}

/* ---- the whole text ------------------------------------------------------ */

static int take_number(scanner *s) {
  size_t size = pac_redact_grouped_number(s->text + s->at, s->length - s->at);
  if (size > 0) {
    replace(s, s->at, s->at + size);
  }
  return size > 0;
}

static void take_run(scanner *s) {
  int is_key = 0;
  if (s->at >= s->base64_end) {
    size_t size = pac_redact_base64(s->text + s->at, s->length - s->at, &is_key);
    s->base64_end = s->at + size;
    if (is_key) {
      replace(s, s->at, s->base64_end);
      return;
    }
  }
  size_t size = pac_redact_run(s->text + s->at, s->length - s->at, &is_key);
  if (is_key) {
    replace(s, s->at, s->at + size);
  } else {
    s->at += size;
  }
}

/* A word: an id to keep, a field, a credential, a URL, an address, a number, or
** a run that may be a key. */
static void take_word(scanner *s) {
  size_t kept = pac_redact_kept(s->text + s->at, s->length - s->at);
  if (kept > 0) {
    s->at += kept;
  } else if (!take_field(s) && !take_credential(s) && !take_url(s) && !take_address(s) && !take_number(s)) {
    take_run(s);
  }
}

void pac_redact_text(pac_buf *out, const char *text, size_t length) {
  scanner s = { .text = text, .length = length, .out = out };
  while (s.at < length) {
    char c = text[s.at];
    if (pac_redact_is_alnum(c)) {
      take_word(&s);
    } else if ((unsigned char)c >= 0x80 || c == '_') {
      s.at += !take_address(&s);
    } else if (c == '+' || c == '(') {
      s.at += !take_number(&s);
    } else if (c == '?') {
      s.at += !take_query(&s);
    } else {
      s.at++;
    }
  }
  pac_buf_append(out, text + s.written, length - s.written);
}
