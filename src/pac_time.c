/* pac_time.c: readers made of small steps over one cursor. Every step answers
** 1 or 0 and moves the cursor on success, so a format is one chain of steps.
** Days are counted from 0000-01-01, which keeps all arithmetic non-negative. */
#include "pac_time.h"

#include <string.h>
#include <time.h>

#define MS_PER_SECOND  INT64_C(1000)
#define MS_PER_MINUTE  INT64_C(60000)
#define MS_PER_HOUR    INT64_C(3600000)
#define MS_PER_DAY     INT64_C(86400000)
#define UNIX_EPOCH_DAY INT64_C(719528)  /* 1970-01-01, from 0000-01-01 */
#define END_DAY        INT64_C(3652425) /* 10000-01-01, from 0000-01-01 */
#define FIRST_MS       (-UNIX_EPOCH_DAY * MS_PER_DAY)
#define END_MS         ((END_DAY - UNIX_EPOCH_DAY) * MS_PER_DAY)
#define DAYS_400_YEARS INT64_C(146097)
#define FIRST_WEEKDAY  6  /* 0000-01-01 was a Saturday; Sunday is 0 */
#define FUTURE_YEARS   50 /* RFC 9110 section 5.6.7, two-digit years */
#define RETRY_MAX_S    (PAC_TIME_RETRY_AFTER_MAX_MS / MS_PER_SECOND)

typedef struct cursor {
  const char *at;
  const char *end;
} cursor;

typedef struct civil {
  int year, month, day; /* month and day from 1 */
  int hour, minute, second, ms;
} civil;

static const char *const weekdays[7] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" };
static const char *const months[12] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

/* ---- the clocks ---- */

static int64_t read_clock(clockid_t id) {
  struct timespec now = { 0, 0 };
  /* Neither clock can fail on a system that has them, and POSIX 2008 has both. */
  (void)clock_gettime(id, &now);
  return (int64_t)now.tv_sec * MS_PER_SECOND + (int64_t)now.tv_nsec / 1000000;
}

int64_t pac_time_now_ms(void) {
  return read_clock(CLOCK_REALTIME);
}

int64_t pac_time_monotonic_ms(void) {
  return read_clock(CLOCK_MONOTONIC);
}

/* ---- the calendar ---- */

static int is_leap(int year) {
  return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in_month(int year, int month) {
  static const int days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
  return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Days from 0000-01-01 to the first of January; year 0 is a leap year. */
static int64_t day_of_year(int64_t year) {
  int64_t last = year - 1;
  return year == 0 ? 0 : year * 365 + last / 4 - last / 100 + last / 400 + 1;
}

static int64_t day_of_date(const civil *c) {
  int64_t day = day_of_year(c->year) + c->day - 1;
  for (int month = 1; month < c->month; month++) {
    day += days_in_month(c->year, month);
  }
  return day;
}

static int is_date(const civil *c) {
  return c->year >= 0 && c->year <= 9999 && c->month >= 1 && c->month <= 12 && c->day >= 1 &&
         c->day <= days_in_month(c->year, c->month);
}

static int64_t clock_ms(const civil *c) {
  return c->hour * MS_PER_HOUR + c->minute * MS_PER_MINUTE + c->second * MS_PER_SECOND + c->ms;
}

static int64_t to_unix_ms(const civil *c) {
  return (day_of_date(c) - UNIX_EPOCH_DAY) * MS_PER_DAY + clock_ms(c);
}

static int is_in_range(int64_t ms) {
  return ms >= FIRST_MS && ms < END_MS;
}

static void split_date(int64_t day, civil *out) {
  /* The average year overestimates by at most one. */
  int64_t year = day * 400 / DAYS_400_YEARS;
  if (day_of_year(year) > day) {
    year--;
  } else if (day_of_year(year + 1) <= day) {
    year++;
  }
  out->year = (int)year;
  out->month = 1;
  int rest = (int)(day - day_of_year(year));
  while (rest >= days_in_month(out->year, out->month)) {
    rest -= days_in_month(out->year, out->month);
    out->month++;
  }
  out->day = rest + 1;
}

/* ms must be in range. */
static void split(int64_t ms, civil *out) {
  int64_t since = ms - FIRST_MS;
  int rest = (int)(since % MS_PER_DAY);
  split_date(since / MS_PER_DAY, out);
  out->hour = rest / (int)MS_PER_HOUR;
  out->minute = rest / (int)MS_PER_MINUTE % 60;
  out->second = rest / (int)MS_PER_SECOND % 60;
  out->ms = rest % (int)MS_PER_SECOND;
}

/* ---- steps ---- */

static cursor cursor_of(const char *text, size_t length) {
  static const char nothing[] = "";
  const char *start = length == 0 ? nothing : text; /* text may be NULL then */
  cursor c = { start, start + length };
  return c;
}

static int at_end(const cursor *c) {
  return c->at == c->end;
}

static int is_digit(char byte) {
  return byte >= '0' && byte <= '9';
}

static int take_digits(cursor *c, int count, int *out) {
  int value = 0;
  if (c->end - c->at < count) {
    return 0;
  }
  for (int i = 0; i < count; i++) {
    if (!is_digit(c->at[i])) {
      return 0;
    }
    value = value * 10 + (c->at[i] - '0');
  }
  c->at += count;
  *out = value;
  return 1;
}

static int take_bytes(cursor *c, const char *bytes, size_t count) {
  if ((size_t)(c->end - c->at) < count || memcmp(c->at, bytes, count) != 0) {
    return 0;
  }
  c->at += count;
  return 1;
}

static int take_text(cursor *c, const char *text) {
  return take_bytes(c, text, strlen(text));
}

/* YYYY-MM-DD */
static int take_iso_date(cursor *c, civil *out) {
  return take_digits(c, 4, &out->year) && take_text(c, "-") && take_digits(c, 2, &out->month) && take_text(c, "-") &&
         take_digits(c, 2, &out->day) && is_date(out);
}

/* HH:MM:SS; a leap second has no place in unix time and is refused. */
static int take_clock(cursor *c, civil *out) {
  return take_digits(c, 2, &out->hour) && take_text(c, ":") && take_digits(c, 2, &out->minute) && take_text(c, ":") &&
         take_digits(c, 2, &out->second) && out->hour <= 23 && out->minute <= 59 && out->second <= 59;
}

/* [.digits], any number of them, of which milliseconds are kept. */
static int take_fraction(cursor *c, civil *out) {
  int scale = 100;
  out->ms = 0;
  if (!take_text(c, ".")) {
    return 1;
  }
  const char *start = c->at;
  for (; !at_end(c) && is_digit(*c->at); c->at++) {
    out->ms += (*c->at - '0') * scale;
    scale /= 10;
  }
  return c->at > start;
}

/* Z, +hhmm, +hh:mm and the same with '-': how far local time is ahead of UTC. */
static int take_zone(cursor *c, int64_t *ahead_ms) {
  int hours = 0;
  int minutes = 0;
  int sign = 1;
  if (take_text(c, "Z")) {
    *ahead_ms = 0;
    return 1;
  }
  if (take_text(c, "-")) {
    sign = -1;
  } else if (!take_text(c, "+")) {
    return 0;
  }
  if (!take_digits(c, 2, &hours)) {
    return 0;
  }
  (void)take_text(c, ":");
  if (!take_digits(c, 2, &minutes) || hours > 23 || minutes > 59) {
    return 0;
  }
  *ahead_ms = sign * (hours * MS_PER_HOUR + minutes * MS_PER_MINUTE);
  return 1;
}

/* ---- the forms of the Link API ---- */

static int read_iso(cursor c, pac_instant *out) {
  civil when = { 0 };
  int64_t ahead_ms = 0;
  if (!(take_iso_date(&c, &when) && take_text(&c, "T") && take_clock(&c, &when) && take_fraction(&c, &when) &&
        take_zone(&c, &ahead_ms) && at_end(&c))) {
    return 0;
  }
  out->unix_ms = to_unix_ms(&when) - ahead_ms;
  out->has_zone = 1;
  return is_in_range(out->unix_ms);
}

static int read_slash(cursor c, pac_instant *out) {
  civil when = { 0 };
  if (!(take_digits(&c, 2, &when.month) && take_text(&c, "/") && take_digits(&c, 2, &when.day) && take_text(&c, "/") &&
        take_digits(&c, 4, &when.year) && is_date(&when) && take_text(&c, " ") && take_clock(&c, &when) &&
        at_end(&c))) {
    return 0;
  }
  out->unix_ms = to_unix_ms(&when);
  out->has_zone = 0;
  return 1;
}

pac_status pac_time_parse(const char *text, size_t length, pac_instant *out) {
  cursor c = cursor_of(text, length);
  pac_instant found = { 0, 0 };
  if (!read_iso(c, &found) && !read_slash(c, &found)) {
    return PAC_INVALID;
  }
  *out = found;
  return PAC_OK;
}

pac_status pac_time_parse_date(const char *text, size_t length, int64_t *out) {
  cursor c = cursor_of(text, length);
  civil when = { 0 };
  if (!take_iso_date(&c, &when) || !at_end(&c)) {
    return PAC_INVALID;
  }
  if (out) {
    *out = to_unix_ms(&when);
  }
  return PAC_OK;
}

pac_status pac_time_parse_clock(const char *text, size_t length, int64_t *out) {
  cursor c = cursor_of(text, length);
  civil when = { 0 };
  if (!(take_clock(&c, &when) && take_fraction(&c, &when) && take_text(&c, "Z") && at_end(&c))) {
    return PAC_INVALID;
  }
  if (out) {
    *out = clock_ms(&when);
  }
  return PAC_OK;
}

/* ---- the forms of HTTP ---- */

#define SHORT_NAME 3 /* Sun, Nov */

static int take_month(cursor *c, civil *out) {
  for (int i = 0; i < 12; i++) {
    if (take_text(c, months[i])) {
      out->month = i + 1;
      return 1;
    }
  }
  return 0;
}

/* Takes a day name, whole or of three letters, and what must follow it. */
static int take_weekday(cursor *c, int whole, const char *after, int *weekday) {
  for (int i = 0; i < 7; i++) {
    cursor ahead = *c;
    size_t count = whole ? strlen(weekdays[i]) : SHORT_NAME;
    if (take_bytes(&ahead, weekdays[i], count) && take_text(&ahead, after)) {
      *c = ahead;
      *weekday = i;
      return 1;
    }
  }
  return 0;
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static int read_imf(cursor c, civil *out, int *weekday) {
  return take_weekday(&c, 0, ", ", weekday) && take_digits(&c, 2, &out->day) && take_text(&c, " ") &&
         take_month(&c, out) && take_text(&c, " ") && take_digits(&c, 4, &out->year) && take_text(&c, " ") &&
         take_clock(&c, out) && take_text(&c, " GMT") && at_end(&c);
}

/* Sun Nov  6 08:49:37 1994 */
static int read_asctime(cursor c, civil *out, int *weekday) {
  if (!take_weekday(&c, 0, " ", weekday) || !take_month(&c, out) || !take_text(&c, " ")) {
    return 0;
  }
  int day_digits = take_text(&c, " ") ? 1 : 2;
  return take_digits(&c, day_digits, &out->day) && take_text(&c, " ") && take_clock(&c, out) && take_text(&c, " ") &&
         take_digits(&c, 4, &out->year) && at_end(&c);
}

/* Orders two points within a year, whatever that year. */
static int64_t order_in_year(const civil *c) {
  return (c->month * INT64_C(32) + c->day) * MS_PER_DAY + clock_ms(c);
}

/* The latest year with these two digits that is no more than fifty years after now. */
static void settle_century(civil *when, int64_t now_ms) {
  civil now = { 0 };
  split(now_ms, &now);
  when->year += now.year / 100 * 100 + 100;
  int limit = now.year + FUTURE_YEARS;
  while (when->year > limit || (when->year == limit && order_in_year(when) > order_in_year(&now))) {
    when->year -= 100;
  }
}

/* Sunday, 06-Nov-94 08:49:37 GMT */
static int read_rfc850(cursor c, int64_t now_ms, civil *out, int *weekday) {
  if (!(take_weekday(&c, 1, ", ", weekday) && take_digits(&c, 2, &out->day) && take_text(&c, "-") &&
        take_month(&c, out) && take_text(&c, "-") && take_digits(&c, 2, &out->year) && take_text(&c, " ") &&
        take_clock(&c, out) && take_text(&c, " GMT") && at_end(&c))) {
    return 0;
  }
  settle_century(out, now_ms);
  return 1;
}

pac_status pac_time_parse_http(const char *text, size_t length, int64_t now_ms, int64_t *out) {
  cursor c = cursor_of(text, length);
  civil when = { 0 };
  int weekday = 0;
  if (!is_in_range(now_ms) ||
      (!read_imf(c, &when, &weekday) && !read_rfc850(c, now_ms, &when, &weekday) &&
       !read_asctime(c, &when, &weekday)) ||
      !is_date(&when) || (day_of_date(&when) + FIRST_WEEKDAY) % 7 != weekday) {
    return PAC_INVALID;
  }
  *out = to_unix_ms(&when);
  return PAC_OK;
}

/* Digits to the end; a number of any length is fine and stops at the limit. */
static int read_delay(cursor c, int64_t *out) {
  int64_t seconds = 0;
  if (at_end(&c)) {
    return 0;
  }
  for (; !at_end(&c); c.at++) {
    if (!is_digit(*c.at)) {
      return 0;
    }
    seconds = seconds * 10 + (*c.at - '0');
    if (seconds > RETRY_MAX_S) {
      seconds = RETRY_MAX_S;
    }
  }
  *out = seconds * MS_PER_SECOND;
  return 1;
}

pac_status pac_time_parse_retry_after(const char *text, size_t length, int64_t now_ms, int64_t *out) {
  int64_t wait_ms = 0;
  if (!read_delay(cursor_of(text, length), &wait_ms)) {
    int64_t date_ms = 0;
    pac_status status = pac_time_parse_http(text, length, now_ms, &date_ms);
    if (status != PAC_OK) {
      return status;
    }
    wait_ms = date_ms - now_ms;
  }
  if (wait_ms < 0) {
    wait_ms = 0;
  }
  *out = wait_ms < PAC_TIME_RETRY_AFTER_MAX_MS ? wait_ms : PAC_TIME_RETRY_AFTER_MAX_MS;
  return PAC_OK;
}

/* ---- writing ---- */

/* Writes value in count digits and one byte after them; returns what follows. */
static char *put(char *at, int value, int count, char after) {
  for (int i = count - 1; i >= 0; i--) {
    at[i] = (char)('0' + value % 10);
    value /= 10;
  }
  at[count] = after;
  return at + count + 1;
}

static char *put_clock(char *at, const civil *c, char after) {
  at = put(at, c->hour, 2, ':');
  at = put(at, c->minute, 2, ':');
  return put(at, c->second, 2, after);
}

pac_status pac_time_format_iso(int64_t ms, char out[PAC_TIME_ISO_SIZE]) {
  civil c = { 0 };
  out[0] = '\0';
  if (!is_in_range(ms)) {
    return PAC_INVALID;
  }
  split(ms, &c);
  char *at = put(out, c.year, 4, '-');
  at = put(at, c.month, 2, '-');
  at = put(at, c.day, 2, 'T');
  at = put_clock(at, &c, '.');
  at = put(at, c.ms, 3, 'Z');
  *at = '\0';
  return PAC_OK;
}

pac_status pac_time_format_slash(int64_t ms, char out[PAC_TIME_SLASH_SIZE]) {
  civil c = { 0 };
  out[0] = '\0';
  if (!is_in_range(ms)) {
    return PAC_INVALID;
  }
  split(ms, &c);
  char *at = put(out, c.month, 2, '/');
  at = put(at, c.day, 2, '/');
  at = put(at, c.year, 4, ' ');
  (void)put_clock(at, &c, '\0');
  return PAC_OK;
}
