/* report.h - what a run looks like from outside: status, history, metrics, the page at /. */
#ifndef TRIB_NODE_REPORT_H
#define TRIB_NODE_REPORT_H

#include <jansson.h>

#include "base/text.h"
#include "node/hosted.h"

/* New references; NULL: no memory. docs/protocol.md section 5 has the fields. */
json_t *trib_report_status(struct trib_hosted *hosted);
json_t *trib_report_summary(struct trib_hosted *hosted); /* a row of GET /v1/runs */
json_t *trib_report_history(struct trib_hosted *hosted);
/* The data of the events "version" and "evaluation". */
json_t *trib_report_version(struct trib_hosted *hosted, trib_version version);
json_t *trib_report_evaluation(struct trib_hosted *hosted, trib_version version);
/* {"clients": [...]}: at most TRIB_REPORT_CLIENTS_MAX by name, from the one after `after` on. NULL: the
 * index cannot be read. */
#define TRIB_REPORT_CLIENTS_MAX 1000
json_t *trib_report_clients(struct trib_hosted *hosted, const char *after);
/* Prometheus text of the daemon and its runs. */
void trib_report_metrics(struct trib_node *node, struct trib_text *text);

/* Digest of a version that is in the index; false when it is not. */
bool trib_report_digest(struct trib_hosted *hosted, trib_version version,
                        struct trib_digest *digest);
/* Is the client in the index with the role and attributes of this join document? */
bool trib_report_knows_client(struct trib_hosted *hosted, const char *client, const json_t *join);
/* Longest body of an update: the spec's, or twice the model. */
uint64_t trib_report_update_bytes_max(const struct trib_hosted *hosted);

#endif
