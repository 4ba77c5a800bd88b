/* work_native.h - simulated clients that train the native models on a real data set.
 *
 * Client i has the rows of owner i mod owner_count. It trains exactly as `trib join --client c<i>`
 * with these rows does: the same order of rows, the same bits, also of what it keeps between tasks by
 * a rule (train/rule.h). */
#ifndef TRIB_SIM_WORK_NATIVE_H
#define TRIB_SIM_WORK_NATIVE_H

#include "sim/work.h"
#include "tensor/layout.h"
#include "train/dataset.h"
#include "train/trainer.h"

struct trib_work_native; /* opaque */

struct trib_work_native_options {
    const struct trib_trainer_spec *trainer;
    const struct trib_layout *layout; /* of versions, roles assigned; borrowed until free */
    const char *settings;             /* of train tasks: JSON object */
    const struct trib_dataset *train; /* borrowed until free */
    const uint32_t *owners;           /* [train->row_count], each < owner_count; borrowed */
    uint32_t owner_count;             /* every one has a row */
    uint32_t
        hold_out; /* of a hundred rows of a client, so many that it evaluates on and does not train
                          on (< 100); 0: it evaluates on those that it trains on */
    const struct trib_dataset *test; /* NULL: no evaluation; borrowed until free */
    uint64_t seed;
    uint32_t hands;
};

/* TRIB_ESHAPE: the data does not fit the trainer; TRIB_EINVALID: settings, or an owner without
 * rows; what trib_trainer_new() returns; TRIB_EMEMORY. */
enum trib_status trib_work_native_new(const struct trib_env *env,
                                      const struct trib_work_native_options *options,
                                      struct trib_work_native **native, struct trib_error *error);
void trib_work_native_free(struct trib_work_native *native); /* NULL allowed */
/* For trib_fleet_options; good until free. */
struct trib_work trib_work_native_table(struct trib_work_native *native);

#endif
