/* watch.h - server-sent events: everything that happens in a run, told to whoever listens.
 *
 * Source of the format: WHATWG HTML, section 9.2 (server-sent events). */
#ifndef TRIB_NODE_WATCH_H
#define TRIB_NODE_WATCH_H

#include <jansson.h>

#include "net/server.h"

#define TRIB_WATCHERS_MAX 256 /* per run; each may have 1 MiB waiting */

struct trib_watchers {
    struct trib_exchange *exchanges[TRIB_WATCHERS_MAX];
    size_t count;
    uint64_t event_number;
    trib_time_ns spoken_at; /* of the last line: keeps proxies awake */
};

/* False: too many listen already. The stream's head is sent. */
bool trib_watchers_add(struct trib_watchers *watchers, struct trib_exchange *exchange,
                       trib_time_ns now);
void trib_watchers_remove(struct trib_watchers *watchers, const struct trib_exchange *exchange);
/* Tell everybody; takes the reference to data (NULL: memory is out, nothing is told). */
void trib_watchers_tell(struct trib_watchers *watchers, const struct trib_env *env,
                        trib_time_ns now, const char *event, json_t *data);
/* A comment line when nothing was said for 15 s. */
void trib_watchers_keep_awake(struct trib_watchers *watchers, trib_time_ns now);
/* End all streams. */
void trib_watchers_end(struct trib_watchers *watchers);

#endif
