/* lpac.h: what the glue files show each other. Each lpac_<noun>_register adds
** its functions to the module table on top of the stack. */
#ifndef LPAC_H
#define LPAC_H

#include "lpac_compat.h"
#include "pac_buf.h"
#include "pac_operation.h"

int luaopen_paciolan_core(lua_State *L);

void lpac_answer_register(lua_State *L);
void lpac_basic_register(lua_State *L);
void lpac_call_register(lua_State *L);
void lpac_check_register(lua_State *L);
void lpac_contract_register(lua_State *L);
void lpac_http_register(lua_State *L);
void lpac_http1_register(lua_State *L);
void lpac_json_register(lua_State *L);
void lpac_redact_register(lua_State *L);
void lpac_rotation_register(lua_State *L);
void lpac_sns_register(lua_State *L);
void lpac_wire_register(lua_State *L);

/* Registers a kind of userdata: the metatable of this name with these
** metamethods, and its methods. It is filled even if it stood already, see
** lpac_wire_register. Either list may be empty. */
void lpac_register_type(lua_State *L, const char *name, const luaL_Reg *metamethods, const luaL_Reg *methods);

/* What the rules of an operation look at besides the payload. Text is borrowed
** from the options table and valid while that table is on the stack. */
typedef struct lpac_options {
  pac_shapes shapes;
  const char *distributor_code; /* NULL: not given */
  const char *organization_id;
  const char *path; /* a template that replaces the operation's own, or NULL */
} lpac_options;

/* The operation named at index. Raises when there is none. */
const pac_operation *lpac_check_operation(lua_State *L, int index);

/* Reads the options table at index (nil: all defaults). Raises for a wrong
** type, an unknown switch or an unknown choice. */
void lpac_options_read(lua_State *L, int index, lpac_options *out);

/* Checks the payload at index against the operation. Pushes a list of
** { path, rule, message }, empty when nothing is wrong, and returns its length. */
int lpac_check_payload(lua_State *L, const pac_operation *op, int index, const lpac_options *options);

/* How a table is taken: the number of items of a list whose keys are exactly
** 1..n, or -1 when it has other keys or holes. Looks at raw keys only. */
int lpac_list_length(lua_State *L, int index);

/* Pushes the value of a field under its name or its other spelling. Returns
** the Lua type of what was pushed. */
int lpac_push_field(lua_State *L, int index, const pac_field *field);

/* 1 when a switch lets the field be an object or a list of them. */
int lpac_is_shaped(const pac_field *field);

/* 1 when the switch of the field has its second choice. */
int lpac_is_switched(const pac_shapes *shapes, const pac_field *field);

/* A buffer that the garbage collector owns, so that an error raised by Lua
** leaves nothing behind. Pushes the userdata. */
pac_buf *lpac_buf_push(lua_State *L);

#endif
