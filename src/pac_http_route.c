/* pac_http_route.c: where connections go instead of where their URL says, as
** libcurl wants to be told. */
#include "pac_http_parts.h"
#include "pac_uri.h"

#include <stdio.h>
#include <string.h>

#define SCHEME "http://"

/* Two of the longest names with brackets, ports, colons and a NUL. */
#define MAX_PLACE (PAC_URI_HOST_MAX + sizeof "[]:65535")
#define MAX_LINE  (2 * MAX_PLACE)

/* Reads host:port, both of them there; whether the host is this machine goes to
** *loopback. */
static bool read_place(const char *place, bool *loopback) {
  char url[sizeof SCHEME + MAX_PLACE];
  pac_uri uri;
  int length = snprintf(url, sizeof url, SCHEME "%s", place);
  if (length < 0 || (size_t)length >= sizeof url || pac_uri_parse(url, (size_t)length, &uri) != PAC_OK ||
      uri.port == 0 || uri.path_length > 0) {
    return false;
  }
  *loopback = pac_uri_is_loopback(&uri) != 0;
  return true;
}

/* Only plain http to this machine is allowed, so what is written for it must stay here. */
pac_status pac_http_route_check(const pac_http_route *route, pac_err *err) {
  bool from_loopback = false, to_loopback = false;
  if (!read_place(route->from, &from_loopback) || !read_place(route->to, &to_loopback)) {
    return pac_fail(err, PAC_INVALID, "connect_to: host:port is expected, for both");
  }
  if (from_loopback && !to_loopback) {
    return pac_fail(err, PAC_INVALID, "connect_to: a loopback host stays on this machine");
  }
  return PAC_OK;
}

static bool add_line(struct curl_slist **list, const char *line) {
  struct curl_slist *longer = curl_slist_append(*list, line);
  if (longer != NULL) {
    *list = longer;
  }
  return longer != NULL;
}

pac_status pac_http_route_list(const pac_http_route *routes, size_t count, struct curl_slist **out, pac_err *err) {
  *out = NULL;
  for (size_t i = 0; i < count; i++) {
    char line[MAX_LINE];
    (void)snprintf(line, sizeof line, "%s:%s", routes[i].from, routes[i].to);
    if (!add_line(out, line)) {
      curl_slist_free_all(*out);
      *out = NULL;
      return pac_fail(err, PAC_NO_MEMORY, "out of memory");
    }
  }
  return PAC_OK;
}

bool pac_http_route_copy(const struct curl_slist *list, struct curl_slist **out) {
  for (; list != NULL; list = list->next) {
    if (!add_line(out, list->data)) {
      return false;
    }
  }
  return true;
}
