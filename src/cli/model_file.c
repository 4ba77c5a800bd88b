/* model_file.c - a safetensors file on disk: its tensors, its digest, its values in pieces. */
#include "cli/model_file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tensor/convert.h"
#include "tensor/safetensors.h"

#define DIGEST_PIECE_BYTES ((size_t)1 << 16)

static enum trib_status read_at(void *context, uint64_t offset, void *bytes, size_t count) {
    const struct trib_model_file *file = context;
    unsigned char *next = bytes;
    while (count > 0) {
        ssize_t done = pread(file->descriptor, next, count, (off_t)offset);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return TRIB_EIO; /* or it became shorter, which is as bad */
        }
        next += done;
        offset += (uint64_t)done;
        count -= (size_t)done;
    }
    return TRIB_OK;
}

static enum trib_status open_source(struct trib_model_file *file, const char *path,
                                    struct trib_error *error) {
    file->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    struct stat state;
    if (file->descriptor < 0 || fstat(file->descriptor, &state) != 0) {
        return trib_error_set(error, errno == ENOENT ? TRIB_ENOTFOUND : TRIB_EIO, "%s",
                              strerror(errno));
    }
    if (!S_ISREG(state.st_mode)) {
        return trib_error_set(error, TRIB_EIO, "not a file");
    }
    file->source.context = file;
    file->source.byte_count = (uint64_t)state.st_size;
    file->source.read = read_at;
    return TRIB_OK;
}

enum trib_status trib_model_file_open(const struct trib_env *env, const char *path,
                                      struct trib_model_file *file, struct trib_error *error) {
    *file = (struct trib_model_file){.env = env};
    enum trib_status status = open_source(file, path, error);
    if (status == TRIB_OK) {
        status = trib_safetensors_parse(env, &file->source, TRIB_SAFETENSORS_HEAD_MAX, NULL, NULL,
                                        &file->layout, error);
    }
    if (status != TRIB_OK) {
        trib_model_file_close(file);
        return trib_error_prefix(error, status, "%s", path);
    }
    return TRIB_OK;
}

void trib_model_file_close(struct trib_model_file *file) {
    trib_layout_free(file->layout);
    if (file->env != NULL && file->descriptor >= 0) {
        (void)close(file->descriptor); /* nothing was written to it */
    }
    *file = (struct trib_model_file){0};
}

enum trib_status trib_model_file_digest(const struct trib_model_file *file,
                                        struct trib_digest *digest) {
    struct trib_digester digester;
    unsigned char *piece = trib_allocate(file->env, DIGEST_PIECE_BYTES, 1);
    if (piece == NULL || !trib_digester_begin(&digester)) {
        trib_release(file->env, piece, DIGEST_PIECE_BYTES, 1);
        return TRIB_EMEMORY;
    }
    enum trib_status status = TRIB_OK;
    uint64_t left = file->source.byte_count;
    while (left > 0 && status == TRIB_OK) {
        size_t count = left < DIGEST_PIECE_BYTES ? (size_t)left : DIGEST_PIECE_BYTES;
        status =
            file->source.read(file->source.context, file->source.byte_count - left, piece, count);
        trib_digester_add(&digester, piece, count);
        left -= count;
    }
    trib_digester_finish(&digester, digest);
    trib_release(file->env, piece, DIGEST_PIECE_BYTES, 1);
    return status;
}

/* The head says where everything lies, so two heads of the same bytes are the same file layout. */
static enum trib_status compare_heads(const struct trib_model_file *file,
                                      const struct trib_layout *canonical, bool *is_same) {
    size_t count = (size_t)canonical->data_offset;
    *is_same = false;
    if (canonical->data_offset != file->layout->data_offset ||
        canonical->data_offset + canonical->data_bytes != file->source.byte_count) {
        return TRIB_OK;
    }
    char *heads = trib_allocate(file->env, count, 2);
    if (heads == NULL) {
        return TRIB_EMEMORY;
    }
    trib_safetensors_write_head(canonical, heads, count);
    enum trib_status status = file->source.read(file->source.context, 0, heads + count, count);
    *is_same = status == TRIB_OK && memcmp(heads, heads + count, count) == 0;
    trib_release(file->env, heads, count, 2);
    return status;
}

enum trib_status trib_model_file_is_canonical(const struct trib_model_file *file,
                                              bool *is_canonical) {
    const struct trib_layout *layout = file->layout;
    *is_canonical = false;
    for (size_t i = 0; i < layout->tensor_count; i++) {
        if (layout->tensors[i].dtype != TRIB_F32) {
            return TRIB_OK;
        }
    }
    struct trib_layout *canonical;
    enum trib_status status =
        trib_layout_of_tensors(file->env, layout->tensors, layout->tensor_count, &canonical, NULL);
    if (status == TRIB_OK) {
        status = compare_heads(file, canonical, is_canonical);
        trib_layout_free(canonical);
    }
    return status;
}

/* --- values ----------------------------------------------------------------------------------- */

/* Little-endian integers of any width. */
static void widen_integers(enum trib_dtype dtype, const unsigned char *bytes, size_t count,
                           double *values) {
    size_t width = trib_dtype_bytes(dtype);
    bool is_signed =
        dtype == TRIB_I8 || dtype == TRIB_I16 || dtype == TRIB_I32 || dtype == TRIB_I64;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = 0;
        for (size_t k = 0; k < width; k++) {
            bits |= (uint64_t)bytes[i * width + k] << (8 * k);
        }
        uint64_t sign = UINT64_C(1) << (8 * width - 1);
        values[i] = is_signed ? (double)(int64_t)((bits ^ sign) - sign) : (double)bits;
    }
}

enum trib_status trib_model_file_values(const struct trib_model_file *file,
                                        const struct trib_tensor *tensor, uint64_t first,
                                        size_t count, double *values) {
    unsigned char bytes[TRIB_MODEL_PIECE * 8];
    float narrow[TRIB_MODEL_PIECE];
    TRIB_ASSERT(count <= TRIB_MODEL_PIECE);
    TRIB_ASSERT(first + count <= tensor->element_count);
    size_t width = trib_dtype_bytes(tensor->dtype);
    uint64_t offset = file->layout->data_offset + tensor->byte_offset + first * width;
    if (file->source.read(file->source.context, offset, bytes, count * width) != TRIB_OK) {
        return TRIB_EIO;
    }
    if (tensor->dtype == TRIB_F64) {
        memcpy(values, bytes, count * width); /* every machine we build for is little-endian */
    } else if (trib_dtype_is_float(tensor->dtype)) {
        (void)trib_convert_to_f32(narrow, tensor->dtype, bytes, count); /* NaN is welcome here */
        for (size_t i = 0; i < count; i++) {
            values[i] = narrow[i];
        }
    } else {
        widen_integers(tensor->dtype, bytes, count, values);
    }
    return TRIB_OK;
}

static size_t piece_at(const struct trib_tensor *tensor, uint64_t first) {
    uint64_t left = tensor->element_count - first;
    return left < TRIB_MODEL_PIECE ? (size_t)left : TRIB_MODEL_PIECE;
}

enum trib_status trib_model_file_summary(const struct trib_model_file *file,
                                         const struct trib_tensor *tensor,
                                         struct trib_tensor_summary *summary) {
    double values[TRIB_MODEL_PIECE];
    struct trib_tensor_summary sum = {.smallest = NAN, .largest = NAN};
    double mean = 0.0, squares = 0.0; /* running mean and squared deviations (Welford 1962) */
    uint64_t seen = 0;
    for (uint64_t first = 0; first < tensor->element_count; first += piece_at(tensor, first)) {
        size_t count = piece_at(tensor, first);
        if (trib_model_file_values(file, tensor, first, count, values) != TRIB_OK) {
            return TRIB_EIO;
        }
        for (size_t i = 0; i < count; i++) {
            if (isnan(values[i])) {
                sum.nan_count++;
                continue;
            }
            double step = values[i] - mean;
            mean += step / (double)++seen;
            squares += step * (values[i] - mean);
            sum.smallest = fmin(sum.smallest, values[i]); /* a NaN gives way to a number */
            sum.largest = fmax(sum.largest, values[i]);
        }
    }
    sum.mean = seen == 0 ? (double)NAN : mean;
    sum.deviation = seen == 0 ? (double)NAN : sqrt(squares / (double)seen);
    *summary = sum;
    return TRIB_OK;
}

enum trib_status trib_model_file_compare(const struct trib_model_file *a,
                                         const struct trib_tensor *tensor_a,
                                         const struct trib_model_file *b,
                                         const struct trib_tensor *tensor_b,
                                         struct trib_tensor_difference *difference) {
    double left[TRIB_MODEL_PIECE], right[TRIB_MODEL_PIECE];
    struct trib_tensor_difference found = {0};
    double apart = 0.0, own = 0.0; /* squares */
    TRIB_ASSERT(tensor_a->element_count == tensor_b->element_count);
    for (uint64_t first = 0; first < tensor_a->element_count; first += piece_at(tensor_a, first)) {
        size_t count = piece_at(tensor_a, first);
        if (trib_model_file_values(a, tensor_a, first, count, left) != TRIB_OK ||
            trib_model_file_values(b, tensor_b, first, count, right) != TRIB_OK) {
            return TRIB_EIO;
        }
        for (size_t i = 0; i < count; i++) {
            own += isnan(left[i]) ? 0.0 : left[i] * left[i];
            if (left[i] == right[i] || (isnan(left[i]) && isnan(right[i]))) {
                continue;
            }
            double distance = fabs(left[i] - right[i]);
            found.differing++;
            found.largest = fmax(found.largest, distance); /* a NaN gives way */
            apart += isnan(distance) ? 0.0 : distance * distance;
        }
    }
    found.norm = sqrt(apart);
    found.relative = found.differing == 0 ? 0.0 : sqrt(apart / own);
    *difference = found;
    return TRIB_OK;
}
