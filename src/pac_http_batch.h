/* pac_http_batch.h: requests side by side. A batch sends requests of any number
** of sessions (pac_http.h) at once, over connections of its own that it keeps:
** HTTP/2 where the server speaks it, so that requests share a connection, and
** HTTP/1.1 elsewhere. What pac_http_send promises of a request holds here too:
** it is sent once, and a single-use one has a connection to itself.
** Pure C; blocks in pac_http_batch_wait only; not for two threads at once. */
#ifndef PAC_HTTP_BATCH_H
#define PAC_HTTP_BATCH_H

#include "pac_http.h"

typedef struct pac_http_batch pac_http_batch;

/* Opens a batch without requests.
** Returns PAC_OK and *out; PAC_NO_MEMORY or PAC_FAILED (libcurl unusable) leave *out NULL.
** Owns: the caller frees *out with pac_http_batch_free. */
pac_status pac_http_batch_new(pac_http_batch **out, pac_err *err) PAC_WARN_UNUSED;

/* Takes a request on. Its bytes leave during pac_http_batch_wait.
** Args: http, the session whose settings hold, needed during this call only; request, copied; id, set to a number that
** no other request of this batch has.
** Returns PAC_INVALID when the request breaks a rule (err names it) or PAC_NO_MEMORY: nothing was taken on. After
** PAC_OK the answer, or the failure, comes out of pac_http_batch_take. */
pac_status pac_http_batch_add(pac_http_batch *batch, const pac_http *http, const pac_http_request *request, int64_t *id,
                              pac_err *err) PAC_WARN_UNUSED;

/* Lets requests proceed, until one of them has ended or the time is over.
** Args: timeout_ms, 0: do not wait. Returns early when something moved, and at
** once when a request has ended that was not taken yet or none is on its way.
** In a forked child the requests of the parent end as canceled here, while in
** the parent they go on. */
void pac_http_batch_wait(pac_http_batch *batch, int timeout_ms);

/* The next request that ended, in the order of their ends.
** Args: id, as from pac_http_batch_add; answer, which is reset first.
** Returns false when there is none; id is not set then.
** Owns: the answer's memory is the caller's, see pac_http_answer_reset. */
bool pac_http_batch_take(pac_http_batch *batch, int64_t *id, pac_http_answer *answer);

/* Ends all requests of a session that are on their way, as PAC_HTTP_CANCELED
** with the phase that is known. They come out of pac_http_batch_take. */
void pac_http_batch_cancel(pac_http_batch *batch, const pac_http *http);

/* Closes the batch and its connections; NULL is fine. Requests on their way end
** without an answer. In a forked child the parent's connections stay open. */
void pac_http_batch_free(pac_http_batch *batch);

#endif
