/* record.h - what the ledger says: one function for each kind of record.
 *
 *   {"type": "run", "spec": {...}}                                        the first record
 *   {"type": "version", "version": n, "model": sha256, "state": sha256, "updates": [{"client", "update", "base",
 *    "staleness", "weight", "examples", "digest"}...], "weight", "bytes", "seconds", "train": {metrics}, "checkpoint": bool, "time"}
 *     and, where the combiner is external, "combined": {"by", "digest"}: the version is made of this body alone
 *   {"type": "state", "state": "paused", "reason", "dropped": [{"client", "update", "digest"}...], "time"}
 *   {"type": "revision", "version": n, "spec": {...}, "time"}             versions from n on are made by it
 *   {"type": "client", "client", "role", "attributes", "time"}            joined, or other attributes
 *   {"type": "set_aside", "client", "time"}                               until a state "running"
 *   {"type": "token", "scope", "subject", "serial", "expires", "time"}    was made (not the token itself)
 *   {"type": "revoked", "serial" or "client", "time"}                     is honoured no more
 *   {"type": "evaluation", "client", "evaluation", "version", "examples", "metrics", "time"}
 *
 * What somebody asked for with a token also says "by" whom: trib_token_who().
 * recording.h makes them durable, record_document.h reads them. */
#ifndef TRIB_NODE_RECORD_H
#define TRIB_NODE_RECORD_H

#include "node/recording.h"

/* PERSIST: the merged version with its buffer. */
void trib_record_version(struct trib_hosted *hosted, trib_version version);
/* Version 0 has been taken in: model.current. call: whose model it is; NULL: the spec's. */
void trib_record_first_version(struct trib_hosted *hosted, const struct trib_call *call);
/* RECORD of a state change (call: who wants it; NULL: nobody did) or an evaluation (whose document
 * the call has). */
void trib_record_state(struct trib_hosted *hosted, const struct trib_effect *effect,
                       const struct trib_call *call);
/* RECORD of a revision: the spec that the call brought, in force from the effect's version on. */
void trib_record_revision(struct trib_hosted *hosted, const struct trib_effect *effect,
                          struct trib_call *call);
void trib_record_evaluation(struct trib_hosted *hosted, const struct trib_effect *effect,
                            const struct trib_call *call);

/* Record what a call asks for (takes document; "by" and "time" are added), then answer the call:
 * 201 with `answer` (takes it), or 204 when that is NULL. */
void trib_record_for_call(struct trib_hosted *hosted, struct trib_call *call, json_t *document,
                          json_t *answer);

/* A client joined: recorded unless it is known just so, then answered with 200 and `answer` (takes
 * it). Told sooner, it could come with its token after a crash and be unknown. */
void trib_record_client(struct trib_hosted *hosted, struct trib_call *call, json_t *answer);

/* The client is set aside from now on, also after a restart. */
void trib_record_set_aside(struct trib_hosted *hosted, const char *client);

/* Answer the call with records from target.from on, between two writes: the ledger has one user at a time. At most
 * TRIB_RECORDS_READ_MAX lines; the reader goes on with `from`. */
void trib_record_read(struct trib_hosted *hosted, struct trib_call *call);
/* Answer the call with the signed head of the ledger, between two writes. */
void trib_record_read_head(struct trib_hosted *hosted, struct trib_call *call);

#endif
