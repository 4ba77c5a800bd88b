/* pruning.h - which versions and optimizer states of a run stay on disk.
 *
 * After each checkpoint whatever `keep` does not keep goes. When the disk is full, those go already
 * that the next version would push out; never the best or another that a rule names, the checkpoint
 * that a restart begins with, or a version that may still be a base.
 *
 * Thread: any, also side by side: a file is removed by whoever comes first. */
#ifndef TRIB_NODE_PRUNING_H
#define TRIB_NODE_PRUNING_H

#include "run/run.h"

struct trib_hosted;

/* What the heart knew when it was asked for: jobs on other threads must not look. */
struct trib_pruning {
    trib_version version; /* whose checkpoint is durable; for room: the one to come */
    bool has_best;
    trib_version best;
    trib_version checkpoint; /* the newest on record: a restart begins there */
};

/* As seen now, for the version after the current one. Thread: the loop's. */
struct trib_pruning trib_pruning_now(const struct trib_hosted *hosted);
void trib_prune_after(struct trib_hosted *hosted, const struct trib_pruning *pruning);
/* What cannot be removed now is tried again next time. */
void trib_prune_for_room(struct trib_hosted *hosted, const struct trib_pruning *pruning);

#endif
