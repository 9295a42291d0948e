/* The readers of times. What one of them accepts is a point in time between the
** years 0000 and 9999, and is the same once it has been written and read again. A
** text in a form that is also written is the one that would be written. */
#include "fuzz.h"

#include "pac_time.h"

#define FIRST_MS (-INT64_C(62167219200000)) /* 0000-01-01T00:00:00Z */
#define LAST_MS  INT64_C(253402300799999)   /* 9999-12-31T23:59:59.999Z */
#define DAY_MS   (INT64_C(24) * 60 * 60 * 1000)
#define NOW_MS   INT64_C(1790000000000)

static void demand_instant(int64_t unix_ms) {
  char text[PAC_TIME_ISO_SIZE];
  pac_instant again;
  DEMAND(unix_ms >= FIRST_MS && unix_ms <= LAST_MS);
  DEMAND(pac_time_format_iso(unix_ms, text) == PAC_OK);
  DEMAND(pac_time_parse(text, strlen(text), &again) == PAC_OK);
  DEMAND(again.unix_ms == unix_ms && again.has_zone);
  DEMAND(pac_time_format_slash(unix_ms, text) == PAC_OK);
  DEMAND(pac_time_parse(text, strlen(text), &again) == PAC_OK);
  int64_t lost_ms = unix_ms - again.unix_ms;
  DEMAND(lost_ms >= 0 && lost_ms < 1000 && !again.has_zone);
}

/* A text of this length and in this form is written in one way only. */
static void demand_text(const pac_instant *instant, const char *text, size_t length) {
  char written[PAC_TIME_ISO_SIZE];
  if (length == PAC_TIME_ISO_SIZE - 1 && text[length - 1] == 'Z') {
    DEMAND(pac_time_format_iso(instant->unix_ms, written) == PAC_OK);
    DEMAND(memcmp(written, text, length) == 0);
  }
  if (!instant->has_zone) {
    DEMAND(pac_time_format_slash(instant->unix_ms, written) == PAC_OK);
    DEMAND(length == strlen(written) && memcmp(written, text, length) == 0);
  }
}

static void try_iso(const char *text, size_t length) {
  pac_instant instant = { -1, -1 };
  if (pac_time_parse(text, length, &instant) == PAC_OK) {
    DEMAND(instant.has_zone == 0 || instant.has_zone == 1);
    demand_instant(instant.unix_ms);
    demand_text(&instant, text, length);
  } else {
    DEMAND(instant.unix_ms == -1 && instant.has_zone == -1);
  }
}

static void try_date(const char *text, size_t length) {
  char written[PAC_TIME_ISO_SIZE];
  int64_t value = -1;
  if (pac_time_parse_date(text, length, &value) == PAC_OK) {
    demand_instant(value);
    DEMAND(pac_time_format_iso(value, written) == PAC_OK);
    DEMAND(length == 10 && memcmp(written, text, length) == 0);
    DEMAND(strcmp(written + length, "T00:00:00.000Z") == 0);
  }
}

static void try_clock(const char *text, size_t length) {
  char written[PAC_TIME_ISO_SIZE];
  int64_t value = -1;
  if (pac_time_parse_clock(text, length, &value) == PAC_OK) {
    DEMAND(value >= 0 && value < DAY_MS);
    DEMAND(pac_time_format_iso(value, written) == PAC_OK);
    DEMAND(length >= 9 && memcmp(written + 11, text, 8) == 0 && text[length - 1] == 'Z');
  }
}

static void try_http(const char *text, size_t length, int64_t now_ms) {
  int64_t value = -1;
  int is_date = pac_time_parse_http(text, length, now_ms, &value) == PAC_OK;
  if (is_date) {
    DEMAND(value % 1000 == 0);
    demand_instant(value);
  }
  int64_t wait_ms = -1;
  if (pac_time_parse_retry_after(text, length, now_ms, &wait_ms) == PAC_OK) {
    DEMAND(wait_ms >= 0 && wait_ms <= PAC_TIME_RETRY_AFTER_MAX_MS);
    DEMAND(!is_date || value > now_ms || wait_ms == 0);
  } else {
    DEMAND(!is_date);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *text = (const char *)data;
  try_iso(text, size);
  try_date(text, size);
  try_clock(text, size);
  try_http(text, size, NOW_MS);
  try_http(text, size, FIRST_MS);
  try_http(text, size, LAST_MS);
  return 0;
}
