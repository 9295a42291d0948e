/* pac_http_pipe.c: keeping SIGPIPE away from the host while libcurl works. */
#include "pac_http_parts.h"

#include <pthread.h>

static bool is_pending(int signal_number) {
  sigset_t pending;
  return sigpending(&pending) == 0 && sigismember(&pending, signal_number) == 1;
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
  int taken;
  sigemptyset(&only_pipe);
  sigaddset(&only_pipe, SIGPIPE);
  if (!state->was_pending && is_pending(SIGPIPE)) {
    (void)sigwait(&only_pipe, &taken);
  }
  (void)pthread_sigmask(SIG_SETMASK, &state->before, NULL);
}
