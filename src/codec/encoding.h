/* encoding.h - how the values of one model tensor can stand in a body. Private to codec.
 *
 * An update says for each tensor how: as one value per element (dense), in 8-bit blocks, or as
 * positions and values. A codec is a set of encodings that its updates may use. */
#ifndef TRIB_CODEC_ENCODING_H
#define TRIB_CODEC_ENCODING_H

#include "codec/codec.h"

/* The parts that an encoding is made of; bits, by suffix of the name and dtype. */
enum trib_part {
    TRIB_PART_VALUES = 1,   /* name: F32, BF16, F16 */
    TRIB_PART_QUANTA = 2,   /* name: I8 */
    TRIB_PART_SCALE = 4,    /* name.scale */
    TRIB_PART_INDEX = 8,    /* name.index */
    TRIB_PART_SELECTED = 16 /* name.value */
};

/* Where the parts of one model tensor lie. */
struct trib_carried {
    const struct trib_encoding *encoding; /* NULL: the update does not carry the tensor */
    unsigned parts;                       /* that were seen */
    enum trib_dtype dtype;                /* of the values, or of their 8 bits */
    enum trib_dtype side_dtype;           /* of scales or positions */
    uint64_t values_offset;               /* in the body */
    uint64_t values_count;
    uint64_t side_offset;
    uint64_t side_count;
};

struct trib_update {
    const struct trib_env *env;
    const struct trib_layout *model;
    const struct trib_source *source;
    struct trib_carried *carried; /* one per model tensor */
    uint64_t groups;              /* bit g: group g is in the update */
};

/* The elements [first, limit) of one tensor of one update. */
struct trib_stretch {
    const struct trib_update *update;
    size_t tensor; /* of the model */
    uint64_t first, limit;
};

struct trib_encoding {
    unsigned parts; /* that make it complete */
    /* Do the counts of the parts fit each other and the tensor? error names it. */
    enum trib_status (*match)(const struct trib_tensor *tensor, const struct trib_carried *carried,
                              struct trib_error *error);
    /* Every value of the tensor; adds to *square_sum. As trib_codec.check. */
    enum trib_status (*check)(const struct trib_update *update, size_t tensor,
                              const struct trib_kernels *kernels, double *square_sum,
                              struct trib_error *error);
    /* totals[0] is where element `first` of the stretch goes; scale is weight * 2^shift. */
    enum trib_status (*fold)(const struct trib_stretch *stretch, const struct trib_kernels *kernels,
                             double scale, int64_t *totals);
};

extern const struct trib_encoding trib_encoding_dense, trib_encoding_int8, trib_encoding_sparse;

/* Dense stretches of several updates, which agree on tensor, range and dtype, in one pass. */
#define TRIB_FUSED_MAX 8
enum trib_status trib_dense_fold(const struct trib_stretch *stretches, const double *scales,
                                 size_t count, const struct trib_kernels *kernels, int64_t *totals);

/* Scan count values of a float dtype. */
struct trib_scan trib_scan_values(const struct trib_kernels *kernels, enum trib_dtype dtype,
                                  const void *values, size_t count, double bound);
/* The value of element `index` of a tensor breaks a rule: which one? Sets error. */
enum trib_status trib_refuse_value(const struct trib_tensor *tensor, uint64_t index, double value,
                                   struct trib_error *error);
/* TRIB_EIO with the tensor's name. */
enum trib_status trib_refuse_unreadable(const struct trib_tensor *tensor, struct trib_error *error);

#endif
