/* pac_outcome: the verdict on every kind of attempt, from contract 4 and the
** rules of repetition (docs/errors.md): a read, a write that is harmless to repeat, and a
** write that must not be doubled. */
#include "unit.h"

#include <stdio.h>

#include "pac_outcome.h"

enum { READ, REPEATABLE, ONCE, CLASSES };

/* Several operations of each class; those whose answers must tell a state have
** a test of their own. */
static const char *const members[CLASSES][6] = {
  { "listings.get", "tickets.verify", "transfers.history", "catalog.events", NULL },
  { "tickets.unlock", NULL },
  { "tickets.lock", "tickets.print", "transfers.accept", "transfers.initiate_v1", "transfers.cancel", NULL },
};

static const pac_operation *find(const char *name) {
  const pac_operation *op = pac_operation_find(name, strlen(name));
  assert_non_null(op);
  return op;
}

typedef struct expectation {
  pac_next next;
  pac_kind kind;
  pac_fate fate;
  int retryable;
} expectation;

typedef struct situation {
  const char *name;
  pac_facts facts; /* with retries 2 and repeats 0 unless written */
  expectation expected[CLASSES];
} situation;

#define NOTHING  PAC_FATE_NONE
#define NOT_SENT PAC_FATE_NOT_SENT
#define REJECTED PAC_FATE_REJECTED
#define UNKNOWN  PAC_FATE_UNKNOWN
#define DONE                                                                                                           \
  { PAC_NEXT_DONE, PAC_KIND_NONE, NOTHING, 0 }
#define RETRY(kind, fate)                                                                                              \
  { PAC_NEXT_RETRY, PAC_KIND_##kind, fate, 1 }
#define REFRESH(kind, fate)                                                                                            \
  { PAC_NEXT_REFRESH, PAC_KIND_##kind, fate, 0 }
#define FAIL(kind, fate)                                                                                               \
  { PAC_NEXT_FAIL, PAC_KIND_##kind, fate, 0 }
#define LATER(kind, fate)                                                                                              \
  { PAC_NEXT_FAIL, PAC_KIND_##kind, fate, 1 }

#define SILENCE(when, what) .phase = PAC_PHASE_##when, .failure = PAC_KIND_##what, .retries = 2
#define PAGE(code)          .status = code, .retries = 2
#define JSON(code)          .status = code, .is_json = 1, .retries = 2
#define ERROR(code)         .status = code, .is_json = 1, .has_error = 1, .retries = 2
#define STATE(text)         .state = text, .state_length = sizeof(text) - 1

/* What a failed read, unlock and sale come to. */
#define SERVER(kind)                                                                                                   \
  { RETRY(kind, NOTHING), RETRY(kind, UNKNOWN), FAIL(kind, UNKNOWN) }
#define CLIENT(kind)                                                                                                   \
  { FAIL(kind, NOTHING), FAIL(kind, REJECTED), FAIL(kind, REJECTED) }
#define NOBODY_KNOWS(kind)                                                                                             \
  { FAIL(kind, NOTHING), FAIL(kind, UNKNOWN), FAIL(kind, UNKNOWN) }

static const situation situations[] = {
  /* nothing was answered */
  { "no connection",
    { SILENCE(NOT_SENT, NETWORK) },
    { RETRY(NETWORK, NOTHING), RETRY(NETWORK, NOT_SENT), RETRY(NETWORK, NOT_SENT) } },
  { "connecting took too long",
    { SILENCE(NOT_SENT, TIMEOUT) },
    { RETRY(TIMEOUT, NOTHING), RETRY(TIMEOUT, NOT_SENT), RETRY(TIMEOUT, NOT_SENT) } },
  { "canceled before sending",
    { SILENCE(NOT_SENT, CANCELED) },
    { FAIL(CANCELED, NOTHING), FAIL(CANCELED, NOT_SENT), FAIL(CANCELED, NOT_SENT) } },
  { "the peer spoke before it was asked",
    { SILENCE(NOT_SENT, PROTOCOL) },
    { FAIL(PROTOCOL, NOTHING), FAIL(PROTOCOL, NOT_SENT), FAIL(PROTOCOL, NOT_SENT) } },
  { "the connection broke", { SILENCE(UNKNOWN, NETWORK) }, SERVER(NETWORK) },
  { "no answer in time", { SILENCE(UNKNOWN, TIMEOUT) }, SERVER(TIMEOUT) },
  { "half an answer", { SILENCE(UNKNOWN, PROTOCOL) }, NOBODY_KNOWS(PROTOCOL) },
  { "canceled while waiting", { SILENCE(UNKNOWN, CANCELED) }, NOBODY_KNOWS(CANCELED) },

  /* 2xx */
  { "200", { JSON(200) }, { DONE, DONE, DONE } },
  { "201", { JSON(201) }, { DONE, DONE, DONE } },
  { "202", { JSON(202) }, { DONE, DONE, DONE } },
  { "299", { JSON(299) }, { DONE, DONE, DONE } },
  { "200 PENDING", { JSON(200), STATE("PENDING") }, { DONE, DONE, DONE } },
  { "200 COMPLETE", { JSON(200), STATE("COMPLETE") }, { DONE, DONE, DONE } },
  { "200 with a word nobody documented", { JSON(200), STATE("ERRORS") }, { DONE, DONE, DONE } },
  { "200 with a page", { PAGE(200) }, NOBODY_KNOWS(PROTOCOL) },
  { "204", { PAGE(204) }, NOBODY_KNOWS(PROTOCOL) },
  { "200 ERROR", { JSON(200), STATE("ERROR") }, CLIENT(HTTP) },
  { "201 ERROR", { JSON(201), STATE("ERROR") }, CLIENT(HTTP) },
  { "200 with an error", { ERROR(200) }, CLIENT(HTTP) },

  /* a part of it */
  { "207", { JSON(207) }, { FAIL(PARTIAL, NOTHING), FAIL(PARTIAL, NOTHING), FAIL(PARTIAL, NOTHING) } },
  { "207 with failures",
    { JSON(207), .has_failure = 1 },
    { FAIL(PARTIAL, NOTHING), FAIL(PARTIAL, NOTHING), FAIL(PARTIAL, NOTHING) } },
  { "200 with failures",
    { JSON(200), .has_failure = 1 },
    { FAIL(PARTIAL, NOTHING), FAIL(PARTIAL, NOTHING), FAIL(PARTIAL, NOTHING) } },
  { "207 with an error", { ERROR(207) }, { FAIL(PARTIAL, NOTHING), FAIL(PARTIAL, NOTHING), FAIL(PARTIAL, NOTHING) } },
  { "207 ERROR",
    { JSON(207), STATE("ERROR") },
    { FAIL(PARTIAL, NOTHING), FAIL(PARTIAL, NOTHING), FAIL(PARTIAL, NOTHING) } },
  { "200 with an error beside what was done",
    { ERROR(200), .has_success = 1 },
    { FAIL(PARTIAL, NOTHING), FAIL(PARTIAL, NOTHING), FAIL(PARTIAL, NOTHING) } },
  { "207 with a page", { PAGE(207) }, NOBODY_KNOWS(PROTOCOL) },

  /* redirects are never followed */
  { "301", { PAGE(301) }, NOBODY_KNOWS(PROTOCOL) },
  { "302 with JSON", { JSON(302) }, NOBODY_KNOWS(PROTOCOL) },
  { "304", { PAGE(304) }, NOBODY_KNOWS(PROTOCOL) },
  { "307", { PAGE(307) }, NOBODY_KNOWS(PROTOCOL) },

  /* 4xx */
  { "400", { ERROR(400) }, CLIENT(HTTP) },
  { "400 with a page", { PAGE(400) }, CLIENT(PROTOCOL) },
  { "402", { ERROR(402) }, CLIENT(HTTP) },
  { "403", { ERROR(403) }, CLIENT(AUTH) },
  { "403 with a page", { PAGE(403) }, CLIENT(AUTH) },
  { "404", { ERROR(404) }, CLIENT(HTTP) },
  { "405 with a page", { PAGE(405) }, CLIENT(PROTOCOL) },
  { "409", { ERROR(409) }, CLIENT(HTTP) },
  { "422", { ERROR(422) }, CLIENT(HTTP) },
  { "422 with failures", { ERROR(422), .has_failure = 1 }, CLIENT(HTTP) },
  { "422 with something done",
    { ERROR(422), .has_success = 1 },
    { FAIL(HTTP, NOTHING), FAIL(PROTOCOL, UNKNOWN), FAIL(PROTOCOL, UNKNOWN) } },
  { "426", { PAGE(426) }, CLIENT(PROTOCOL) },
  { "408", { PAGE(408) }, SERVER(PROTOCOL) },
  { "401", { ERROR(401) }, { REFRESH(AUTH, NOTHING), REFRESH(AUTH, REJECTED), REFRESH(AUTH, REJECTED) } },
  { "401 with a page", { PAGE(401) }, { REFRESH(AUTH, NOTHING), REFRESH(AUTH, REJECTED), REFRESH(AUTH, REJECTED) } },
  { "401 again", { ERROR(401), .rotated = 1 }, CLIENT(AUTH) },
  { "429", { ERROR(429) }, { RETRY(RATE_LIMIT, NOTHING), RETRY(RATE_LIMIT, REJECTED), LATER(RATE_LIMIT, REJECTED) } },
  { "429 with a page",
    { PAGE(429) },
    { RETRY(RATE_LIMIT, NOTHING), RETRY(RATE_LIMIT, REJECTED), LATER(RATE_LIMIT, REJECTED) } },
  { "429 again",
    { ERROR(429), .repeats = 1 },
    { LATER(RATE_LIMIT, NOTHING), LATER(RATE_LIMIT, REJECTED), LATER(RATE_LIMIT, REJECTED) } },

  /* 5xx */
  { "500", { ERROR(500) }, SERVER(HTTP) },
  { "500 with a page", { PAGE(500) }, SERVER(PROTOCOL) },
  { "502", { PAGE(502) }, SERVER(PROTOCOL) },
  { "503", { PAGE(503) }, SERVER(PROTOCOL) },
  { "504", { PAGE(504) }, SERVER(PROTOCOL) },
  { "505", { PAGE(505) }, SERVER(PROTOCOL) },
  { "500 after one repetition", { ERROR(500), .repeats = 1 }, SERVER(HTTP) },
  { "500 after all repetitions",
    { ERROR(500), .repeats = 2 },
    { LATER(HTTP, NOTHING), LATER(HTTP, UNKNOWN), FAIL(HTTP, UNKNOWN) } },
  { "500 with something done",
    { ERROR(500), .has_success = 1 },
    { RETRY(HTTP, NOTHING), FAIL(PROTOCOL, UNKNOWN), FAIL(PROTOCOL, UNKNOWN) } },
  { "599", { JSON(599) }, SERVER(PROTOCOL) },
};

static void expect(const char *place, const pac_operation *op, pac_verdict verdict, expectation wanted) {
  if (verdict.next != wanted.next || verdict.kind != wanted.kind || verdict.fate != wanted.fate ||
      verdict.retryable != wanted.retryable) {
    const char *kind = pac_kind_name(verdict.kind), *fate = pac_fate_name(verdict.fate);
    fail_msg("%s, %s: %s %s %s, retryable %d", place, op->name, pac_next_name(verdict.next), kind ? kind : "-",
             fate ? fate : "-", verdict.retryable);
  }
}

static pac_facts with_wait(pac_facts facts, int64_t retry_after_ms) {
  facts.retry_after_ms = retry_after_ms;
  return facts;
}

/* Judges a situation for every member of every class. */
static void each_member(void (*visit)(const situation *, int, const pac_operation *)) {
  for (size_t i = 0; i < COUNT(situations); i++) {
    for (int class = 0; class < CLASSES; class ++) {
      for (size_t m = 0; members[class][m] != NULL; m++) {
        visit(&situations[i], class, find(members[class][m]));
      }
    }
  }
}

static void visit_as_written(const situation *row, int class, const pac_operation *op) {
  pac_facts facts = with_wait(row->facts, -1);
  expect(row->name, op, pac_outcome_judge(op, &facts), row->expected[class]);
}

static void test_every_situation_has_its_verdict(void **state) {
  (void)state;
  each_member(visit_as_written);
}

static void visit_without_retries(const situation *row, int class, const pac_operation *op) {
  pac_facts facts = with_wait(row->facts, -1);
  expectation wanted = row->expected[class];
  facts.retries = 0;
  if (wanted.next != PAC_NEXT_DONE) {
    wanted.next = PAC_NEXT_FAIL;
  }
  expect(row->name, op, pac_outcome_judge(op, &facts), wanted);
}

static void test_without_retries_nothing_is_ever_sent_twice(void **state) {
  (void)state;
  each_member(visit_without_retries);
}

static void visit_with_wait(const situation *row, int class, const pac_operation *op) {
  pac_facts facts = with_wait(row->facts, 1500);
  pac_verdict verdict = pac_outcome_judge(op, &facts);
  expect(row->name, op, verdict, row->expected[class]);
  assert_int_equal(verdict.retry_after_ms, verdict.next == PAC_NEXT_DONE ? -1 : 1500);
}

static void test_the_wait_that_was_asked_for_is_passed_on(void **state) {
  (void)state;
  each_member(visit_with_wait);
}

/* The promise behind all of it: a sale goes out again by itself only when not a
** byte of it left, or when the service refused the token. */
static void visit_once(const situation *row, int class, const pac_operation *op) {
  pac_facts facts = with_wait(row->facts, -1);
  facts.retries = 99;
  pac_verdict verdict = pac_outcome_judge(op, &facts);
  if (class == ONCE && verdict.next == PAC_NEXT_RETRY) {
    assert_int_equal(facts.phase, PAC_PHASE_NOT_SENT);
  }
  if (class == ONCE && verdict.next == PAC_NEXT_REFRESH) {
    assert_int_equal(facts.status, 401);
  }
  if (class == READ) {
    assert_int_equal(verdict.fate, PAC_FATE_NONE);
  }
}

static void test_a_sale_is_never_doubled(void **state) {
  (void)state;
  each_member(visit_once);
}

/* --- answers that tell a state --------------------------------------------------- */

typedef struct state_row {
  const char *name, *operation;
  pac_facts facts;
  expectation expected;
} state_row;

#define UNHANDLED .error_type = "UNHANDLED_EXCEPTION", .error_type_length = 19

static const state_row state_rows[] = {
  { "PENDING", "orders.complete", { JSON(201), STATE("PENDING") }, DONE },
  { "COMPLETE", "orders.complete", { JSON(200), STATE("COMPLETE") }, DONE },
  { "ERROR", "orders.complete", { JSON(200), STATE("ERROR") }, FAIL(HTTP, REJECTED) },
  { "ERROR of a poll", "orders.status", { JSON(200), STATE("ERROR") }, FAIL(HTTP, NOTHING) },

  /* no state, or none that is documented */
  { "no state", "orders.complete", { JSON(200) }, FAIL(PROTOCOL, UNKNOWN) },
  { "no state", "transfers.initiate", { JSON(202) }, FAIL(PROTOCOL, UNKNOWN) },
  { "no state of a poll", "orders.status", { JSON(200) }, FAIL(PROTOCOL, NOTHING) },
  { "no state of a poll", "transfers.complete_status", { JSON(200) }, FAIL(PROTOCOL, NOTHING) },
  { "no state where none is shown", "transfers.pending", { JSON(200) }, DONE },
  { "no state where none is shown", "transfers.complete", { JSON(200) }, DONE },
  { "another word", "orders.complete", { JSON(200), STATE("FAILED") }, FAIL(PROTOCOL, UNKNOWN) },
  { "another case", "orders.complete", { JSON(200), STATE("Error") }, FAIL(PROTOCOL, UNKNOWN) },
  { "no string", "transfers.complete", { JSON(200), STATE("") }, FAIL(PROTOCOL, UNKNOWN) },

  /* answers that contradict themselves prove nothing */
  { "error beside PENDING", "orders.complete", { ERROR(200), STATE("PENDING") }, FAIL(PROTOCOL, UNKNOWN) },
  { "error beside COMPLETE", "orders.complete", { ERROR(200), STATE("COMPLETE") }, FAIL(PROTOCOL, UNKNOWN) },
  { "409 PENDING", "orders.complete", { JSON(409), STATE("PENDING") }, FAIL(PROTOCOL, UNKNOWN) },
  { "422 COMPLETE", "orders.complete", { ERROR(422), STATE("COMPLETE") }, FAIL(PROTOCOL, UNKNOWN) },
  { "401 PENDING", "orders.complete", { ERROR(401), STATE("PENDING") }, FAIL(PROTOCOL, UNKNOWN) },
  { "429 PENDING", "orders.complete", { ERROR(429), STATE("PENDING") }, FAIL(PROTOCOL, UNKNOWN) },
  { "207 PENDING", "orders.complete", { JSON(207), STATE("PENDING") }, FAIL(PARTIAL, NOTHING) },
  { "failures and an error beside COMPLETE",
    "orders.complete",
    { ERROR(200), STATE("COMPLETE"), .has_failure = 1 },
    FAIL(PARTIAL, NOTHING) },

  /* the one documented repetition of a transfer */
  { "500", "transfers.initiate", { ERROR(500), UNHANDLED }, RETRY(HTTP, UNKNOWN) },
  { "500 ERROR", "transfers.initiate", { ERROR(500), STATE("ERROR"), UNHANDLED }, RETRY(HTTP, UNKNOWN) },
  { "500 PENDING", "transfers.initiate", { ERROR(500), STATE("PENDING"), UNHANDLED }, FAIL(PROTOCOL, UNKNOWN) },
  { "200 COMPLETE", "transfers.initiate", { ERROR(200), STATE("COMPLETE"), UNHANDLED }, FAIL(PROTOCOL, UNKNOWN) },
  { "200 ERROR", "transfers.initiate", { ERROR(200), STATE("ERROR"), UNHANDLED }, FAIL(HTTP, UNKNOWN) },
};

static void test_the_state_decides(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(state_rows); i++) {
    const pac_operation *op = find(state_rows[i].operation);
    pac_facts facts = with_wait(state_rows[i].facts, -1);
    expect(state_rows[i].name, op, pac_outcome_judge(op, &facts), state_rows[i].expected);
  }
}

/* --- documented error tables --------------------------------------------------- */

typedef struct table_row {
  const char *operation, *type;
  int status, repeats;
  expectation expected;
  const char *action;
} table_row;

static void test_error_tables_rule_over_the_status(void **state) {
  (void)state;
  static const char provider[] = "inform_provider", analyze[] = "analyze";
  static const table_row rows[] = {
    { "transfers.initiate", "UNHANDLED_EXCEPTION", 500, 0, RETRY(HTTP, UNKNOWN), provider },
    { "transfers.initiate", "UNHANDLED_EXCEPTION", 500, 2, RETRY(HTTP, UNKNOWN), provider },
    { "transfers.initiate", "UNHANDLED_EXCEPTION", 500, 3, FAIL(HTTP, UNKNOWN), provider },
    { "transfers.initiate", "UNHANDLED_EXCEPTION", 200, 0, FAIL(HTTP, UNKNOWN), provider },
    { "transfers.initiate", "INVALID_PARAMETER_VALUE", 422, 0, FAIL(HTTP, REJECTED), provider },
    { "transfers.initiate", "INVALID_PARAMETER_VALUE", 400, 0, FAIL(HTTP, REJECTED), provider },
    { "transfers.initiate", "UNPROCESSABLE_ENTITY", 400, 0, FAIL(HTTP, REJECTED), provider },
    { "transfers.initiate", "UNPROCESSABLE_ENTITY", 500, 0, FAIL(HTTP, REJECTED), provider },
    { "transfers.initiate", "UNHANDLED_EXCEPTIONS", 500, 0, FAIL(HTTP, UNKNOWN), NULL },
    { "transfers.initiate", "UNHANDLED", 500, 0, FAIL(HTTP, UNKNOWN), NULL },
    { "transfers.initiate", "", 500, 0, FAIL(HTTP, UNKNOWN), NULL },
    { "transfers.initiate_v1", "UNHANDLED_EXCEPTION", 500, 0, FAIL(HTTP, UNKNOWN), NULL },
    { "orders.complete", "UNHANDLED_EXCEPTION", 500, 0, FAIL(HTTP, UNKNOWN), NULL },
    { "tickets.lock", "INVALID_TOKEN", 422, 0, FAIL(HTTP, REJECTED), analyze },
    { "tickets.lock", "TOKEN_NOT_FOUND", 422, 0, FAIL(HTTP, REJECTED), analyze },
    { "tickets.lock", "UNPROCESSABLE_ENTITY", 422, 0, FAIL(HTTP, REJECTED), analyze },
    { "transfers.initiate", "UNHANDLED_EXCEPTION", 429, 0, LATER(RATE_LIMIT, REJECTED), NULL },
    { "transfers.initiate", "UNHANDLED_EXCEPTION", 401, 0, REFRESH(AUTH, REJECTED), NULL },
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    const table_row *row = &rows[i];
    const pac_operation *op = find(row->operation);
    char *type = exact_copy(row->type, strlen(row->type));
    pac_facts facts = { ERROR(row->status), .repeats = row->repeats, .error_type = type,
                        .error_type_length = strlen(row->type), .retry_after_ms = -1 };
    pac_verdict verdict = pac_outcome_judge(op, &facts);
    expect(row->type, op, verdict, row->expected);
    if (row->action == NULL) {
      assert_null(verdict.action);
    } else {
      assert_string_equal(verdict.action, row->action);
    }
    free(type);
  }
}

static void test_the_code_decides_where_the_type_is_not_known(void **state) {
  (void)state;
  static const struct {
    const char *operation, *type, *code;
    int status;
    expectation expected;
    const char *action;
  } rows[] = {
    { "transfers.initiate", NULL, "MS-422", 400, FAIL(HTTP, REJECTED), "inform_provider" },
    { "transfers.initiate", "", "MS-422", 422, FAIL(HTTP, REJECTED), "inform_provider" },
    { "transfers.initiate", "ANOTHER", "MS-422", 400, FAIL(HTTP, REJECTED), "inform_provider" },
    { "transfers.initiate", NULL, "MS-422", 500, FAIL(HTTP, UNKNOWN), "inform_provider" },
    { "transfers.initiate", "ANOTHER", "MS-422", 504, FAIL(HTTP, UNKNOWN), "inform_provider" },
    { "transfers.initiate", NULL, "MS-500", 500, FAIL(HTTP, UNKNOWN), "inform_provider" },
    { "transfers.initiate", NULL, "MS-500", 400, FAIL(HTTP, UNKNOWN), "inform_provider" },
    { "transfers.initiate", "UNPROCESSABLE_ENTITY", "MS-500", 500, FAIL(HTTP, REJECTED), "inform_provider" },
    { "transfers.initiate", "UNHANDLED_EXCEPTION", "MS-422", 500, RETRY(HTTP, UNKNOWN), "inform_provider" },
    { "transfers.initiate", NULL, "MS-5000", 500, FAIL(HTTP, UNKNOWN), NULL },
    { "transfers.initiate", NULL, "MS-4", 400, FAIL(HTTP, REJECTED), NULL },
    { "tickets.lock", NULL, "MS-404", 422, FAIL(HTTP, REJECTED), "analyze" },
    { "orders.complete", NULL, "MS-422", 500, FAIL(HTTP, UNKNOWN), NULL },
    { "transfers.initiate", NULL, "MS-422", 429, LATER(RATE_LIMIT, REJECTED), NULL },
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    const pac_operation *op = find(rows[i].operation);
    size_t length = strlen(rows[i].code);
    char *code = exact_copy(rows[i].code, length);
    pac_facts facts = { ERROR(rows[i].status), .error_type = rows[i].type, .error_code = code,
                        .error_code_length = length, .retry_after_ms = -1 };
    facts.error_type_length = rows[i].type != NULL ? strlen(rows[i].type) : 0;
    pac_verdict verdict = pac_outcome_judge(op, &facts);
    expect(rows[i].code, op, verdict, rows[i].expected);
    if (rows[i].action == NULL) {
      assert_null(verdict.action);
    } else {
      assert_string_equal(verdict.action, rows[i].action);
    }
    free(code);
  }
}

/* Otherwise it would matter which of them a code finds. */
static void test_rows_with_the_same_code_demand_the_same(void **state) {
  (void)state;
  const pac_operation *op;
  for (size_t i = 0; (op = pac_operation_at(i)) != NULL; i++) {
    for (const pac_error_row *row = op->errors; row != NULL && row->type != NULL; row++) {
      for (const pac_error_row *next = row + 1; next->type != NULL; next++) {
        if (strcmp(row->app_error_code, next->app_error_code) == 0) {
          assert_int_equal(row->retries, next->retries);
          assert_string_equal(row->action, next->action);
        }
      }
    }
  }
}

/* --- the token call --------------------------------------------------------------- */

static void test_the_token_call_tells_refused_credentials_from_trouble(void **state) {
  (void)state;
  static const struct {
    const char *name;
    pac_facts facts;
    expectation expected;
  } rows[] = {
    { "refused", { ERROR(400) }, FAIL(AUTH, REJECTED) },
    { "refused, 403", { ERROR(403) }, FAIL(AUTH, REJECTED) },
    { "refused, 401", { ERROR(401) }, FAIL(AUTH, REJECTED) },
    { "a page, 401", { PAGE(401) }, FAIL(PROTOCOL, REJECTED) },
    { "a page, 403", { PAGE(403) }, FAIL(PROTOCOL, REJECTED) },
    { "a page, 404", { PAGE(404) }, FAIL(PROTOCOL, REJECTED) },
    { "500", { ERROR(500) }, FAIL(HTTP, UNKNOWN) },
    { "429", { ERROR(429) }, LATER(RATE_LIMIT, REJECTED) },
    { "no connection", { SILENCE(NOT_SENT, NETWORK) }, RETRY(NETWORK, NOT_SENT) },
    { "no answer", { SILENCE(UNKNOWN, TIMEOUT) }, FAIL(TIMEOUT, UNKNOWN) },
    { "done", { JSON(200) }, DONE },
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    pac_facts facts = with_wait(rows[i].facts, -1);
    expect(rows[i].name, find("auth.token"), pac_outcome_judge(find("auth.token"), &facts), rows[i].expected);
  }
}

static void test_names(void **state) {
  (void)state;
  assert_null(pac_kind_name(PAC_KIND_NONE));
  assert_string_equal(pac_kind_name(PAC_KIND_AUTH), "auth");
  assert_string_equal(pac_kind_name(PAC_KIND_NETWORK), "network");
  assert_string_equal(pac_kind_name(PAC_KIND_TIMEOUT), "timeout");
  assert_string_equal(pac_kind_name(PAC_KIND_HTTP), "http");
  assert_string_equal(pac_kind_name(PAC_KIND_RATE_LIMIT), "rate_limit");
  assert_string_equal(pac_kind_name(PAC_KIND_PARTIAL), "partial");
  assert_string_equal(pac_kind_name(PAC_KIND_PROTOCOL), "protocol");
  assert_string_equal(pac_kind_name(PAC_KIND_CANCELED), "canceled");
  assert_null(pac_fate_name(PAC_FATE_NONE));
  assert_string_equal(pac_fate_name(PAC_FATE_NOT_SENT), "not_sent");
  assert_string_equal(pac_fate_name(PAC_FATE_REJECTED), "rejected");
  assert_string_equal(pac_fate_name(PAC_FATE_UNKNOWN), "unknown");
  assert_string_equal(pac_next_name(PAC_NEXT_DONE), "done");
  assert_string_equal(pac_next_name(PAC_NEXT_RETRY), "retry");
  assert_string_equal(pac_next_name(PAC_NEXT_REFRESH), "refresh");
  assert_string_equal(pac_next_name(PAC_NEXT_FAIL), "fail");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_every_situation_has_its_verdict),
    cmocka_unit_test(test_without_retries_nothing_is_ever_sent_twice),
    cmocka_unit_test(test_the_wait_that_was_asked_for_is_passed_on),
    cmocka_unit_test(test_a_sale_is_never_doubled),
    cmocka_unit_test(test_the_state_decides),
    cmocka_unit_test(test_error_tables_rule_over_the_status),
    cmocka_unit_test(test_the_code_decides_where_the_type_is_not_known),
    cmocka_unit_test(test_rows_with_the_same_code_demand_the_same),
    cmocka_unit_test(test_the_token_call_tells_refused_credentials_from_trouble),
    cmocka_unit_test(test_names),
  };
  return cmocka_run_group_tests_name("outcome", tests, NULL, NULL);
}
