/* layout.h - names, dtypes, shapes and roles of a model's tensors, and where each one lies.
 *
 * A layout describes the data section of one safetensors file: of a client's model, of an update
 * or of a version. Tensors are sorted by name, bytewise. Immutable once made. */
#ifndef TRIB_TENSOR_LAYOUT_H
#define TRIB_TENSOR_LAYOUT_H

#include "base/digest.h"
#include "base/env.h"
#include "base/status.h"

#define TRIB_RANK_MAX 8
#define TRIB_TENSORS_MAX 100000 /* reason: a 100-layer transformer has about 2,000 */
#define TRIB_TENSOR_NAME_BYTES_MAX 512
#define TRIB_GROUPS_MAX 64
#define TRIB_GROUP_NAME_BYTES 32  /* with the NUL */
#define TRIB_SHAPE_TEXT_BYTES 176 /* "[...]" of any shape: 8 numbers of 20 digits, with the NUL */

enum trib_dtype {
    TRIB_F32,
    TRIB_F16,
    TRIB_BF16,
    TRIB_F64,
    TRIB_F8_E4M3,
    TRIB_F8_E5M2,
    TRIB_I8,
    TRIB_I16,
    TRIB_I32,
    TRIB_I64,
    TRIB_U8,
    TRIB_U16,
    TRIB_U32,
    TRIB_U64,
    TRIB_BOOL,
    TRIB_DTYPE_COUNT
};

const char *trib_dtype_name(enum trib_dtype dtype); /* "F32", as safetensors spells it */
size_t trib_dtype_bytes(enum trib_dtype dtype);
bool trib_dtype_is_float(enum trib_dtype dtype);
bool trib_dtype_from_name(const char *name, enum trib_dtype *dtype);

/* What the server does with a tensor (design section 1). */
enum trib_role {
    TRIB_ROLE_TRAIN,   /* server optimizer; default for floats */
    TRIB_ROLE_AVERAGE, /* weighted mean only; default for running_ statistics */
    TRIB_ROLE_FREEZE,  /* fixed by version 0; refused in updates */
    TRIB_ROLE_LOCAL,   /* not in versions; default for integers */
    TRIB_ROLE_CONTROL, /* sum of the updates divided by the number of all clients; companions only */
};

const char *trib_role_name(enum trib_role role);
bool trib_role_from_name(const char *name, enum trib_role *role);
/* Do updates carry it, to be summed? */
bool trib_role_is_summed(enum trib_role role);

/* One line of the spec's model.tensors; the first matching glob decides. */
struct trib_role_rule {
    char match[128]; /* glob on the tensor name */
    enum trib_role role;
    bool has_role;                     /* false: the default role, only group or delta_max is set */
    char group[TRIB_GROUP_NAME_BYTES]; /* "" = the default group */
    double delta_max;                  /* 0 = the spec's delta_max */
};

struct trib_tensor {
    const char *name; /* UTF-8, owned by the layout */
    enum trib_dtype dtype;
    enum trib_role role;
    uint32_t group; /* index into the layout's groups; 0 when there is only one, or frozen */
    uint32_t rank;
    uint64_t shape[TRIB_RANK_MAX];
    uint64_t element_count;  /* product of the shape; 1 for rank 0; may be 0 */
    uint64_t byte_offset;    /* from the start of the data section */
    uint64_t element_offset; /* from the first element of the layout, in tensor order */
    double delta_max;        /* bound on |delta|; 0 until roles are assigned */
    bool is_companion;       /* state of the strategy about another tensor */
};

struct trib_layout {
    const struct trib_env *env;  /* private */
    struct trib_tensor *tensors; /* read-only */
    size_t tensor_count;
    uint64_t element_count; /* of all tensors */
    uint64_t data_offset;   /* bytes before the data section in the file */
    uint64_t data_bytes;    /* of the data section */
    size_t group_count;     /* 1 at least, once roles are assigned */
    char group_names[TRIB_GROUPS_MAX][TRIB_GROUP_NAME_BYTES];
    char *names;        /* private: storage of the names */
    size_t names_bytes; /* private: of that storage */
    size_t names_used;  /* private: of that storage */
    size_t tensors_max; /* private: room in tensors */
};

void trib_layout_free(struct trib_layout *layout); /* NULL allowed */
/* NULL when there is no tensor of that name (binary search). */
const struct trib_tensor *trib_layout_find(const struct trib_layout *layout, const char *name);
/* Index of the first tensor that ends after `element`, so of the one that holds it; tensor_count
 * when element >= element_count (binary search). */
size_t trib_layout_tensor_at(const struct trib_layout *layout, uint64_t element);
/* Same names and shapes; on a difference error names the first tensor and what differs:
 * TRIB_ENOTFOUND, TRIB_ESHAPE. */
enum trib_status trib_layout_same(const struct trib_layout *expected,
                                  const struct trib_layout *actual, struct trib_error *error);

uint64_t trib_tensor_bytes(const struct trib_tensor *tensor); /* of its data */
/* Same rank and sizes; otherwise TRIB_ESHAPE and error names the tensor and both shapes. */
enum trib_status trib_tensor_same_shape(const struct trib_tensor *expected,
                                        const struct trib_tensor *actual, struct trib_error *error);
/* "[784,200]" into buffer (TRIB_SHAPE_TEXT_BYTES hold any); returns buffer. */
const char *trib_shape_text(const struct trib_tensor *tensor, char *buffer, size_t room);
/* How many bytes of a tensor name a message shows: all, or up to the last whole character within
 * 80, so that what is wrong still fits. Print with "%.*s". */
int trib_name_shown(const char *name);

/* The layout of versions for a model that a client or user brought (`file`): roles and groups by
 * the rules, `local` tensors and companions left out, everything else fp32, canonical offsets
 * (safetensors.h).
 * Groups are numbered by their first tensor in name order; frozen tensors are in none.
 *
 * delta_max  the spec's bound, where a rule gives none.
 * layout     the caller's (trib_layout_free); NULL on error.
 *
 * TRIB_EDTYPE: a rule asks for what the dtype cannot do (train or average an integer);
 * TRIB_ELIMIT: too many groups; TRIB_EINVALID: no train tensor is left; TRIB_EMEMORY. */
enum trib_status trib_layout_of_model(const struct trib_env *env, const struct trib_layout *file,
                                      const struct trib_role_rule *rules, size_t rule_count,
                                      double delta_max, struct trib_layout **layout,
                                      struct trib_error *error);

/* What some strategies keep about every train tensor: another one of its shape, group and bound,
 * whose name is a prefix and the tensor's own, zero in version 0. */
enum trib_companion {
    TRIB_COMPANION_CONTROL = 1,  /* "control.": SCAFFOLD's c; role control */
    TRIB_COMPANION_MOMENTUM = 2, /* "momentum.": FedCM's direction; role average */
};
#define TRIB_COMPANION_ALL 3
const char *trib_companion_prefix(enum trib_companion companion);
/* Does a tensor have the name of a companion of another tensor of the layout? */
bool trib_companion_is(const struct trib_layout *layout, const struct trib_tensor *tensor);

/* The layout of versions with companions (a set of bits) besides. `layout` is taken, also on error;
 * *accompanied is the caller's, NULL on error.
 * TRIB_ELIMIT: a name becomes too long, or too many tensors; TRIB_EMEMORY. */
enum trib_status trib_layout_accompany(struct trib_layout *layout, uint32_t companions,
                                       struct trib_layout **accompanied, struct trib_error *error);

/* For makers of layouts (safetensors.h): begin empty, append, then order once.
 *
 * Room for tensors_max tensors whose names take names_bytes with their NULs. NULL: no memory. */
struct trib_layout *trib_layout_new(const struct trib_env *env, size_t tensors_max,
                                    size_t names_bytes);
/* Append a copy of a tensor: name, dtype, rank and shape are checked, element_count is computed,
 * the other fields are taken as they are.
 * TRIB_EINVALID: the name is empty, "__metadata__", not UTF-8 or has control characters;
 * TRIB_ELIMIT: name too long, rank too high, or its bytes do not fit 63 bits. */
enum trib_status trib_layout_append(struct trib_layout *layout, const struct trib_tensor *tensor,
                                    struct trib_error *error);
/* Sort by name, number the elements. TRIB_EINVALID: two tensors of one name; TRIB_ELIMIT: more
 * elements than fit 63 bits. */
enum trib_status trib_layout_order(struct trib_layout *layout, struct trib_error *error);

#endif
