/* lpac_rules.c: the rules between the fields of one object (pac_rule). */
#include <stdio.h>
#include <string.h>

#include "lpac_violation.h"

/* Does the field hold something? JSON null and empty text do not count. */
static int is_present(lpac_checker *ck, const pac_object *object, int index, const char *name) {
  const pac_field *field = pac_field_find(object->fields, name, strlen(name));
  int type = lpac_push_field(ck->L, index, field);
  int present = type != LUA_TNIL && !lpac_is_null(ck->L, -1);
  if (type == LUA_TSTRING && lua_rawlen(ck->L, -1) == 0) {
    present = 0;
  }
  lua_pop(ck->L, 1);
  return present;
}

/* Does the field named by rule->other hold one of rule->values? */
static int is_when(lpac_checker *ck, const pac_object *object, int index, const pac_rule *rule) {
  const pac_field *field = pac_field_find(object->fields, rule->other, strlen(rule->other));
  int holds = 0;
  if (lpac_push_field(ck->L, index, field) == LUA_TSTRING) {
    size_t length;
    const char *text = lua_tolstring(ck->L, -1, &length);
    holds = lpac_holds_one_of(rule->values, text, length);
  }
  lua_pop(ck->L, 1);
  return holds;
}

static int has_option(const lpac_checker *ck, const char *name) {
  const char *value =
      strcmp(name, "distributor_code") == 0 ? ck->options->distributor_code : ck->options->organization_id;
  return value != NULL;
}

static void require(lpac_checker *ck, const pac_object *object, int index, const pac_rule *rule, const char *message) {
  if (!is_present(ck, object, index, rule->field)) {
    lpac_report_at(ck, rule->field, "required", message);
  }
}

static void check_pair(lpac_checker *ck, const pac_object *object, int index, const pac_rule *rule) {
  char message[128];
  int first = is_present(ck, object, index, rule->field);
  int second = is_present(ck, object, index, rule->other);
  if (!first && !second) {
    snprintf(message, sizeof message, "%s or %s is required", rule->field, rule->other);
    lpac_report_at(ck, rule->field, "required", message);
  } else if (first && second && rule->kind == PAC_ONE_OF) {
    snprintf(message, sizeof message, "must not stand beside %s", rule->field);
    lpac_report_at(ck, rule->other, "exclusive", message);
  }
}

static void check_single_item(lpac_checker *ck, const pac_object *object, int index, const pac_rule *rule) {
  const pac_field *field = pac_field_find(object->fields, rule->field, strlen(rule->field));
  if (lpac_push_field(ck->L, index, field) == LUA_TTABLE && lua_rawlen(ck->L, -1) > 1) {
    lpac_report_at(ck, rule->field, "max_items", "must hold at most 1 item, as shapes asks");
  }
  lua_pop(ck->L, 1);
}

static void check_rule(lpac_checker *ck, const pac_object *object, int index, const pac_rule *rule) {
  char values[96], message[192];
  switch (rule->kind) {
  case PAC_REQUIRED_WHEN:
    if (is_when(ck, object, index, rule)) {
      lpac_join_values(rule->values, values, sizeof values);
      snprintf(message, sizeof message, "is required when %s is %s", rule->other, values);
      require(ck, object, index, rule, message);
    }
    break;
  case PAC_REQUIRED_WITH:
    if (is_present(ck, object, index, rule->other)) {
      snprintf(message, sizeof message, "is required with %s", rule->other);
      require(ck, object, index, rule, message);
    }
    break;
  case PAC_REQUIRED_WITHOUT_OPTION:
    if (!has_option(ck, rule->other)) {
      snprintf(message, sizeof message, "is required unless the option %s is given", rule->other);
      require(ck, object, index, rule, message);
    }
    break;
  case PAC_REQUIRED_BY_SWITCH:
    if (ck->options->shapes.choice[rule->by] != 0) {
      require(ck, object, index, rule, "is required, as shapes asks");
    }
    break;
  case PAC_NEEDS_OPTION:
    if (is_present(ck, object, index, rule->field) && !has_option(ck, rule->other)) {
      snprintf(message, sizeof message, "needs the option %s", rule->other);
      lpac_report_at(ck, rule->field, "option", message);
    }
    break;
  case PAC_ANY_OF:
  case PAC_ONE_OF:
    check_pair(ck, object, index, rule);
    break;
  case PAC_AT_MOST_ONE_BY_SWITCH:
    if (ck->options->shapes.choice[rule->by] != 0) {
      check_single_item(ck, object, index, rule);
    }
    break;
  case PAC_AS_GIVEN_WHEN:
  case PAC_NO_RULE:
    break;
  }
}

int lpac_rules_as_given(lpac_checker *ck, const pac_object *object, int index, const pac_field *field) {
  for (const pac_rule *rule = object->rules; rule != NULL && rule->kind != PAC_NO_RULE; rule++) {
    if (rule->kind == PAC_AS_GIVEN_WHEN && strcmp(rule->field, field->name) == 0) {
      return is_when(ck, object, index, rule);
    }
  }
  return 0;
}

void lpac_rules_check(lpac_checker *ck, const pac_object *object, int index) {
  for (const pac_rule *rule = object->rules; rule != NULL && rule->kind != PAC_NO_RULE && !ck->as_given; rule++) {
    check_rule(ck, object, index, rule);
  }
}
