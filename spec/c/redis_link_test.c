/* redis_link_test.c: what of redis_link cannot be seen from Lua: forked
** processes, and a wait that is interrupted by signals. Without TLS. */
#include "../../src/redis_link.c"

#include "unit.h"

#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

int redis_tls_open(redis_link *link, const redis_target *target, int64_t ends_at_ms, char *message) {
  (void)link;
  (void)target;
  (void)ends_at_ms;
  (void)message;
  return 0;
}

void redis_tls_close(redis_link *link) {
  (void)link;
}

redis_status redis_tls_write(redis_link *link, const char *data, size_t length, int64_t ends_at_ms) {
  (void)link;
  (void)data;
  (void)length;
  (void)ends_at_ms;
  return REDIS_GONE;
}

redis_status redis_tls_read(redis_link *link, char *data, size_t size, size_t *length, int64_t ends_at_ms) {
  (void)link;
  (void)data;
  (void)size;
  (void)length;
  (void)ends_at_ms;
  return REDIS_GONE;
}

/* A listener of the loopback interface and a link to it. */
typedef struct fixture {
  int listener, peer;
  redis_link link;
} fixture;

static int open_all(void **state) {
  static fixture all;
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t size = sizeof address;
  char port[8], message[REDIS_MESSAGE_SIZE];
  redis_target target = { .host = "127.0.0.1", .port = port };
  all.link = (redis_link){ .fd = -1 };
  all.listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(all.listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(all.listener, 1) != 0 ||
      getsockname(all.listener, (struct sockaddr *)&address, &size) != 0) {
    return -1;
  }
  (void)snprintf(port, sizeof port, "%d", ntohs(address.sin_port));
  if (!redis_link_open(&all.link, &target, redis_now_ms() + 5000, message)) {
    return -1;
  }
  all.peer = accept(all.listener, NULL, NULL);
  *state = &all;
  return all.peer >= 0 ? 0 : -1;
}

static int close_all(void **state) {
  fixture *all = *state;
  redis_link_close(&all->link);
  redis_link_close(&all->link);
  if (all->peer >= 0) {
    close(all->peer);
  }
  close(all->listener);
  return all->link.fd == -1 ? 0 : -1;
}

/* What a child of this process says; it ends with its own copies closed. */
static int said_by_child(redis_link *link) {
  int status = 0;
  pid_t pid = fork();
  if (pid == 0) {
    int is_idle = redis_link_is_idle(link);
    redis_link_close(link);
    _exit(is_idle);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  return WEXITSTATUS(status);
}

static void test_child_leaves_the_connection_to_its_parent(void **state) {
  fixture *all = *state;
  char data[8];
  size_t length = 0;
  assert_true(redis_link_is_idle(&all->link));
  assert_int_equal(said_by_child(&all->link), 0);
  assert_true(redis_link_is_idle(&all->link));
  assert_int_equal(redis_link_write(&all->link, "ping", 4, redis_now_ms() + 5000), REDIS_DONE);
  assert_int_equal(read(all->peer, data, sizeof data), 4);
  assert_int_equal(write(all->peer, "pong", 4), 4);
  assert_int_equal(redis_link_read(&all->link, data, sizeof data, &length, redis_now_ms() + 5000), REDIS_DONE);
  assert_int_equal(length, 4);
}

static void test_bytes_and_the_end_are_not_idle(void **state) {
  fixture *all = *state;
  assert_int_equal(write(all->peer, "x", 1), 1);
  struct pollfd p = { all->link.fd, POLLIN, 0 };
  assert_int_equal(poll(&p, 1, 5000), 1);
  assert_false(redis_link_is_idle(&all->link));
  assert_int_equal(shutdown(all->peer, SHUT_WR), 0);
  assert_int_equal(poll(&p, 1, 5000), 1);
  assert_false(redis_link_is_idle(&all->link));
}

static void test_a_broken_pipe_raises_no_signal(void **state) {
  fixture *all = *state;
  redis_status status = REDIS_DONE;
  assert_ptr_not_equal(signal(SIGPIPE, SIG_DFL), SIG_ERR);
  close(all->peer);
  all->peer = -1;
  for (int i = 0; i < 1000 && status == REDIS_DONE; i++) {
    status = redis_link_write(&all->link, "x", 1, redis_now_ms() + 5000);
  }
  assert_int_equal(status, REDIS_GONE);
}

static void on_alarm(int number) {
  (void)number;
}

static void test_signals_do_not_end_a_wait_or_prolong_it(void **state) {
  fixture *all = *state;
  struct sigaction action = { .sa_handler = on_alarm }, before;
  struct itimerval often = { { 0, 5000 }, { 0, 5000 } }, never = { { 0, 0 }, { 0, 0 } };
  char byte;
  size_t length;
  int64_t ends_at_ms = redis_now_ms() + 100;
  assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
  assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
  redis_status status = redis_link_read(&all->link, &byte, 1, &length, ends_at_ms);
  assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
  assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
  assert_int_equal(status, REDIS_LATE);
  assert_true(redis_now_ms() >= ends_at_ms);
}

static void test_descriptors_are_closed_on_exec(void **state) {
  const fixture *all = *state;
  assert_int_equal(fcntl(all->link.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_child_leaves_the_connection_to_its_parent, open_all, close_all),
    cmocka_unit_test_setup_teardown(test_bytes_and_the_end_are_not_idle, open_all, close_all),
    cmocka_unit_test_setup_teardown(test_a_broken_pipe_raises_no_signal, open_all, close_all),
    cmocka_unit_test_setup_teardown(test_signals_do_not_end_a_wait_or_prolong_it, open_all, close_all),
    cmocka_unit_test_setup_teardown(test_descriptors_are_closed_on_exec, open_all, close_all),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
