/* The reader of answers. The first byte of a text says how the answer is read
** (bit 0: for a HEAD, bit 1: gzip was asked for) and in pieces of how many bytes;
** the rest is what a server sends before it closes. However it is cut, the answer
** is the same, and what is taken keeps the rules. */
#include "fuzz.h"

#include "pac_http1.h"
#include "pac_request.h"

#define MAX_BODY 600

static pac_status feed(pac_http1_reader *reader, const uint8_t *data, size_t size, size_t piece) {
  pac_status status = PAC_OK;
  for (size_t at = 0; status == PAC_OK && at < size; at += piece) {
    size_t part = size - at < piece ? size - at : piece;
    char *copy = exact_memory(part);
    memcpy(copy, data + at, part);
    status = pac_http1_reader_feed(reader, copy, part, NULL);
    free(copy);
  }
  return status == PAC_OK ? pac_http1_reader_end(reader, NULL) : status;
}

/* Names are tokens in lower case, values have no controls; nothing is cut by a NUL. */
static void demand_headers(const pac_http_answer *answer) {
  size_t cursor = 0;
  const char *name;
  const char *value;
  while (pac_http_answer_next(answer, &cursor, &name, &value)) {
    DEMAND(pac_request_name_valid(name, strlen(name)));
    for (; *name != '\0'; name++) {
      DEMAND(*name < 'A' || *name > 'Z');
    }
    for (; *value != '\0'; value++) {
      DEMAND((unsigned char)*value >= ' ' || *value == '\t');
      DEMAND(*value != 0x7f);
    }
  }
  DEMAND(cursor == answer->headers.length);
}

static void demand_sound(const pac_http1_reader *reader) {
  DEMAND(reader->state == PAC_HTTP1_DONE);
  DEMAND(reader->answer.status >= 200 && reader->answer.status <= 999);
  DEMAND(reader->answer.body.length <= MAX_BODY);
  DEMAND(!reader->is_head_request || reader->answer.body.length == 0);
  DEMAND(reader->answer.received_head_size <= PAC_HTTP_MAX_HEADER_BYTES);
  DEMAND(!(reader->has_length && reader->has_coding));
  demand_headers(&reader->answer);
}

static int are_same(const pac_buf *one, const pac_buf *other) {
  return one->length == other->length && (one->length == 0 || memcmp(one->data, other->data, one->length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) {
    return 0;
  }
  pac_http1_reader whole;
  pac_http1_reader cut;
  pac_http1_reader_init(&whole, data[0] & 1, data[0] & 2, MAX_BODY);
  pac_http1_reader_init(&cut, data[0] & 1, data[0] & 2, MAX_BODY);
  pac_status status = feed(&whole, data + 1, size - 1, size);
  pac_status cut_status = feed(&cut, data + 1, size - 1, (size_t)(data[0] >> 2) % 17 + 1);
  DEMAND((status == PAC_OK) == (cut_status == PAC_OK));
  if (status == PAC_OK) {
    demand_sound(&whole);
    DEMAND(whole.answer.status == cut.answer.status);
    DEMAND(are_same(&whole.answer.headers, &cut.answer.headers));
    DEMAND(are_same(&whole.answer.body, &cut.answer.body));
  } else {
    DEMAND(whole.state == PAC_HTTP1_FAILED && cut.state == PAC_HTTP1_FAILED);
  }
  pac_http1_reader_free(&whole);
  pac_http1_reader_free(&cut);
  return 0;
}
