/* revoked.h - what a run no longer honours: serials of tokens, and clients.
 *
 * The truth is in the ledger, one record each; this is what the daemon looks at for every request,
 * filled when a record is durable and made again when the run is opened:
 *
 *   {"type": "revoked", "serial": "5f0c9c2e7a61d3b4", "by", "time"}
 *   {"type": "revoked", "client": "dev-1", "by", "time"}
 *
 * A client's tokens carry how often its name had been revoked when it joined; those with a smaller
 * number than now are refused. So a client that the operator lets in again gets a token that works,
 * and the old one stays dead. */
#ifndef TRIB_NODE_REVOKED_H
#define TRIB_NODE_REVOKED_H

#include <jansson.h>

#include "base/map.h"
#include "base/status.h"
#include "node/token.h"

#define TRIB_REVOKED_MAX 65536 /* per run: 5 MB; a run that needs more needs a new name */

struct trib_revoked {
    struct trib_map map; /* private: 't' + serial -> 1, 'c' + client -> times */
};

void trib_revoked_init(struct trib_revoked *revoked, const struct trib_env *env);
void trib_revoked_deinit(struct trib_revoked *revoked); /* all-zero is safe */

/* Take a record of the ledger once it is durable, live and on replay alike; one of another type
 * changes nothing. TRIB_ECORRUPT: it names neither a serial nor a client; TRIB_EMEMORY: nothing has
 * changed. */
enum trib_status trib_revoked_take(struct trib_revoked *revoked, const json_t *record);
/* No more shall be recorded. */
bool trib_revoked_is_full(const struct trib_revoked *revoked);

/* How often a client was revoked; 0: never. */
uint64_t trib_revoked_times(const struct trib_revoked *revoked, const char *client);
/* The token, which is one of this run, is not honoured any more. */
bool trib_revoked_has(const struct trib_revoked *revoked, const struct trib_token *token);

#endif
