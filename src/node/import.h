/* import.h - how a run gets its version 0: from a PUT, a native trainer, or a version of another run.
 *
 * A worker reads and converts the model and prepares the sums; the loop's thread takes it in and the ledger
 * records it. The call that asked is answered when version 0 is durable, or when it cannot be. */
#ifndef TRIB_NODE_IMPORT_H
#define TRIB_NODE_IMPORT_H

#include "node/hosted.h"

struct trib_import; /* under way; knows its call */

/* Start with what the call brought in its body (taken over). Answers at once when another import is under way. */
void trib_import_body(struct trib_hosted *hosted, struct trib_call *call);
/* The same with its upload, which is complete. */
void trib_import_upload(struct trib_call *call);
/* Start with what the spec says (trainer, or version of `source`, NULL for a trainer). */
void trib_import_by_spec(struct trib_hosted *hosted, struct trib_call *call,
                         struct trib_hosted *source);
/* The call has gone; the import goes on. */
void trib_import_forget_call(struct trib_import *import);
/* Version 0 is in the ledger, or not (record.c). */
void trib_import_recorded(struct trib_hosted *hosted, enum trib_status status);

#endif
