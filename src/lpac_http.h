/* lpac_http.h: what the glue of both transports shares: how options and requests
** are read from tables, and how an answer becomes one. */
#ifndef LPAC_HTTP_H
#define LPAC_HTTP_H

#include "lpac.h"
#include "pac_http.h"

/* Reads the options of core.http.new, and raises for a wrong type. What config
** points at stays on the stack. */
void lpac_http_read_config(lua_State *L, int table, pac_http_config *config);

/* Reads a request as lua/paciolan/transport/curl.lua describes it, and raises for
** a wrong type. What request points at stays on the stack, or in its table. */
void lpac_http_read_request(lua_State *L, int table, pac_http_request *request);

/* Pushes { status, headers, body, elapsed_ms, reused } for a complete answer.
** Returns 1. */
int lpac_http_push_answer(lua_State *L, const pac_http_answer *answer);

#endif
