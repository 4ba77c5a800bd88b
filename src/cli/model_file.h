/* model_file.h - a safetensors file on disk: its tensors, its digest, its values in pieces.
 *
 * Read with pread, never as a whole, so a model may be larger than memory. */
#ifndef TRIB_CLI_MODEL_FILE_H
#define TRIB_CLI_MODEL_FILE_H

#include "base/digest.h"
#include "tensor/layout.h"
#include "tensor/source.h"

#define TRIB_MODEL_PIECE 4096 /* values that are read at a time */

struct trib_model_file {
    /* read-only */
    struct trib_source source;
    struct trib_layout *layout;

    /* private */
    const struct trib_env *env;
    int descriptor;
};

/* TRIB_ENOTFOUND, TRIB_EIO, and what trib_safetensors_parse() says; error has the path. The source
 * points into *file, which must stay where it is until close. On error *file is zero. */
enum trib_status trib_model_file_open(const struct trib_env *env, const char *path,
                                      struct trib_model_file *file, struct trib_error *error);
void trib_model_file_close(struct trib_model_file *file); /* all-zero is safe */

/* SHA-256 of all bytes. TRIB_EIO, TRIB_EMEMORY. */
enum trib_status trib_model_file_digest(const struct trib_model_file *file,
                                        struct trib_digest *digest);
/* Is it, byte for byte, what the daemon would store (docs/protocol.md section 3)? TRIB_EIO,
 * TRIB_EMEMORY. */
enum trib_status trib_model_file_is_canonical(const struct trib_model_file *file,
                                              bool *is_canonical);

/* values[count] = elements first .. first + count - 1 of a tensor of file->layout, all within it;
 * count <= TRIB_MODEL_PIECE. Exact, but for integers beyond 2^53. TRIB_EIO. */
enum trib_status trib_model_file_values(const struct trib_model_file *file,
                                        const struct trib_tensor *tensor, uint64_t first,
                                        size_t count, double *values);

struct trib_tensor_summary {
    uint64_t nan_count;       /* left out of what follows */
    double mean, deviation;   /* population standard deviation; NAN when there is nothing */
    double smallest, largest; /* NAN when there is nothing */
};

/* TRIB_EIO. Cost: one pass. */
enum trib_status trib_model_file_summary(const struct trib_model_file *file,
                                         const struct trib_tensor *tensor,
                                         struct trib_tensor_summary *summary);

struct trib_tensor_difference {
    uint64_t differing; /* elements; a NaN equals a NaN */
    double largest;     /* max |a - b| of those that are numbers; infinite where one is */
    double norm;        /* sqrt(sum (a - b)^2) of the same */
    double relative;    /* norm / sqrt(sum a^2); NAN when that is 0 / 0 */
};

/* Both tensors have the same shape. TRIB_EIO. */
enum trib_status trib_model_file_compare(const struct trib_model_file *a,
                                         const struct trib_tensor *tensor_a,
                                         const struct trib_model_file *b,
                                         const struct trib_tensor *tensor_b,
                                         struct trib_tensor_difference *difference);

#endif
