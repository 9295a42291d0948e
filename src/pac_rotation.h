/* pac_rotation.h: when a bearer token is used, refreshed or given up. A pure
** decision from a token set, a policy and a clock; carrying it out, with the
** lock and the store, is the caller's part. Knows no token, only dates.
**
**   issued                    advisory      mandatory    expires
**     |----------- use ----------|-- use and --|-- refresh --|-- refresh, --
**                                |   refresh   |  all wait   |   or fail     */
#ifndef PAC_ROTATION_H
#define PAC_ROTATION_H

#include "pac.h"

/* Five minutes before the end one caller refreshes while all go on: time for
** several attempts, cool-off included, before anybody has to wait. */
#define PAC_ROTATION_ADVISORY_MS (INT64_C(5) * 60 * 1000)
/* One minute before the end all wait for the new token: a request with the
** longest usual timeout (30 s) sent now must still arrive with a live token. */
#define PAC_ROTATION_MANDATORY_MS (INT64_C(60) * 1000)
/* Clocks that differ by less than the mandatory window do no harm, so nothing
** more is subtracted unless somebody measured a difference. */
#define PAC_ROTATION_CLOCK_SKEW_MS INT64_C(0)
/* A short-lived token keeps most of its life for use: the windows take at most
** a quarter and a tenth of it. */
#define PAC_ROTATION_ADVISORY_SHARE  4
#define PAC_ROTATION_MANDATORY_SHARE 10
/* Jitter stretches both windows by up to a fifth, so that processes that got
** their tokens together do not refresh together. */
#define PAC_ROTATION_JITTER_SHARE 0.2

/* The pause after a failed refresh: doubles per failure, up to a minute. */
#define PAC_ROTATION_COOL_OFF_BASE_MS INT64_C(1000)
#define PAC_ROTATION_COOL_OFF_CAP_MS  INT64_C(60000)

typedef enum {
  PAC_ROTATION_USE,             /* send with the access token */
  PAC_ROTATION_USE_AND_REFRESH, /* send with it; one caller refreshes beside */
  PAC_ROTATION_REFRESH,         /* wait for a refresh, then send */
  PAC_ROTATION_EXCHANGE,        /* exchange the authorization code, then send */
  PAC_ROTATION_FAIL             /* no way to a token now; see retry_not_before_ms */
} pac_rotation_step;

/* What is known of the tokens. Times are unix milliseconds, 0 = unknown. */
typedef struct {
  int has_access;
  int has_refresh;
  int has_code;                /* an authorization code that has not been spent */
  int64_t issued_at_ms;        /* by our own clock, when the access token arrived */
  int64_t expires_at_ms;       /* as the server wrote it */
  int64_t retry_not_before_ms; /* cool-off after a failed refresh, 0 = none */
  int rejected;                /* the server answered 401 to this access token */
} pac_rotation_state;

typedef struct {
  int64_t advisory_ms;   /* window lengths; negative counts as 0 */
  int64_t mandatory_ms;  /* where the windows overlap, this one rules */
  int64_t clock_skew_ms; /* subtracted from expires_at_ms, up to half of the lifetime */
  double jitter;         /* 0..1, this caller's fixed draw */
} pac_rotation_policy;

/* Decides the next step.
** Args: all borrowed; now_ms, unix milliseconds.
** Rules:
**   no access token, rejected or expired: refresh, else exchange, else fail;
**     fail while the cool-off lasts
**   expiry unknown, or not after issued_at_ms (a token cannot be born expired,
**     so the two clocks disagree): use until the server rejects it
**   mandatory window: refresh; use while cooling off or without a refresh token,
**     since a code is worth spending only when nothing else is left
**   advisory window: use_and_refresh under the same two conditions, else use
** Returns: the step; cannot fail. */
pac_rotation_step pac_rotation_decide(const pac_rotation_state *state, const pac_rotation_policy *policy,
                                      int64_t now_ms);

/* The policy with the constants above and the given draw. */
pac_rotation_policy pac_rotation_default_policy(double jitter);

/* Returns: use, use_and_refresh, refresh, exchange or fail; a static string.
** A number that is no step is fail. */
const char *pac_rotation_name(pac_rotation_step step);

/* The pause before the next attempt to refresh: 1 s, doubling up to 60 s, of
** which 50 to 100 % by the draw.
** Args: failures, in a row, counted with the latest; below 1 there is no pause;
** random, 0..1. Returns: milliseconds. */
int64_t pac_rotation_cool_off_ms(int failures, double random);

#endif
