/* safetensors.h - read any safetensors head strictly; write the canonical one.
 *
 * Layout of a file:  u64 N | N bytes of JSON | data.   Canonical (design section 1): tensors by
 * name bytewise, no __metadata__, no blanks, padded with spaces so that 8 + N is a multiple of 64;
 * in names " and \ are escaped with a backslash, everything else is itself.
 *
 * Refused: a head over its limit, past the end or not starting with '{', duplicate names or keys,
 * unknown keys and dtypes, offsets that overlap, leave gaps, run past the end or do not fit dtype
 * and shape, products that overflow, names that are empty, not UTF-8 or hold control characters. */
#ifndef TRIB_TENSOR_SAFETENSORS_H
#define TRIB_TENSOR_SAFETENSORS_H

#include "base/block.h"
#include "tensor/layout.h"
#include "tensor/source.h"

#define TRIB_SAFETENSORS_HEAD_MAX (100u << 20) /* what the reference reader allows */
#define TRIB_METADATA_KEYS_MAX 4096            /* trainers write some hundreds */
#define TRIB_METADATA_KEY_BYTES_MAX 160

/* One string of __metadata__; false stops with TRIB_EINVALID (error set by the visitor or not). */
typedef bool trib_metadata_visit(const char *key, const char *value, void *context);

/* Parse the head of `source` (the whole file, source->byte_count long).
 *
 * head_bytes_max  limit of N, at most TRIB_SAFETENSORS_HEAD_MAX counts. The memory that is used is
 *                 in proportion to N and nothing else.
 * visit           NULL: __metadata__ is checked and dropped. Strings with U+0000 are refused.
 * layout          the caller's (trib_layout_free), roles unassigned; NULL on error.
 *
 * On error the text says which tensor and why: TRIB_ETRUNCATED the file ends inside the head or
 * the data; TRIB_EMALFORMED not safetensors; TRIB_EDTYPE an unknown dtype; TRIB_EINVALID a name,
 * or the visitor; TRIB_ELIMIT; TRIB_EMEMORY; TRIB_EIO. */
enum trib_status trib_safetensors_parse(const struct trib_env *env,
                                        const struct trib_source *source, size_t head_bytes_max,
                                        trib_metadata_visit *visit, void *context,
                                        struct trib_layout **layout, struct trib_error *error);

/* A layout from a plain list, for writers: tensors[count] in any order with name, dtype, rank and
 * shape set (role, group and delta_max are kept); sorted, offsets filled in canonically.
 * layout is the caller's (trib_layout_free), NULL on error. TRIB_EINVALID, TRIB_ELIMIT: as
 * trib_layout_append and trib_layout_order, or more than TRIB_TENSORS_MAX; TRIB_EMEMORY. */
enum trib_status trib_layout_of_tensors(const struct trib_env *env,
                                        const struct trib_tensor *tensors, size_t count,
                                        struct trib_layout **layout, struct trib_error *error);

/* A block of layout->data_offset + layout->data_bytes with the canonical head written and the
 * data zero. The caller fills the data at bytes + layout->data_offset and seals it. The layout
 * must come from trib_layout_of_model or trib_layout_of_tensors. NULL: no memory. */
struct trib_block *trib_safetensors_block(const struct trib_env *env,
                                          const struct trib_layout *layout);
/* The canonical head alone into room bytes (room >= layout->data_offset). */
void trib_safetensors_write_head(const struct trib_layout *layout, void *bytes, size_t room);

/* A range of version 0 from a model file: elements [first, first + count) of `layout` (of versions),
 * read from `source` (described by `file`) and converted to fp32, into values[count]. Companions
 * are zero. Errors as below. Thread: any. */
enum trib_status trib_safetensors_import_range(const struct trib_layout *file,
                                               const struct trib_source *source,
                                               const struct trib_layout *layout, uint64_t first,
                                               uint64_t count, float *values,
                                               struct trib_error *error);

/* Version 0 from a model file: every tensor of `layout` (of versions) is read from `source`
 * (described by `file`), converted to fp32 and written into a fresh block, then sealed. Companions
 * are zero.
 *
 * version  the caller's reference; NULL on error.
 *
 * error names the tensor: TRIB_ENONFINITE with the index of a value that is no finite fp32 number;
 * TRIB_EBOUND with that of an integer which fp32 would change; TRIB_ENOTFOUND or TRIB_ESHAPE when
 * layout was not made from file; TRIB_EMEMORY; TRIB_EIO. */
enum trib_status trib_safetensors_import(const struct trib_env *env, const struct trib_layout *file,
                                         const struct trib_source *source,
                                         const struct trib_layout *layout,
                                         struct trib_block **version, struct trib_error *error);

#endif
