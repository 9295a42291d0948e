/* pac_outcome.c: judging one attempt. */
#include "pac_outcome.h"

#include <string.h>

static int is_text(const char *known, const char *text, size_t length) {
  return text != NULL && strlen(known) == length && memcmp(known, text, length) == 0;
}

static int has_type_of(const pac_facts *facts, const pac_error_row *row) {
  return is_text(row->type, facts->error_type, facts->error_type_length);
}

/* The row of the operation's table that the error belongs to: by its type and,
** where the table does not know that, by its code (contract 7 row 39). All rows
** of a table with the same code demand the same. */
static const pac_error_row *find_row(const pac_operation *op, const pac_facts *facts) {
  const pac_error_row *by_code = NULL;
  for (const pac_error_row *row = op->errors; row != NULL && row->type != NULL; row++) {
    if (has_type_of(facts, row)) {
      return row;
    }
    if (by_code == NULL && is_text(row->app_error_code, facts->error_code, facts->error_code_length)) {
      by_code = row;
    }
  }
  return by_code;
}

static int state_is(const pac_facts *facts, const char *state) {
  return facts->state != NULL && facts->state_length == strlen(state) &&
         memcmp(facts->state, state, facts->state_length) == 0;
}

/* The service says that it works on the request, or is done with it. */
static int is_under_way(const pac_facts *facts) {
  return state_is(facts, "PENDING") || state_is(facts, "COMPLETE");
}

static int is_known_state(const pac_facts *facts) {
  return is_under_way(facts) || state_is(facts, "ERROR");
}

/* Only a write has a fate. */
static pac_fate fate_of(const pac_operation *op, pac_fate fate) {
  return op->effect == PAC_READ ? PAC_FATE_NONE : fate;
}

static pac_verdict fail(const pac_operation *op, pac_kind kind, pac_fate fate) {
  return (pac_verdict){ .next = PAC_NEXT_FAIL, .kind = kind, .fate = fate_of(op, fate), .retry_after_ms = -1 };
}

/* Marks the verdict as worth another attempt, and asks for it while the limit
** allows. */
static void allow_retry(pac_verdict *verdict, const pac_facts *facts, int limit) {
  verdict->retryable = 1;
  if (facts->retries > 0 && facts->repeats < limit) {
    verdict->next = PAC_NEXT_RETRY;
  }
}

static pac_verdict judge_silence(const pac_operation *op, const pac_facts *facts) {
  pac_kind kind = facts->failure;
  int passing = kind == PAC_KIND_NETWORK || kind == PAC_KIND_TIMEOUT;
  if (facts->phase == PAC_PHASE_NOT_SENT) {
    pac_verdict verdict = fail(op, kind, PAC_FATE_NOT_SENT);
    if (passing) {
      allow_retry(&verdict, facts, facts->retries);
    }
    return verdict;
  }
  pac_verdict verdict = fail(op, kind, PAC_FATE_UNKNOWN);
  if (passing && op->effect != PAC_ONCE) {
    allow_retry(&verdict, facts, facts->retries);
  }
  return verdict;
}

/* An error that the operation's table lists (contract 7 rows 39 and 40). It is
** repeated only when it came as the table has it, with its type and a 5xx: a
** process that was begun and ended with ERROR is no request that failed. A code
** alone, beside a 5xx, does not prove that nothing was done. */
static pac_verdict judge_row(const pac_operation *op, const pac_facts *facts, const pac_error_row *row) {
  int is_proof = row->retries == 0 && (facts->status < 500 || has_type_of(facts, row));
  pac_verdict verdict = fail(op, PAC_KIND_HTTP, is_proof ? PAC_FATE_REJECTED : PAC_FATE_UNKNOWN);
  verdict.action = row->action;
  if (row->retries > facts->repeats && facts->status >= 500 && has_type_of(facts, row)) {
    allow_retry(&verdict, facts, row->retries);
  }
  return verdict;
}

/* Without a state that the documents know nobody can say what was done. */
static int lacks_state(const pac_operation *op, const pac_facts *facts) {
  if (op->state == NULL || is_known_state(facts)) {
    return 0;
  }
  return facts->state != NULL || op->state_told;
}

static pac_verdict judge_success(const pac_operation *op, const pac_facts *facts) {
  if (!facts->is_json) {
    return fail(op, PAC_KIND_PROTOCOL, PAC_FATE_UNKNOWN);
  }
  /* Before any error in it: what was done for a part must not read as rejected. */
  if (facts->status == 207 || facts->has_failure || (facts->has_success && facts->has_error)) {
    return fail(op, PAC_KIND_PARTIAL, PAC_FATE_NONE);
  }
  if (facts->has_error || state_is(facts, "ERROR")) {
    const pac_error_row *row = find_row(op, facts);
    return row != NULL ? judge_row(op, facts, row) : fail(op, PAC_KIND_HTTP, PAC_FATE_REJECTED);
  }
  if (lacks_state(op, facts)) {
    return fail(op, PAC_KIND_PROTOCOL, PAC_FATE_UNKNOWN);
  }
  return (pac_verdict){ .next = PAC_NEXT_DONE, .retry_after_ms = -1 };
}

static pac_verdict judge_unauthorized(const pac_operation *op, const pac_facts *facts) {
  if (op->anonymous && !facts->has_error) {
    return fail(op, PAC_KIND_PROTOCOL, PAC_FATE_REJECTED); /* a gateway's page says nothing of the credential */
  }
  pac_verdict verdict = fail(op, PAC_KIND_AUTH, PAC_FATE_REJECTED);
  if (!op->anonymous && !facts->rotated && facts->retries > 0) {
    verdict.next = PAC_NEXT_REFRESH;
  }
  return verdict;
}

/* 429 says that the request was not looked at, so a caller may repeat it; by
** itself only what is safe to repeat goes out again, once (contract 4). */
static pac_verdict judge_rate_limit(const pac_operation *op, const pac_facts *facts) {
  pac_verdict verdict = fail(op, PAC_KIND_RATE_LIMIT, PAC_FATE_REJECTED);
  verdict.retryable = 1;
  if (op->effect != PAC_ONCE) {
    allow_retry(&verdict, facts, 1);
  }
  return verdict;
}

/* A credential counts as refused by the token call only in the service's own
** words: a 403 page of a gateway must not cost the refresh token. */
static pac_verdict judge_client_error(const pac_operation *op, const pac_facts *facts) {
  pac_kind kind = facts->has_error ? PAC_KIND_HTTP : PAC_KIND_PROTOCOL;
  if (op->anonymous ? facts->has_error : facts->status == 403) {
    kind = PAC_KIND_AUTH;
  }
  return fail(op, kind, PAC_FATE_REJECTED);
}

/* The server, or a gateway before it, gave up: nobody says what was done. */
static pac_verdict judge_server_error(const pac_operation *op, const pac_facts *facts) {
  pac_verdict verdict = fail(op, facts->has_error ? PAC_KIND_HTTP : PAC_KIND_PROTOCOL, PAC_FATE_UNKNOWN);
  if (op->effect != PAC_ONCE) {
    allow_retry(&verdict, facts, facts->retries);
  }
  return verdict;
}

/* A refusal or an error beside PENDING or COMPLETE, or a refusal that lists what
** was done: the answer contradicts itself, so it proves nothing. */
static int contradicts_itself(const pac_operation *op, const pac_facts *facts) {
  int is_success = facts->status >= 200 && facts->status < 300;
  int is_partial = facts->status == 207 || facts->has_failure;
  if (facts->has_success && !is_success && op->effect != PAC_READ) {
    return 1;
  }
  return is_under_way(facts) && (!is_success || (facts->has_error && !is_partial));
}

static pac_verdict judge_answer(const pac_operation *op, const pac_facts *facts) {
  int status = facts->status;
  if (contradicts_itself(op, facts)) {
    return fail(op, PAC_KIND_PROTOCOL, PAC_FATE_UNKNOWN);
  }
  if (status >= 200 && status < 300) {
    return judge_success(op, facts);
  }
  if (status == 401) {
    return judge_unauthorized(op, facts);
  }
  if (status == 429) {
    return judge_rate_limit(op, facts);
  }
  const pac_error_row *row = find_row(op, facts);
  if (row != NULL) {
    return judge_row(op, facts, row);
  }
  if (status >= 500 || status == 408) {
    return judge_server_error(op, facts);
  }
  if (status >= 400) {
    return judge_client_error(op, facts);
  }
  return fail(op, PAC_KIND_PROTOCOL, PAC_FATE_UNKNOWN); /* a redirect, which is never followed */
}

pac_verdict pac_outcome_judge(const pac_operation *op, const pac_facts *facts) {
  pac_verdict verdict = facts->phase == PAC_PHASE_ANSWERED ? judge_answer(op, facts) : judge_silence(op, facts);
  if (verdict.next != PAC_NEXT_DONE) {
    verdict.retry_after_ms = facts->retry_after_ms;
  }
  return verdict;
}

const char *pac_kind_name(pac_kind kind) {
  static const char *const names[] = {
    [PAC_KIND_NONE] = NULL,         [PAC_KIND_AUTH] = "auth",         [PAC_KIND_NETWORK] = "network",
    [PAC_KIND_TIMEOUT] = "timeout", [PAC_KIND_HTTP] = "http",         [PAC_KIND_RATE_LIMIT] = "rate_limit",
    [PAC_KIND_PARTIAL] = "partial", [PAC_KIND_PROTOCOL] = "protocol", [PAC_KIND_CANCELED] = "canceled"
  };
  return names[kind];
}

const char *pac_fate_name(pac_fate fate) {
  static const char *const names[] = { [PAC_FATE_NONE] = NULL,
                                       [PAC_FATE_NOT_SENT] = "not_sent",
                                       [PAC_FATE_REJECTED] = "rejected",
                                       [PAC_FATE_UNKNOWN] = "unknown" };
  return names[fate];
}

const char *pac_next_name(pac_next next) {
  static const char *const names[] = {
    [PAC_NEXT_DONE] = "done", [PAC_NEXT_RETRY] = "retry", [PAC_NEXT_REFRESH] = "refresh", [PAC_NEXT_FAIL] = "fail"
  };
  return names[next];
}
