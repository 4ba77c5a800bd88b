/* pruning.c - which versions and optimizer states of a run stay on disk. */
#include "node/pruning.h"

#include "node/daemon.h"

struct trib_pruning trib_pruning_now(const struct trib_hosted *hosted) {
    return (struct trib_pruning){
        .version = hosted->has_model ? hosted->model.version + 1 : 0,
        .has_best = hosted->has_best,
        .best = hosted->best,
        .checkpoint = hosted->checkpoint,
    };
}

/* Of the versions below `end`, remove those that no rule keeps. */
static void prune_versions(struct trib_hosted *hosted, const struct trib_pruning *pruning,
                           uint32_t last, trib_version checkpoint, trib_version end) {
    const struct trib_env *env = hosted->node->env;
    const struct trib_files *files = hosted->node->directory.files;
    uint32_t bases = hosted->spec->strategy.base_versions;
    struct trib_keep keep = {
        .last = last,
        .every = hosted->spec->keep.every,
        .has_best = hosted->spec->keep.best && pruning->has_best,
        .best = pruning->best,
        .has_checkpoint = true,
        .checkpoint = checkpoint,
        .has_base =
            bases > 1, /* counted from the version before: this one may fail to be written */
        .base = pruning->version > bases ? pruning->version - bases : 0,
    };
    struct trib_numbers present;
    if (trib_checkpoint_list_versions(env, files, hosted->path, &present) != TRIB_OK) {
        return;
    }
    size_t below = 0;
    while (below < present.count && present.numbers[below] < end) {
        below++;
    }
    uint64_t *doomed = trib_allocate(env, present.count + 1, sizeof *doomed);
    size_t count = doomed == NULL ? 0 : trib_keep_choose(&keep, present.numbers, below, doomed);
    for (size_t i = 0; i < count; i++) {
        bool is_root = doomed[i] == 0 && hosted->spec->keep.updates_forever;
        if (!is_root) { /* kept updates can only be recomputed from the first version on */
            (void)trib_checkpoint_remove_version(files, hosted->path, doomed[i]);
        }
    }
    trib_release(env, doomed, present.count + 1, sizeof *doomed);
    trib_numbers_deinit(&present);
}

void trib_prune_after(struct trib_hosted *hosted, const struct trib_pruning *pruning) {
    const struct trib_files *files = hosted->node->directory.files;
    trib_version version = pruning->version;
    prune_versions(hosted, pruning, hosted->spec->keep.last, version, version + 1);
    struct trib_numbers states;
    if (trib_checkpoint_list_states(hosted->node->env, files, hosted->path, &states) != TRIB_OK) {
        return;
    }
    for (size_t i = 0; i < states.count && states.numbers[i] < version; i++) {
        (void)trib_checkpoint_remove_state(files, hosted->path, states.numbers[i]);
    }
    trib_numbers_deinit(&states);
}

void trib_prune_for_room(struct trib_hosted *hosted, const struct trib_pruning *pruning) {
    /* The checkpoint of the version to come may be under way, or torn; and a later one that is on no
     * record is none. */
    prune_versions(hosted, pruning, hosted->spec->keep.last - 1, pruning->checkpoint,
                   pruning->version);
}
