/* record_index.h - from the ledger's documents to the rows of the index; live and on replay alike. */
#ifndef TRIB_NODE_RECORD_INDEX_H
#define TRIB_NODE_RECORD_INDEX_H

#include <jansson.h>

#include "store/index.h"

/* Take in one document. Kinds that have nothing to look up are passed over. TRIB_ECORRUPT: a member is missing or of the
 * wrong kind; or what the index returned. */
enum trib_status trib_record_index(struct trib_index *index, const json_t *document);

#endif
