/* parts.h - updates that arrive in parts (Content-Range): what is held of each, until it is whole.
 *
 *   PUT part ... PUT part   several connections, any order     held in a body file of the spool
 *   the last gap is filled ----------------------------------> an upload like any other
 *
 * A part that breaks off leaves what had come of it, so that its client can go on there. Nothing is promised of
 * what is held: it is not synced, a restart forgets it, and so does an hour without another part. A
 * client has one update in parts at a time; to begin another drops the first.
 *
 * Thread: everything on the loop's, but trib_parts_write(). */
#ifndef TRIB_NODE_PARTS_H
#define TRIB_NODE_PARTS_H

#include "base/name.h"
#include "node/ranges.h"
#include "store/spool.h"

#include <jansson.h>

#define TRIB_PARTS_MAX 256 /* updates in parts of one run: each has a file open */

struct trib_call;
struct trib_hosted;
struct trib_upload;

struct trib_parts {
    struct trib_hosted *hosted;
    char client[TRIB_NAME_BYTES], id[TRIB_NAME_BYTES];
    uint64_t total; /* bytes of the whole body */
    struct trib_spool_body *file;
    struct trib_ranges held;
    struct trib_upload *arriving; /* parts on their way, through next_part */
    size_t arriving_count;
    int64_t touched_at; /* when a part last came or ended */
    struct trib_parts *next;
};

/* Take the part that `call` brings (call->part) for `upload`, which is new. False: it has been refused. */
bool trib_parts_join(struct trib_call *call, struct trib_upload *upload);
/* Write `bytes`, the next ones of this part. Thread: a worker. */
enum trib_status trib_parts_write(struct trib_upload *upload, const void *bytes, size_t count);
/* The part has come to its end. True: the body is whole, and the upload has become that of all of it.
 * False: it has been answered. */
bool trib_parts_finish(struct trib_upload *upload);
/* The upload is given up, or has ended: what has come of it is held. When it is no part: nothing. */
void trib_parts_leave(struct trib_upload *upload);

/* Has a part of this update come? */
bool trib_parts_are_held(const struct trib_hosted *hosted, const char *client, const char *id);
/* Then: {"update", "fate": "receiving", "bytes", "next": the first that is missing, "held": [[first, last], ...]}. */
json_t *trib_parts_document(const struct trib_hosted *hosted, const char *client, const char *id);
/* Drop what nobody has sent a part of for an hour; all of it: the run ends. */
void trib_parts_expire(struct trib_hosted *hosted);
void trib_parts_drop_all(struct trib_hosted *hosted);

#endif
