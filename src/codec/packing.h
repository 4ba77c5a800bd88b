/* packing.h - how a client writes its update: from float32 changes to a body that a codec reads.
 *
 *   dense        F32                                       codec dense
 *   bf16, f16    rounded to nearest, ties to even          codec dense
 *   int8[:B]     blocks of B elements, one scale each: the largest magnitude is 127; B 256
 *   sparse:S     the share S of each tensor's elements with the largest magnitudes, the others are 0;
 *                of equals the first ones
 *
 * A tensor that would be no smaller for it stands as in dense. Sizes depend on shapes alone. What does
 * not fit (an infinite change, or none that is a number) comes out as such, for the codec to refuse.
 * Nothing is remembered of what rounding or leaving out has lost. */
#ifndef TRIB_CODEC_PACKING_H
#define TRIB_CODEC_PACKING_H

#include "base/block.h"
#include "codec/codec.h"

enum trib_packing_kind {
    TRIB_PACKING_DENSE,
    TRIB_PACKING_BF16,
    TRIB_PACKING_F16,
    TRIB_PACKING_INT8,
    TRIB_PACKING_SPARSE,
};

struct trib_packing {
    enum trib_packing_kind kind;
    uint32_t block_elements; /* int8: B, 1..2^24 */
    double share;            /* sparse: S, 0 < S < 1 */
};

/* "int8:64". TRIB_EINVALID: error says what it may be. */
enum trib_status trib_packing_parse(const char *text, struct trib_packing *packing,
                                    struct trib_error *error);
/* That reads such bodies. */
const struct trib_codec *trib_packing_codec(const struct trib_packing *packing);

/* The tensors of a body for changes of `dense`, a layout of F32 tensors. *packed is the caller's
 * (trib_layout_free), NULL on error. TRIB_ELIMIT: a name becomes too long; TRIB_EMEMORY. */
enum trib_status trib_packing_layout(const struct trib_packing *packing, const struct trib_env *env,
                                     const struct trib_layout *dense, struct trib_layout **packed,
                                     struct trib_error *error);
/* The body: sealed, the caller's. changes: float32[dense->element_count] in the order of `dense`.
 * packed: as above. NULL: no memory. Thread: any. */
struct trib_block *trib_packing_encode(const struct trib_packing *packing,
                                       const struct trib_env *env, const struct trib_layout *dense,
                                       const struct trib_layout *packed, const float *changes);

#endif
