/* pac_json: what is JSON to the letter, what is not, and where it breaks. */
#include "unit.h"

#include "pac_json.h"

#include <stdio.h>

#define TEXT(literal) (literal), sizeof(literal) - 1

typedef struct row {
  const char *text;
  size_t length;
  const char *reason; /* NULL: accepted */
  const char *message;
} row;

static const char *read_exactly(const char *text, size_t length, int max_depth, pac_err *err) {
  char *copy = exact_copy(text, length);
  const char *reason = pac_json_read(copy, length, max_depth, NULL, NULL, err);
  free(copy);
  return reason;
}

static void expect(const row *expected) {
  pac_err err = { 0 };
  const char *reason = read_exactly(expected->text, expected->length, PAC_JSON_MAX_DEPTH, &err);
  if (expected->reason == NULL) {
    assert_null(reason);
    return;
  }
  assert_non_null(reason);
  assert_string_equal(reason, expected->reason);
  assert_int_equal(err.status, PAC_INVALID);
  assert_string_equal(err.message, expected->message);
}

static void expect_all(const row *rows, size_t count) {
  for (size_t i = 0; i < count; i++) {
    expect(&rows[i]);
  }
}

static void test_accepts_every_kind_of_value(void **state) {
  (void)state;
  static const row rows[] = {
    { TEXT("null"), NULL, NULL },
    { TEXT("true"), NULL, NULL },
    { TEXT("false"), NULL, NULL },
    { TEXT("0"), NULL, NULL },
    { TEXT("-0"), NULL, NULL },
    { TEXT("-12.50e+07"), NULL, NULL },
    { TEXT("1E400"), NULL, NULL },
    { TEXT("\"\""), NULL, NULL },
    { TEXT("[]"), NULL, NULL },
    { TEXT("{}"), NULL, NULL },
    { TEXT(" \t\r\n[ \t\r\n] \t\r\n"), NULL, NULL },
    { TEXT(" { \"a\" : [ 1 , { } , [ ] ] , \"b\" : \"c\" } "), NULL, NULL },
    { TEXT("[[],{},\"\",0,null]"), NULL, NULL },
    { TEXT("{\"\":1,\"a\":{\"a\":{\"a\":1}},\"A\":1}"), NULL, NULL },
    { TEXT("[{\"a\":1},{\"a\":1}]"), NULL, NULL },
  };
  expect_all(rows, COUNT(rows));
}

static void test_refuses_what_only_looks_like_it(void **state) {
  (void)state;
  static const row rows[] = {
    { TEXT(""), "bad_json", "at byte 0: a value must stand here" },
    { TEXT("  "), "bad_json", "at byte 2: a value must stand here" },
    { TEXT("nul"), "bad_json", "at byte 0: a value must stand here" },
    { TEXT("True"), "bad_json", "at byte 0: a value must stand here" },
    { TEXT("nulll"), "bad_json", "at byte 4: nothing may stand behind the value" },
    { TEXT("'a'"), "bad_json", "at byte 0: a value must stand here" },
    { TEXT("NaN"), "bad_json", "at byte 0: a value must stand here" },
    { TEXT("/**/1"), "bad_json", "at byte 0: a value must stand here" },
    { TEXT("\xEF\xBB\xBF{}"), "bad_json", "at byte 0: a value must stand here" },
    { TEXT("{\0}\0"), "bad_json", "at byte 1: a name must stand here" },
    { TEXT("\xFF\xFE{\0}\0"), "bad_utf8", "at byte 0: this is not UTF-8" },
    { TEXT("[1,]"), "bad_json", "at byte 3: a value must stand here" },
    { TEXT("[,1]"), "bad_json", "at byte 1: a value must stand here" },
    { TEXT("[1 2]"), "bad_json", "at byte 3: a comma or the end must stand here" },
    { TEXT("[1}"), "bad_json", "at byte 2: a comma or the end must stand here" },
    { TEXT("["), "bad_json", "at byte 1: a value must stand here" },
    { TEXT("[1"), "bad_json", "at byte 2: a comma or the end must stand here" },
    { TEXT("]"), "bad_json", "at byte 0: a value must stand here" },
    { TEXT("{\"a\":1,}"), "bad_json", "at byte 7: a name must stand here" },
    { TEXT("{\"a\":1]"), "bad_json", "at byte 6: a comma or the end must stand here" },
    { TEXT("{\"a\" 1}"), "bad_json", "at byte 5: a colon must stand here" },
    { TEXT("{\"a\":}"), "bad_json", "at byte 5: a value must stand here" },
    { TEXT("{a:1}"), "bad_json", "at byte 1: a name must stand here" },
    { TEXT("{1:1}"), "bad_json", "at byte 1: a name must stand here" },
    { TEXT("{"), "bad_json", "at byte 1: a name must stand here" },
    { TEXT("{\"a\""), "bad_json", "at byte 4: a colon must stand here" },
    { TEXT("{}{}"), "bad_json", "at byte 2: nothing may stand behind the value" },
    { TEXT("{}\0"), "bad_json", "at byte 2: nothing may stand behind the value" },
    { TEXT("1 \f"), "bad_json", "at byte 2: nothing may stand behind the value" },
    { TEXT("{}\xFF"), "bad_utf8", "at byte 2: this is not UTF-8" },
    { TEXT("\xC2\xA0{}"), "bad_json", "at byte 0: a value must stand here" },
  };
  expect_all(rows, COUNT(rows));
}

static void test_refuses_numbers_of_other_languages(void **state) {
  (void)state;
  static const char *const numbers[] = { "-",   "01",    "-01", "1.",    "1.e1", "1e",    "1e+",
                                         "1-1", "1.1.1", "--1", "1e1e1", "1ee1", "0e1.1", "-e1" };
  for (size_t i = 0; i < COUNT(numbers); i++) {
    row expected = { numbers[i], strlen(numbers[i]), "bad_json", "at byte 0: this is no number of JSON" };
    expect(&expected);
  }
  static const char *const words[] = { "+1", ".5", "Infinity", "e1" };
  for (size_t i = 0; i < COUNT(words); i++) {
    row expected = { words[i], strlen(words[i]), "bad_json", "at byte 0: a value must stand here" };
    expect(&expected);
  }
  static const row hex = { TEXT("0x10"), "bad_json", "at byte 1: nothing may stand behind the value" };
  expect(&hex);
}

static void test_refuses_broken_escapes(void **state) {
  (void)state;
  static const char unknown[] = "at byte 1: this is no escape of JSON";
  static const char lone[] = "at byte 1: a surrogate must stand in a pair";
  static const row rows[] = {
    { TEXT("\"\\x41\""), "bad_json", unknown },
    { TEXT("\"\\\""), "bad_json", "at byte 3: the text ends inside a string" },
    { TEXT("\"\\"), "bad_json", unknown },
    { TEXT("\"\\\0\""), "bad_json", unknown },
    { TEXT("\"\\U0041\""), "bad_json", unknown },
    { TEXT("\"\\u004\""), "bad_json", unknown },
    { TEXT("\"\\u00g0\""), "bad_json", unknown },
    { TEXT("\"\\u+041\""), "bad_json", unknown },
    { TEXT("\"\\u00"), "bad_json", unknown },
    { TEXT("\"\\ud800\""), "bad_json", lone },
    { TEXT("\"\\uDBFFx\""), "bad_json", lone },
    { TEXT("\"\\udc00\""), "bad_json", lone },
    { TEXT("\"\\udc00\\ud800\""), "bad_json", lone },
    { TEXT("\"\\ud800\\ud800\""), "bad_json", lone },
    { TEXT("\"\\ud800\\n\""), "bad_json", lone },
    { TEXT("\"\\ud800\\u0041\""), "bad_json", lone },
    { TEXT("\"\\ud800\\udc0"), "bad_json", lone },
    { TEXT("\"\\ud83d\\ude00\\ude00\""), "bad_json", "at byte 13: a surrogate must stand in a pair" },
  };
  expect_all(rows, COUNT(rows));
}

/* One byte behind seven plain ones and before many: each way through a string
** that is read eight bytes at a time. */
static void test_judges_every_byte_in_a_string(void **state) {
  (void)state;
  for (size_t place = 1; place < 20; place++) {
    for (int byte = 0; byte < 256; byte++) {
      char text[] = "\"abcdefghijklmnopqrst\"";
      text[place] = (char)byte;
      const char *reason = read_exactly(text, sizeof text - 1, 1, NULL);
      const char *expected = byte >= 0x80 ? "bad_utf8" : byte < 0x20 || byte == '"' || byte == '\\' ? "bad_json" : NULL;
      if (byte == '\\' && strchr("bfnrt", text[place + 1]) != NULL) {
        expected = NULL;
      }
      assert_int_equal(reason == NULL, expected == NULL);
      if (expected != NULL) {
        assert_string_equal(reason, expected);
      }
    }
  }
}

static void test_takes_utf8_and_nothing_like_it(void **state) {
  (void)state;
  static const char *const good[] = { "\xC2\x80",     "\xDF\xBF",     "\xE0\xA0\x80",     "\xED\x9F\xBF",
                                      "\xEE\x80\x80", "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF",
                                      "\xE2\x80\xA8", "\x7F" };
  static const char *const bad[] = {
    "\x80",         "\xC0\x80",         "\xC1\xBF",         "\xC2",         "\xC2\x41",
    "\xE0\x9F\xBF", "\xE2\x80",         "\xED\xA0\x80",     "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF",
    "\xF0\x9F\x8E", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"
  };
  char text[16];
  for (size_t i = 0; i < COUNT(good); i++) {
    size_t length = (size_t)snprintf(text, sizeof text, "\"%s\"", good[i]);
    assert_null(read_exactly(text, length, 1, NULL));
  }
  for (size_t i = 0; i < COUNT(bad); i++) {
    size_t length = (size_t)snprintf(text, sizeof text, "[\"%s\"]", bad[i]);
    row expected = { text, length, "bad_utf8", "at byte 2: this is not UTF-8" };
    expect(&expected);
    expected = (row){ bad[i], strlen(bad[i]), "bad_utf8", "at byte 0: this is not UTF-8" };
    expect(&expected);
  }
}

static void test_refuses_a_name_that_stands_twice(void **state) {
  (void)state;
  static const char rule[] = "this name stands twice in its object";
  static const struct {
    const char *text;
    int place;
  } rows[] = {
    { "{\"a\":1,\"a\":1}", 7 },
    { "{\"\":1,\"\":2}", 6 },
    { "{\"a\":1,\"b\":{\"a\":{},\"c\":[]},\"a\":1}", 27 },
    { "{\"a\":1,\"\\u0061\":1}", 7 },
    { "{\"\\u0061\":1,\"a\":1}", 12 },
    { "{\"\\/\":1,\"/\":1}", 8 },
    { "{\"\\u0000a\":1,\"\\u0000a\":1}", 13 },
    { "{\"\\ud83d\\ude00\":1,\"\xF0\x9F\x98\x80\":1}", 18 },
    { "[{\"x\":{\"b\":1,\"c\":2,\"b\":3}}]", 19 },
    { "{\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,\"7\":1,\"8\":1,\"9\":1,\"3\":1}", 55 },
    { "{\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,\"7\":1,\"8\":1,\"9\":1,\"9\":1}", 55 },
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    char message[100];
    snprintf(message, sizeof message, "at byte %d: %s", rows[i].place, rule);
    row expected = { rows[i].text, strlen(rows[i].text), "duplicate_key", message };
    expect(&expected);
  }
  static const row apart[] = {
    { TEXT("{\"\\u0000\":1,\"\\u0000\\u0000\":1,\"\":1}"), NULL, NULL },
    { TEXT("{\"a\":{\"b\":1},\"b\":1,\"c\":{\"b\":1}}"), NULL, NULL },
    { TEXT("{\"\\n\":1,\"n\":1,\"\\\\n\":1}"), NULL, NULL },
  };
  expect_all(apart, COUNT(apart));
}

/* Writes an object of so many members, the last of which has this value. */
static size_t write_object(char *out, size_t size, int members, const char *last) {
  size_t length = (size_t)snprintf(out, size, "{");
  for (int i = 1; i <= members; i++) {
    length +=
        (size_t)snprintf(out + length, size - length, "%s\"%d\":%s", i > 1 ? "," : "", i, i < members ? "1" : last);
  }
  return length + (size_t)snprintf(out + length, size - length, "}");
}

static void test_counts_the_members_of_what_is_open(void **state) {
  (void)state;
  static char text[40000];
  static char inner[20000];
  assert_null(read_exactly(text, write_object(text, sizeof text, PAC_JSON_MAX_MEMBERS, "1"), 64, NULL));
  assert_string_equal(read_exactly(text, write_object(text, sizeof text, PAC_JSON_MAX_MEMBERS + 1, "1"), 64, NULL),
                      "too_many_members");
  write_object(inner, sizeof inner, PAC_JSON_MAX_MEMBERS - 500, "1");
  assert_null(read_exactly(text, write_object(text, sizeof text, 500, inner), 64, NULL));
  assert_string_equal(read_exactly(text, write_object(text, sizeof text, 501, inner), 64, NULL), "too_many_members");
  /* Objects that are closed count no more. */
  write_object(inner, sizeof inner, 900, "1");
  size_t length = (size_t)snprintf(text, sizeof text, "[%s,%s]", inner, inner);
  assert_null(read_exactly(text, length, 64, NULL));
}

/* The pairs "costarring" and "liquid", "declinate" and "macallums" have the same
** 32 bits of FNV-1a each. */
static void test_tells_names_of_one_hash_apart(void **state) {
  (void)state;
  static const row rows[] = {
    { TEXT("{\"costarring\":1,\"liquid\":1,\"declinate\":1,\"macallums\":1}"), NULL, NULL },
    { TEXT("{\"costarring\":1,\"liquid\":1,\"liquid\":1}"), "duplicate_key",
      "at byte 27: this name stands twice in its object" },
  };
  expect_all(rows, COUNT(rows));
  static char text[4000];
  for (int objects = 64; objects <= 65; objects++) {
    size_t length = (size_t)snprintf(text, sizeof text, "[0");
    for (int i = 0; i < objects; i++) {
      length += (size_t)snprintf(text + length, sizeof text - length, ",{\"costarring\":1,\"liquid\":1}");
    }
    length += (size_t)snprintf(text + length, sizeof text - length, "]");
    const char *reason = read_exactly(text, length, 2, NULL);
    assert_int_equal(reason == NULL, objects == 64);
    if (reason != NULL) {
      assert_string_equal(reason, "too_many_members");
    }
  }
}

static void test_counts_levels(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int levels;
  } rows[] = {
    { "1", 0 }, { "[]", 1 }, { "{}", 1 }, { "[[],[]]", 2 }, { "{\"a\":[{}]}", 3 }, { "[[[[[[[[1]]]]]]]]", 8 }
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    for (int allowed = 1; allowed < 10; allowed++) {
      pac_err err;
      const char *reason = read_exactly(rows[i].text, strlen(rows[i].text), allowed, &err);
      assert_int_equal(reason == NULL, rows[i].levels <= allowed);
      if (reason != NULL) {
        assert_string_equal(reason, "too_deep");
        assert_non_null(strstr(err.message, "this is nested too deeply"));
      }
    }
  }
  static char many[100000];
  memset(many, '[', sizeof many);
  row expected = { many, sizeof many, "too_deep", "at byte 64: this is nested too deeply" };
  expect(&expected);
  assert_string_equal(pac_json_read(many, sizeof many, 1000, NULL, NULL, NULL), "too_deep");
}

static void test_refuses_what_is_too_large_without_reading_it(void **state) {
  (void)state;
  pac_err err;
  assert_string_equal(pac_json_read("1", PAC_JSON_MAX_BYTES + 1, 1, NULL, NULL, &err), "too_large");
  assert_int_equal(err.status, PAC_TOO_LONG);
  assert_string_equal(err.message, "the text is larger than 256 MiB");
}

/* ---- members ---- */

typedef struct log {
  char text[200];
  int stop_after;
} log;

static const char *note(void *context, const pac_json_member *member, pac_err *err) {
  log *seen = context;
  char name[40];
  char value[40];
  size_t length = strlen(seen->text);
  snprintf(seen->text + length, sizeof seen->text - length, "%.*s%s=%d:%.*s%s;",
           (int)pac_json_decode(&member->name, name), name, member->name.has_escapes ? "!" : "", (int)member->kind,
           (int)pac_json_decode(&member->value, value), value, member->value.has_escapes ? "!" : "");
  if (--seen->stop_after == 0) {
    (void)pac_fail(err, PAC_FAILED, "stopped");
    return "stopped";
  }
  return NULL;
}

static void test_shows_the_members_of_the_outermost_object(void **state) {
  (void)state;
  log seen = { .text = "" };
  static const char text[] =
      " {\"a\" : \"x\", \"b\":{ \"c\" : [{\"d\":\"y\"}] } ,\"e\":[ 1,{\"f\":2} ] , \"\\u0067\":-1.5e3, "
      "\"h\":true,\"i\":null, \"j\":\"\\u00e4\\n\",\"k\":{},\"l\":[],\"\":\"\"} ";
  char *copy = exact_copy(TEXT(text));
  assert_null(pac_json_read(copy, sizeof text - 1, 8, note, &seen, NULL));
  assert_string_equal(seen.text, "a=2:x;b=0:{ \"c\" : [{\"d\":\"y\"}] };e=1:[ 1,{\"f\":2} ];g!=3:-1.5e3;"
                                 "h=4:true;i=4:null;j=2:\xC3\xA4\n!;k=0:{};l=1:[];=2:;");
  free(copy);
}

static void test_shows_no_members_of_anything_else(void **state) {
  (void)state;
  static const char *const texts[] = { "[{\"a\":1}]", "[[\"a\",{\"b\":{\"c\":1}}]]", "\"a\"", "{}", "1" };
  for (size_t i = 0; i < COUNT(texts); i++) {
    log seen = { .text = "" };
    assert_null(pac_json_read(texts[i], strlen(texts[i]), 8, note, &seen, NULL));
    assert_string_equal(seen.text, "");
  }
}

static void test_ends_where_the_visitor_says(void **state) {
  (void)state;
  log seen = { .stop_after = 2 };
  pac_err err;
  assert_string_equal(pac_json_read(TEXT("{\"a\":1,\"b\":2,\"c\":3,,,"), 8, note, &seen, &err), "stopped");
  assert_string_equal(seen.text, "a=3:1;b=3:2;");
  assert_int_equal(err.status, PAC_FAILED);
  assert_string_equal(err.message, "stopped");
}

static void test_decodes_every_escape(void **state) {
  (void)state;
  static const char raw[] = "\\\"\\\\\\/\\b\\f\\n\\r\\t|\\u0000|\\u007f\\u0080\\u07FF\\u0800\\uFFFF|\\uD800\\uDC00|"
                            "\\udbff\\udfff|plain\xC3\xA4";
  static const char value[] = "\"\\/\b\f\n\r\t|\0|\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF|\xF0\x90\x80\x80|"
                              "\xF4\x8F\xBF\xBF|plain\xC3\xA4";
  pac_json_string string = { { raw, sizeof raw - 1 }, 1 };
  char *out = malloc(sizeof raw);
  assert_int_equal(pac_json_decode(&string, out), sizeof value - 1);
  assert_memory_equal(out, value, sizeof value - 1);
  free(out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_accepts_every_kind_of_value),
    cmocka_unit_test(test_refuses_what_only_looks_like_it),
    cmocka_unit_test(test_refuses_numbers_of_other_languages),
    cmocka_unit_test(test_refuses_broken_escapes),
    cmocka_unit_test(test_judges_every_byte_in_a_string),
    cmocka_unit_test(test_takes_utf8_and_nothing_like_it),
    cmocka_unit_test(test_refuses_a_name_that_stands_twice),
    cmocka_unit_test(test_counts_the_members_of_what_is_open),
    cmocka_unit_test(test_tells_names_of_one_hash_apart),
    cmocka_unit_test(test_counts_levels),
    cmocka_unit_test(test_refuses_what_is_too_large_without_reading_it),
    cmocka_unit_test(test_shows_the_members_of_the_outermost_object),
    cmocka_unit_test(test_shows_no_members_of_anything_else),
    cmocka_unit_test(test_ends_where_the_visitor_says),
    cmocka_unit_test(test_decodes_every_escape),
  };
  return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
