/* pac_json_parts.h: what the files of the JSON reader show each other: the
** strings of a text, for pac_json.c alone. */
#ifndef PAC_JSON_PARTS_H
#define PAC_JSON_PARTS_H

#include "pac_json.h"

/* Reads a string. Args: at, behind its opening quote; out, written on success.
** Returns: the place behind the closing quote; or NULL, and *at is then where
** *reason and *rule (static strings) apply. */
const char *pac_json_string_scan(const char **at, const char *end, pac_json_string *out, const char **reason,
                                 const char **rule) PAC_WARN_UNUSED;

/* A number for the value of a string; different ones may have the same. */
uint32_t pac_json_string_hash(const pac_json_string *string);

/* 1 when the two values are the same bytes. */
int pac_json_string_same(const pac_json_string *a, const pac_json_string *b);

#endif
