/* codec.h - ways to encode an update: check it completely, then fold it without expanding it.
 *
 * A codec opens a body against the model's layout, checks every value once before the update is
 * acknowledged, and folds ranges into exact sums afterwards. After a good check the
 * only possible error of fold is I/O. */
#ifndef TRIB_CODEC_CODEC_H
#define TRIB_CODEC_CODEC_H

#include "tensor/kernels.h"
#include "tensor/layout.h"
#include "tensor/source.h"

struct trib_update; /* an opened update: which model tensors it carries, and where */

/* What __metadata__ of the body says; an absent key leaves its has_ field false. */
struct trib_update_metadata {
    bool has_base, has_examples, has_codec, has_metrics;
    uint64_t base;      /* base_version, any number */
    uint64_t examples;  /* any number: the run knows the limits, whichever way it was said */
    char codec[32];     /* as it was said; may be unknown */
    char metrics[1024]; /* JSON, not read here */
};

/* One update of a sum. */
struct trib_term {
    const struct trib_update *update;
    uint64_t weight; /* 1 <= weight <= 2^29 */
};

struct trib_codec {
    const char *name; /* as in Tributary-Codec: "dense" */
    /* Parse the head and match it to the model, whose roles are assigned.
     *
     * model, source  borrowed until free.
     * update         the caller's (free); NULL on error.
     * metadata       may be NULL; meaningful on success only.
     *
     * TRIB_ENOTFOUND: a tensor that the model does not have, no tensor at all, or a missing one;
     * TRIB_EINVALID: a frozen tensor, part of a group when there are several, an encoding that
     * this codec does not have, or metadata that is no number or too long; TRIB_ESHAPE,
     * TRIB_EDTYPE; and all of trib_safetensors_parse(). */
    enum trib_status (*open)(const struct trib_env *env, const struct trib_layout *model,
                             const struct trib_source *source, struct trib_update **update,
                             struct trib_update_metadata *metadata, struct trib_error *error);
    void (*free)(struct trib_update *update); /* NULL allowed */
    /* Every value finite and within its tensor's delta_max: TRIB_ENONFINITE, TRIB_EBOUND with
     * tensor, index, value and bound; TRIB_EIO. *norm becomes the Euclidean norm of the update:
     * the same bits wherever the body lies and on every tier; untouched on error. */
    enum trib_status (*check)(struct trib_update *update, const struct trib_kernels *kernels,
                              double *norm, struct trib_error *error);
    /* Is the group in the update? (An update carries all groups or whole groups.) */
    bool (*has_group)(const struct trib_update *update, uint32_t group);
    /* For each term: totals[i - first] += rint(weight * x[i] * 2^shift[tensor]) for model elements
     * first <= i < first + count (indices by trib_tensor.element_offset of `model`). Elements that
     * an update does not carry stay. Several terms at once read and write the totals less often.
     *
     * terms  updates of one model, each opened by this codec and checked, whose weights are such
     *        that |weight * x * 2^shift| <= 2^51 (exact_sum.h).
     * shift  one entry per model tensor.
     *
     * TRIB_EIO: part of the range may have been added. Thread: any number, on disjoint ranges. */
    enum trib_status (*fold)(const struct trib_term *terms, size_t term_count,
                             const struct trib_kernels *kernels, const int8_t *shift,
                             uint64_t first, uint64_t count, int64_t *totals);
};

/* F32, BF16 or F16 values, one per element: tensor `name` of the model's shape. */
extern const struct trib_codec trib_codec_dense;
/* Symmetric 8-bit blocks: `name` I8 of the model's shape and `name.scale` F32 with S numbers, any
 * shape; element i of n is name[i] * scale[i / B] with B = ceil(n / S), and S = ceil(n / B). */
extern const struct trib_codec trib_codec_int8;
/* Some elements, the others are 0: `name.index` (I32, I64, U32 or U64 [k]: positions in the
 * flattened tensor, strictly rising) and `name.value` (F32, BF16 or F16 [k]). k may be 0. */
extern const struct trib_codec trib_codec_sparse;
/* In updates of the last two, tensors may also stand as in dense ones. */

/* Only what the body says of itself, whatever its codec: the head is parsed, and nothing is compared
 * with the model but the size of the head. Errors as those of trib_safetensors_parse(). */
enum trib_status trib_update_describe(const struct trib_env *env, const struct trib_layout *model,
                                      const struct trib_source *source,
                                      struct trib_update_metadata *metadata,
                                      struct trib_error *error);

/* NULL when unknown. */
const struct trib_codec *trib_codec_find(const char *name);

#endif
