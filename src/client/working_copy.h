/* working_copy.h - the version that a client trains on, twice: as it came and as it is now.
 *
 * The difference of the two is sent as an update. It is computed piece by piece while it is sent,
 * so a client needs memory for two models, not for three. Values that were trained elsewhere (in the
 * memory of another library) need not be brought here first: the update is computed from where they
 * lie. */
#ifndef TRIB_CLIENT_WORKING_COPY_H
#define TRIB_CLIENT_WORKING_COPY_H

#include "base/block.h"
#include "base/env.h"
#include "base/status.h"
#include "tensor/layout.h"
#include "tensor/source.h"
#include "tributary/client.h"

struct trib_working_copy {
    const struct trib_env *env;         /* private */
    unsigned char *file;                /* private: the version as it came; NULL: nothing held */
    size_t file_bytes;                  /* private */
    struct trib_layout *layout;         /* private: of the file */
    struct trib_block *values;          /* private: float32[layout->element_count] */
    bool is_kept;                       /* private: somebody else has a reference to values, too */
    struct trib_client_tensor *tensors; /* read-only: [tensor_count]; values may be written */
    size_t tensor_count;                /* read-only */
    struct trib_layout *update;         /* private: of the update, NULL before the first */
    unsigned char *update_head;         /* private: update->data_offset bytes */
    const float *const *trained;        /* private: [tensor_count], borrowed; NULL: the values */
};

/* Nothing is held; all-zero is safe to deinit. */
void trib_working_copy_init(struct trib_working_copy *copy, const struct trib_env *env);
void trib_working_copy_deinit(struct trib_working_copy *copy);

/* Hold a version. file[file_bytes] is from trib_allocate(env, file_bytes, 1) and is taken, also
 * on error. What was held before is released. Errors: as trib_safetensors_parse(); TRIB_EDTYPE: a
 * tensor is not F32 (versions always are). On error nothing is held. */
enum trib_status trib_working_copy_hold(struct trib_working_copy *copy, unsigned char *file,
                                        size_t file_bytes, struct trib_error *error);
/* Make the values those of the version again, in fresh memory if they are kept. Something must be
 * held. TRIB_EMEMORY: the values are as they were. */
enum trib_status trib_working_copy_reset(struct trib_working_copy *copy);
/* A reference to the memory of the values, which the copy will not touch again once it is reset or
 * holds another version. Something must be held. */
struct trib_block *trib_working_copy_keep(struct trib_working_copy *copy);
/* The update: canonical safetensors of trained - values of the version, of all tensors but those
 * that the array "frozen" at the top of `settings` (a JSON object) names. *update borrows from the
 * copy until it changes; offsets and counts that it is asked for must be multiples of 4.
 *
 * trained  where the values of each tensor lie now, float32 of its shape, row-major, or NULL to
 *          leave it out; [tensor_count], borrowed as long as *update is used. NULL: all of them are
 *          the values of the copy.
 *
 * TRIB_EINVALID: "frozen" is no array of strings, or no tensor is left; TRIB_ENONFINITE: error
 * names the first tensor that is sent with a NaN or an infinity; TRIB_EMEMORY. */
enum trib_status trib_working_copy_update(struct trib_working_copy *copy, const char *settings,
                                          const float *const *trained, struct trib_source *update,
                                          struct trib_error *error);

#endif
