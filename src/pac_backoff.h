/* pac_backoff.h: how long to wait before a request is repeated. */
#ifndef PAC_BACKOFF_H
#define PAC_BACKOFF_H

#include "pac.h"

/* The first repeat waits 0.1 s on average: long enough for a dropped connection
** or a restarted worker, short enough for a person who waits. */
#define PAC_BACKOFF_BASE_MS INT64_C(200)
/* A server in trouble for longer than this is the business of the deadline and
** of the retry budget, not of a longer sleep. */
#define PAC_BACKOFF_CAP_MS INT64_C(5000)

/* Full jitter: anything from 0 to min(cap, base * 2^(attempt - 1)), which
** spreads clients that failed together better than a jitter around the middle.
** Args: attempt, 1 = before the first repeat, below that there is no wait;
** base_ms, cap_ms, below 1 there is no wait; random, 0..1.
** Returns: milliseconds, 0 to cap_ms; exact at any attempt, never overflows.
** Source: AWS Architecture Blog, "Exponential Backoff And Jitter". */
int64_t pac_backoff_full_jitter_ms(int attempt, int64_t base_ms, int64_t cap_ms, double random);

#endif
