/* pac_operation: finding rows, guessing at misspelt names, setting switches.
** Which rows there are is the business of spec/contract_spec.lua. */
#include "unit.h"

#include "pac_operation.h"

static const pac_operation *find(const char *name) {
  return pac_operation_find(name, strlen(name));
}

static void test_operations_are_listed_in_order_and_end(void **state) {
  (void)state;
  size_t count = 1;
  assert_non_null(pac_operation_at(0));
  while (pac_operation_at(count) != NULL) {
    assert_true(strcmp(pac_operation_at(count - 1)->name, pac_operation_at(count)->name) < 0);
    count++;
  }
  assert_null(pac_operation_at(count + 1));
  assert_null(pac_operation_at(SIZE_MAX));
}

static void test_every_operation_is_found_by_its_name(void **state) {
  (void)state;
  for (size_t i = 0; pac_operation_at(i) != NULL; i++) {
    assert_ptr_equal(find(pac_operation_at(i)->name), pac_operation_at(i));
  }
}

static void test_other_names_find_nothing(void **state) {
  (void)state;
  static const char *const names[] = { "", "tickets", "tickets.", "tickets.loc", "tickets.lockk", "Tickets.lock" };
  for (size_t i = 0; i < COUNT(names); i++) {
    assert_null(find(names[i]));
  }
  assert_null(pac_operation_find("tickets.lock", 11));
  assert_null(pac_operation_find("tickets.lock\0x", 14));
}

static void test_names_need_no_end_mark(void **state) {
  (void)state;
  char *name = exact_copy("tickets.lock", 12);
  assert_string_equal(pac_operation_find(name, 12)->name, "tickets.lock");
  assert_null(pac_field_nearest(find("tickets.lock")->body->fields, name, 12));
  free(name);
}

static void test_messages_are_found(void **state) {
  (void)state;
  assert_string_equal(pac_message_find("events", 6)->name, "events");
  assert_string_equal(pac_message_find("seats", 5)->name, "seats");
  assert_null(pac_message_find("seat", 4));
  assert_null(pac_message_find("metadata", 8));
  assert_null(pac_message_find("", 0));
}

/* The field of a body by its place, such as "transferRequests/Seats". */
static const pac_object *object_at(const char *operation, const char *first, const char *second) {
  const pac_object *object = find(operation)->body;
  const char *const steps[] = { first, second };
  for (size_t i = 0; i < COUNT(steps) && steps[i] != NULL; i++) {
    object = pac_field_find(object->fields, steps[i], strlen(steps[i]))->object;
  }
  return object;
}

static void test_fields_are_found_by_either_spelling(void **state) {
  (void)state;
  const pac_object *entry = object_at("transfers.initiate_v1", "transferRequests", NULL);
  assert_string_equal(pac_field_find(entry->fields, "Sender", 6)->name, "Sender");
  assert_ptr_equal(pac_field_find(entry->fields, "sender", 6), pac_field_find(entry->fields, "Sender", 6));
  assert_null(pac_field_find(entry->fields, "SENDER", 6));
  assert_null(pac_field_find(entry->fields, "Sende", 5));
  assert_null(pac_field_find(NULL, "Sender", 6));
}

static void test_the_nearest_name_is_guessed(void **state) {
  (void)state;
  static const struct {
    const char *written, *meant;
  } rows[] = {
    { "firstname", "firstName" },
    { "FIRSTNAME", "firstName" },
    { "firtName", "firstName" },
    { "fristName", "firstName" },
    { "lastname", "lastName" },
    { "emailAdress", "emailAddress" },
    { "email_address", "emailAddress" },
    { "phone", NULL },
    { "colour", NULL },
    { "", NULL },
    { "x", NULL },
    { "phoneNumbers", "phoneNumber" },
  };
  const pac_field *fields = object_at("tickets.lock", "seller", NULL)->fields;
  for (size_t i = 0; i < COUNT(rows); i++) {
    const char *guess = pac_field_nearest(fields, rows[i].written, strlen(rows[i].written));
    if (rows[i].meant == NULL) {
      assert_null(guess);
    } else {
      assert_non_null(guess);
      assert_string_equal(guess, rows[i].meant);
    }
  }
}

static void test_the_best_of_several_guesses_wins(void **state) {
  (void)state;
  const pac_field *fields = object_at("tickets.lock", "seller", "address")->fields;
  assert_string_equal(pac_field_nearest(fields, "adress3", 7), "address3");
  assert_string_equal(pac_field_nearest(fields, "address9", 8), "address1");
}

static void test_long_names_are_no_typing_mistakes(void **state) {
  (void)state;
  char name[200];
  memset(name, 'a', sizeof name);
  const pac_field *fields = find("tickets.lock")->body->fields;
  assert_null(pac_field_nearest(fields, name, 40));
  assert_null(pac_field_nearest(fields, name, 41));
  assert_null(pac_field_nearest(fields, name, sizeof name));
  assert_null(pac_field_nearest(NULL, "a", 1));
}

static void test_every_switch_has_two_choices_and_the_first_is_the_default(void **state) {
  (void)state;
  assert_null(pac_switches[PAC_NO_SWITCH].name);
  for (size_t s = 1; s < PAC_SWITCH_COUNT; s++) {
    const pac_switch_row *row = &pac_switches[s];
    pac_shapes shapes = { { 0 } };
    pac_err err = { 0 };
    assert_non_null(row->choices[0]);
    assert_non_null(row->choices[1]);
    assert_null(row->choices[2]);
    assert_int_equal(pac_shapes_set(&shapes, row->name, row->choices[1], &err), PAC_OK);
    assert_int_equal(shapes.choice[s], 1);
    assert_int_equal(pac_shapes_set(&shapes, row->name, row->choices[0], &err), PAC_OK);
    assert_int_equal(shapes.choice[s], 0);
  }
}

static void test_setting_one_switch_leaves_the_others(void **state) {
  (void)state;
  pac_shapes shapes = { { 0 } };
  assert_int_equal(pac_shapes_set(&shapes, "verify", "object", NULL), PAC_OK);
  for (size_t s = 0; s < PAC_SWITCH_COUNT; s++) {
    assert_int_equal(shapes.choice[s], s == PAC_SWITCH_VERIFY);
  }
}

static void test_unknown_switches_and_choices_change_nothing(void **state) {
  (void)state;
  pac_shapes shapes = { { 0 } };
  pac_err err = { 0 };
  assert_int_equal(pac_shapes_set(&shapes, "verify", "MARKED", &err), PAC_INVALID);
  assert_non_null(strstr(err.message, "shapes.verify"));
  assert_null(strstr(err.message, "MARKED"));
  assert_int_equal(pac_shapes_set(&shapes, "MARKED", "array", &err), PAC_INVALID);
  assert_null(strstr(err.message, "MARKED"));
  assert_int_equal(pac_shapes_set(&shapes, "", "", &err), PAC_INVALID);
  assert_int_equal(pac_shapes_set(&shapes, "verify", "", NULL), PAC_INVALID);
  for (size_t s = 0; s < PAC_SWITCH_COUNT; s++) {
    assert_int_equal(shapes.choice[s], 0);
  }
}

static void check_fields(const pac_object *object, int depth) {
  size_t count = 0;
  assert_true(depth < 8);
  for (const pac_field *field = object->fields; field->name != NULL; field++) {
    count++;
    assert_non_null(pac_type_name(field->type));
    assert_int_equal(field->type == PAC_OBJECT || field->type == PAC_OBJECTS, field->object != NULL);
    assert_true(field->max_items == 0 || field->min_items <= field->max_items);
    if (field->object != NULL) {
      check_fields(field->object, depth + 1);
    }
  }
  assert_in_range(count, 1, PAC_MAX_FIELDS);
  for (const pac_rule *rule = object->rules; rule != NULL && rule->kind != PAC_NO_RULE; rule++) {
    int needs_field = rule->kind == PAC_REQUIRED_WHEN || rule->kind == PAC_REQUIRED_WITH || rule->kind == PAC_ANY_OF ||
                      rule->kind == PAC_ONE_OF || rule->kind == PAC_AS_GIVEN_WHEN;
    assert_non_null(pac_field_find(object->fields, rule->field, strlen(rule->field)));
    if (needs_field) {
      assert_non_null(pac_field_find(object->fields, rule->other, strlen(rule->other)));
    }
    assert_int_equal(rule->kind == PAC_REQUIRED_WHEN || rule->kind == PAC_AS_GIVEN_WHEN, rule->values != NULL);
    assert_non_null(rule->source);
  }
}

/* What the service sends may hold more than the documents say, at every level. */
static void check_answer(const pac_object *object, int depth) {
  assert_true(object->open);
  assert_null(object->rules);
  for (const pac_field *field = object->fields; field->name != NULL; field++) {
    assert_false(field->flags & PAC_REQUIRED);
    assert_null(field->alias);
    if (field->object != NULL) {
      check_answer(field->object, depth + 1);
    }
  }
  if (depth == 0) {
    check_fields(object, 0);
  }
}

static void test_every_answer_is_open_and_demands_nothing(void **state) {
  (void)state;
  for (size_t i = 0; pac_operation_at(i) != NULL; i++) {
    assert_non_null(pac_operation_at(i)->answer);
    check_answer(pac_operation_at(i)->answer, 0);
  }
}

static void test_every_rule_speaks_of_fields_that_exist(void **state) {
  (void)state;
  for (size_t i = 0; pac_operation_at(i) != NULL; i++) {
    if (pac_operation_at(i)->body != NULL) {
      check_fields(pac_operation_at(i)->body, 0);
    }
  }
  for (const pac_message *message = pac_messages; message->name != NULL; message++) {
    check_fields(message->item, 0);
    assert_true(message->item->open);
  }
  check_fields(&pac_message_metadata, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_operations_are_listed_in_order_and_end),
    cmocka_unit_test(test_every_operation_is_found_by_its_name),
    cmocka_unit_test(test_other_names_find_nothing),
    cmocka_unit_test(test_names_need_no_end_mark),
    cmocka_unit_test(test_messages_are_found),
    cmocka_unit_test(test_fields_are_found_by_either_spelling),
    cmocka_unit_test(test_the_nearest_name_is_guessed),
    cmocka_unit_test(test_the_best_of_several_guesses_wins),
    cmocka_unit_test(test_long_names_are_no_typing_mistakes),
    cmocka_unit_test(test_every_switch_has_two_choices_and_the_first_is_the_default),
    cmocka_unit_test(test_setting_one_switch_leaves_the_others),
    cmocka_unit_test(test_unknown_switches_and_choices_change_nothing),
    cmocka_unit_test(test_every_rule_speaks_of_fields_that_exist),
    cmocka_unit_test(test_every_answer_is_open_and_demands_nothing),
  };
  return cmocka_run_group_tests_name("operation", tests, NULL, NULL);
}
