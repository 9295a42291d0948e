/* pac_http_pipe.c: keeping SIGPIPE away from the host while libcurl works. */
#include "pac_http_parts.h"

#include <pthread.h>
#include <time.h>

static bool is_pending(int signal_number) {
  sigset_t pending;
  return sigpending(&pending) == 0 && sigismember(&pending, signal_number) == 1;
}

/* Takes a signal that is pending. Another thread may take one that came to the
** whole process in between, and waiting for the next would block; macOS has no
** wait that ends. */
static void take_pending(const sigset_t *signals) {
#ifdef __APPLE__
  int taken;
  (void)sigwait(signals, &taken);
#else
  static const struct timespec now = { 0, 0 };
  (void)sigtimedwait(signals, NULL, &now);
#endif
}

void pac_http_pipe_hold(pac_http_pipe *state) {
  sigset_t only_pipe;
  sigemptyset(&only_pipe);
  sigaddset(&only_pipe, SIGPIPE);
  state->was_pending = is_pending(SIGPIPE);
  (void)pthread_sigmask(SIG_BLOCK, &only_pipe, &state->before);
}

void pac_http_pipe_release(const pac_http_pipe *state) {
  sigset_t only_pipe;
  sigemptyset(&only_pipe);
  sigaddset(&only_pipe, SIGPIPE);
  if (!state->was_pending && is_pending(SIGPIPE)) {
    take_pending(&only_pipe);
  }
  (void)pthread_sigmask(SIG_SETMASK, &state->before, NULL);
}
