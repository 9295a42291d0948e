/* http_test.c: what of pac_http cannot be seen from Lua: forked processes, the
** signal mask, and the limits of an answer line by line. */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pac_http.h"

/* ---- a server that answers with the number of the connection ------------- */

typedef struct server {
  int listener;
  pid_t pid;
  char url[64];
} server;

/* Ends a server process whose test died before it could. */
#define SERVER_LIMIT_S 60

static void answer_all(int client, int number) {
  char input[4096];
  char output[128];
  while (read(client, input, sizeof input) > 0) {
    int length = snprintf(output, sizeof output, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", number);
    if (write(client, output, (size_t)length) != length) {
      break;
    }
  }
  close(client);
}

/* One process per connection, so that a kept one does not block the next. */
static void serve(int listener) {
  (void)signal(SIGCHLD, SIG_IGN);
  (void)alarm(SERVER_LIMIT_S);
  for (int number = 1; number < 10; number++) {
    int client = accept(listener, NULL, NULL);
    if (client < 0) {
      break;
    }
    if (fork() == 0) {
      (void)alarm(SERVER_LIMIT_S);
      close(listener);
      answer_all(client, number);
      _exit(0);
    }
    close(client);
  }
}

static int start_server(void **state) {
  static server peer;
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t size = sizeof address;
  peer.listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(peer.listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(peer.listener, 8) != 0 ||
      getsockname(peer.listener, (struct sockaddr *)&address, &size) != 0) {
    return -1;
  }
  (void)snprintf(peer.url, sizeof peer.url, "http://127.0.0.1:%d/", ntohs(address.sin_port));
  peer.pid = fork();
  if (peer.pid == 0) {
    serve(peer.listener);
    _exit(0);
  }
  *state = &peer;
  return peer.pid > 0 ? 0 : -1;
}

static int stop_server(void **state) {
  const server *peer = *state;
  close(peer->listener);
  kill(peer->pid, SIGTERM);
  waitpid(peer->pid, NULL, 0);
  return 0;
}

/* ---- sessions ------------------------------------------------------------ */

static const pac_http_config config = { .max_answer_bytes = 1000, .connect_timeout_ms = 5000, .timeout_ms = 20000 };

static pac_http *open_session(void) {
  pac_http *http = NULL;
  pac_err err;
  assert_int_equal(pac_http_new(&config, &http, &err), PAC_OK);
  assert_non_null(http);
  return http;
}

/* The number of the connection that the request travelled on; 0 on failure. */
static int connection_of(pac_http *http, const char *url) {
  pac_http_request request = { .method = "GET", .url = url };
  pac_http_answer answer = { 0 };
  pac_err err;
  int number = 0;
  if (pac_http_send(http, &request, &answer, &err) == PAC_OK && answer.kind == PAC_HTTP_ANSWERED &&
      answer.body.length == 1) {
    number = answer.body.data[0] - '0';
  }
  pac_http_answer_reset(&answer);
  return number;
}

/* What connection_of says in a forked child. The child ends with its session
** open, so that a leak checker finds what it inherited still in hand. */
static int connection_of_child(pac_http *http, const char *url) {
  int status = 0;
  pid_t pid = fork();
  if (pid == 0) {
    _exit(connection_of(http, url));
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WEXITSTATUS(status);
}

static void test_fork_leaves_the_parents_connection_alone(void **state) {
  const server *peer = *state;
  pac_http *http = open_session();
  assert_int_equal(connection_of(http, peer->url), 1);
  assert_int_equal(connection_of_child(http, peer->url), 2);
  assert_int_equal(connection_of(http, peer->url), 1);
  pac_http_free(http);
}

static void test_signal_mask_is_as_before(void **state) {
  const server *peer = *state;
  sigset_t before;
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, NULL, &before);
  pac_http *http = open_session();
  assert_int_equal(connection_of(http, peer->url), 1);
  pac_http_free(http);
  pthread_sigmask(SIG_SETMASK, NULL, &after);
  for (int number = 1; number < 32; number++) {
    assert_int_equal(sigismember(&before, number), sigismember(&after, number));
  }
}

static void test_new_checks_its_config(void **state) {
  (void)state;
  pac_http *http = NULL;
  pac_err err;
  pac_http_config wrong = config;
  wrong.timeout_ms = 0;
  assert_int_equal(pac_http_new(&wrong, &http, &err), PAC_INVALID);
  wrong = config;
  wrong.connect_timeout_ms = -1;
  assert_int_equal(pac_http_new(&wrong, &http, &err), PAC_INVALID);
  wrong = config;
  wrong.max_answer_bytes = 0;
  assert_int_equal(pac_http_new(&wrong, &http, &err), PAC_INVALID);
  assert_null(http);
  pac_http_free(NULL);
}

/* ---- answers ------------------------------------------------------------- */

static pac_status take(pac_http_answer *answer, const char *line) {
  return pac_http_answer_take_line(answer, line, strlen(line));
}

static void test_headers_are_kept_in_order(void **state) {
  (void)state;
  static const char *const lines[] = { "HTTP/1.1 200 OK\r\n", "X-A:  one \r\n", " folded\r\n", "no colon\r\n",
                                       ": no name\r\n",       "x-b:\r\n",       "\r\n",        "X-Trailer: t\r\n" };
  pac_http_answer answer = { 0 };
  const char *name = NULL;
  const char *value = NULL;
  size_t cursor = 0;
  for (size_t i = 0; i < COUNT(lines); i++) {
    assert_int_equal(take(&answer, lines[i]), PAC_OK);
  }
  assert_true(pac_http_answer_next(&answer, &cursor, &name, &value));
  assert_string_equal(name, "x-a");
  assert_string_equal(value, "one");
  assert_true(pac_http_answer_next(&answer, &cursor, &name, &value));
  assert_string_equal(name, "x-b");
  assert_string_equal(value, "");
  assert_false(pac_http_answer_next(&answer, &cursor, &name, &value));
  pac_http_answer_reset(&answer);
}

static void test_an_interim_answer_leaves_nothing(void **state) {
  (void)state;
  pac_http_answer answer = { 0 };
  const char *name = NULL;
  const char *value = NULL;
  size_t cursor = 0;
  assert_int_equal(take(&answer, "HTTP/1.1 103 Early\r\n"), PAC_OK);
  assert_int_equal(take(&answer, "X-Interim: 1\r\n"), PAC_OK);
  assert_int_equal(take(&answer, "\r\n"), PAC_OK);
  assert_true(answer.head_complete);
  assert_int_equal(take(&answer, "HTTP/1.1 200 OK\r\n"), PAC_OK);
  assert_false(answer.head_complete);
  assert_false(pac_http_answer_next(&answer, &cursor, &name, &value));
  pac_http_answer_reset(&answer);
}

static void test_limits_of_the_head(void **state) {
  (void)state;
  pac_http_answer answer = { 0 };
  for (unsigned i = 0; i < PAC_HTTP_MAX_HEADER_LINES; i++) {
    assert_int_equal(take(&answer, "A: b\r\n"), PAC_OK);
  }
  assert_int_equal(take(&answer, "A: b\r\n"), PAC_TOO_LONG);
  pac_http_answer_reset(&answer);

  char *line = malloc(PAC_HTTP_MAX_HEADER_BYTES);
  assert_non_null(line);
  memset(line, 'a', PAC_HTTP_MAX_HEADER_BYTES);
  line[1] = ':';
  assert_int_equal(pac_http_answer_take_line(&answer, line, PAC_HTTP_MAX_HEADER_BYTES), PAC_OK);
  assert_int_equal(pac_http_answer_take_line(&answer, "\n", 1), PAC_TOO_LONG);
  pac_http_answer_reset(&answer);
  free(line);

  assert_int_equal(pac_http_answer_take_line(&answer, "a: \0b\r\n", 7), PAC_INVALID);
  pac_http_answer_reset(&answer);
}

static void test_limit_of_the_body(void **state) {
  (void)state;
  pac_http_answer answer = { 0 };
  assert_int_equal(pac_http_answer_take_body(&answer, "12345", 5, 5), PAC_OK);
  assert_int_equal(pac_http_answer_take_body(&answer, "", 0, 5), PAC_OK);
  assert_int_equal(pac_http_answer_take_body(&answer, "6", 1, 5), PAC_TOO_LONG);
  assert_int_equal(answer.body.length, 5);
  assert_memory_equal(answer.body.data, "12345", 5);
  pac_http_answer_reset(&answer);
  assert_int_equal(pac_http_answer_take_body(&answer, "123456", 6, 5), PAC_TOO_LONG);
  assert_null(answer.body.data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_fork_leaves_the_parents_connection_alone, start_server, stop_server),
    cmocka_unit_test_setup_teardown(test_signal_mask_is_as_before, start_server, stop_server),
    cmocka_unit_test(test_new_checks_its_config),
    cmocka_unit_test(test_headers_are_kept_in_order),
    cmocka_unit_test(test_an_interim_answer_leaves_nothing),
    cmocka_unit_test(test_limits_of_the_head),
    cmocka_unit_test(test_limit_of_the_body),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
