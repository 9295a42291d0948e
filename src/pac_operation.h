/* pac_operation.h: what an operation of the Link API is, as data.
**
** The rows live in src/contract/<resource>.c, one row an operation with its
** field tables right above it. Everything else is derived from them: the
** check of a payload, the URL, the headers, the retry rule, the listing of
** paciolan.operations(). All of it is constant and shared by all threads. */
#ifndef PAC_OPERATION_H
#define PAC_OPERATION_H

#include "pac.h"

typedef enum pac_type {
  PAC_STRING,  /* never a number, even when it looks like one (contract 6) */
  PAC_NUMBER,  /* finite */
  PAC_DECIMAL, /* a number, or a string that spells one (contract 7 row 22) */
  PAC_LABEL,   /* a string, or an integer; digits go out as an integer (contract 7 row 23) */
  PAC_INTEGER, /* exact; a string of digits will do where a field is liberal (contract 7 row 9) */
  PAC_BOOLEAN,
  PAC_OBJECT,
  PAC_OBJECTS, /* list of objects */
  PAC_STRINGS  /* list of strings */
} pac_type;

typedef enum pac_format {
  PAC_ANY_TEXT,
  PAC_DIGITS,      /* 0-9 only, at least one (contract 2.4) */
  PAC_DATE,        /* YYYY-MM-DD, a real day (contract 2.2) */
  PAC_CALLBACK_URL /* judged by the switch callback_url (contract 7 row 50) */
} pac_format;

/* Flags of a field. */
enum {
  PAC_REQUIRED = 1 << 0,
  PAC_NULLABLE = 1 << 1, /* JSON null may be sent on explicit wish */
  PAC_PERSONAL = 1 << 2, /* names, addresses, telephone numbers */
  PAC_SECRET = 1 << 3    /* tokens and codes of the authorisation */
};

/* The places where the documents disagree and the caller may choose. The
** names and choices are in pac_switches; choice 0 is the default. */
typedef enum pac_switch {
  PAC_NO_SWITCH,
  PAC_SWITCH_COMPLETE_ORDER,   /* contract 7 row 3 */
  PAC_SWITCH_SELLER_CONTACT,   /* row 2 */
  PAC_SWITCH_VERIFY,           /* row 5 */
  PAC_SWITCH_TRANSFER_V1,      /* row 1 */
  PAC_SWITCH_SOLD_FOR,         /* row 22 */
  PAC_SWITCH_CALLBACK_URL,     /* row 50 */
  PAC_SWITCH_ACCEPT_RECIPIENT, /* row 20 */
  PAC_SWITCH_TRANSFER_ITEMS,   /* row 19 */
  PAC_SWITCH_COUNT
} pac_switch;

typedef struct pac_switch_row {
  const char *name;
  const char *choices[3]; /* NULL after the last */
  const char *doc;
} pac_switch_row;

extern const pac_switch_row pac_switches[PAC_SWITCH_COUNT];

/* What the caller chose, by index into choices. All zero is the default. */
typedef struct pac_shapes {
  unsigned char choice[PAC_SWITCH_COUNT];
} pac_shapes;

/* Rules that look at more than one field of an object. */
typedef enum pac_rule_kind {
  PAC_NO_RULE,
  PAC_REQUIRED_WHEN,           /* field, when other holds one of values */
  PAC_REQUIRED_WITH,           /* field, when other is there */
  PAC_REQUIRED_WITHOUT_OPTION, /* field, unless the call carries the option other */
  PAC_REQUIRED_BY_SWITCH,      /* field, when the switch has its second choice */
  PAC_NEEDS_OPTION,            /* field is there: the call must carry the option other */
  PAC_ANY_OF,                  /* field or other, at least one */
  PAC_ONE_OF,                  /* field or other, exactly one */
  PAC_AT_MOST_ONE_BY_SWITCH,   /* a list of one item, when the switch has its second choice */
  PAC_AS_GIVEN_WHEN            /* field: names and types only, no formats, when other holds one of values */
} pac_rule_kind;

typedef struct pac_rule {
  pac_rule_kind kind;
  const char *field;
  const char *other;
  const char *const *values; /* NULL-terminated */
  pac_switch by;
  const char *source;
} pac_rule;

struct pac_field;

/* An object: its fields (ended by a NULL name, at most PAC_MAX_FIELDS) and the
** rules between them (ended by PAC_NO_RULE; NULL for none). */
typedef struct pac_object {
  const struct pac_field *fields;
  const pac_rule *rules;
  const char *shorthand; /* a bare string stands for an object with only this field (contract 7 row 59) */
  int open;              /* comes from the service: unknown fields are kept, not refused */
} pac_object;

#define PAC_MAX_FIELDS 32

typedef struct pac_field {
  const char *name;  /* on the wire */
  const char *alias; /* the other documented spelling, accepted from callers */
  pac_type type;
  unsigned flags;
  pac_format format;
  uint32_t min_items, max_items; /* lists; max_items 0 = no documented limit */
  uint32_t batch_items;          /* lists: how many items one call of a bulk method carries */
  pac_switch by;                 /* the switch that decides how the field goes out */
  const char *const *values;     /* enum, NULL-terminated */
  const pac_object *object;      /* of PAC_OBJECT and PAC_OBJECTS */
  const char *option;            /* query fields: the call option that carries the value */
  const char *doc;
  const char *source;
} pac_field;

/* May a request be sent again when it is not known what became of it? */
typedef enum pac_effect {
  PAC_READ,       /* changes nothing */
  PAC_REPEATABLE, /* changes something, documented as harmless when repeated */
  PAC_ONCE        /* never by itself */
} pac_effect;

/* PAC-Organization-ID, by the column of contract 1.1 and row 17. */
typedef enum pac_organization {
  PAC_ORGANIZATION_NEVER,
  PAC_ORGANIZATION_OFFERED, /* sent when configured */
  PAC_ORGANIZATION_REQUIRED
} pac_organization;

/* What the one table argument of a call is. */
typedef enum pac_payload { PAC_PAYLOAD_BODY, PAC_PAYLOAD_QUERY, PAC_PAYLOAD_PATH } pac_payload;

/* One line of a documented error table. */
typedef struct pac_error_row {
  const char *type;
  const char *app_error_code;
  int status;
  int retries; /* 0: not repeatable */
  const char *action;
  const char *meaning;
} pac_error_row;

typedef struct pac_operation {
  const char *name;   /* as in paciolan.operations() */
  const char *method; /* contract 2; may be overridden per client (row 34) */
  const char *path;   /* with {placeholders}, below the base URL */
  const char *lua;    /* how a script calls it */
  pac_payload payload;
  const pac_field *path_fields; /* ended by a NULL name; NULL for none */
  const pac_field *query;       /* the same */
  const pac_object *body;       /* NULL: no body */
  const pac_object *answer;     /* what a decoded answer may hold, whatever its status; open, nothing is required */
  int answers_list;             /* a success is a list of such objects */
  pac_effect effect;
  pac_organization organization;
  int anonymous;               /* no Authorization, API key or channel: the token call */
  const char *state;           /* field of the answer that says PENDING, COMPLETE or ERROR */
  int state_told;              /* the documents show that every answer has it */
  const pac_error_row *errors; /* ended by a NULL type; NULL for none */
  const char *answers;         /* status codes that the documents list */
  const char *doc;
  const char *source;
} pac_operation;

/* A message entity that the service pushes: data.<name>[] (contract 5). */
typedef struct pac_message {
  const char *name;
  const pac_object *item;
  const char *doc;
  const char *source;
} pac_message;

/* The operation at that place, from 0, in the order of their names; NULL past
** the last. */
const pac_operation *pac_operation_at(size_t index);

/* The operation of that name, or NULL. */
const pac_operation *pac_operation_find(const char *name, size_t length);

/* All message entities, ended by a NULL name, and the object that every message
** carries beside them. */
extern const pac_message pac_messages[];
extern const pac_object pac_message_metadata;

/* The message entity of that name, or NULL. */
const pac_message *pac_message_find(const char *name, size_t length);

/* The field of that name or alias, or NULL. */
const pac_field *pac_field_find(const pac_field *fields, const char *name, size_t length);

/* The known name nearest to a misspelt one, or NULL when none is near: at most
** a third of its letters differ, letter case aside. */
const char *pac_field_nearest(const pac_field *fields, const char *name, size_t length);

/* Sets one switch by name: PAC_INVALID when the name or the choice is unknown. */
pac_status pac_shapes_set(pac_shapes *shapes, const char *name, const char *choice, pac_err *err) PAC_WARN_UNUSED;

/* A type's name for people: "string", "list of objects". */
const char *pac_type_name(pac_type type);

#endif
