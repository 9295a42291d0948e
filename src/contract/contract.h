/* contract.h: the row tables of this folder, gathered by pac_operation.c.
** Each table ends with a row whose name is NULL. Marks in .source: 000 to 003
** are the provider's pages, D:name a page of its public documentation, 3P an
** unrelated project, I an inference, "row n" a line of the list of
** discrepancies. docs/contract.md explains them; "contract 2.4" is a section
** of that file. */
#ifndef PAC_CONTRACT_H
#define PAC_CONTRACT_H

#include "../pac_operation.h"

extern const pac_operation pac_auth_operations[];
extern const pac_operation pac_catalog_operations[];
extern const pac_operation pac_listings_operations[];
extern const pac_operation pac_cart_operations[];
extern const pac_operation pac_tickets_operations[];
extern const pac_operation pac_transfers_operations[];

/* The error of a refusal, alike on every page that shows one (contract 4). */
extern const pac_object pac_answer_error;

#define PAC_END { .name = NULL }

/* The last field of an answer whose error nobody documents otherwise. */
#define PAC_ERROR_FIELD(from) \
  { .name = "error", .type = PAC_OBJECT, .object = &pac_answer_error, .doc = "Why the call was refused.", \
    .source = from }

#endif
