/* errors.c: the error object that answers share (contract 4). */
#include "contract.h"

static const pac_field error_fields[] = {
  { .name = "type", .type = PAC_STRING, .doc = "What went wrong, as a word such as INVALID_TOKEN.",
    .source = "002, 003, D:unlock" },
  { .name = "appErrorCode", .type = PAC_STRING, .doc = "The service's code, such as MS-422.",
    .source = "002, 003, D:unlock" },
  { .name = "developerMessage", .type = PAC_STRING, .doc = "For developers; its words may change.",
    .source = "002, 003; row 43" },
  PAC_END
};
const pac_object pac_answer_error = { .fields = error_fields, .open = 1 };
