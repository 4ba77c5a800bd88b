/* dataset_idx.c - the four files of MNIST and its relatives.
 *
 *   images  u32 0x803 | u32 count | u32 height | u32 width | count * height * width bytes
 *   labels  u32 0x801 | u32 count | count bytes            (all words big-endian)
 *
 * A file must end where its head says. Only bytes are read (the third byte of the magic, 0x08);
 * the other types that the format allows are not used by these data sets. */
#include "train/dataset_formats.h"

#include <stdio.h>

#include "train/gzip_file.h"

#define IMAGES_MAGIC 0x803u
#define LABELS_MAGIC 0x801u
#define PIXEL_MAX 255.0

static enum trib_status read_words(struct trib_gzip_file *file, uint32_t *words, size_t count,
                                   struct trib_error *error) {
    for (size_t i = 0; i < count; i++) {
        unsigned char bytes[4];
        const enum trib_status status = trib_gzip_file_read(file, bytes, sizeof bytes, error);
        if (status != TRIB_OK) {
            return status;
        }
        words[i] = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
                   bytes[3];
    }
    return TRIB_OK;
}

/* Open the file of a part and read its head: magic, count and dimension_count - 1 other words. */
static enum trib_status open_part(struct trib_gzip_file *file, const char *folder,
                                  enum trib_dataset_part part, const char *what, uint32_t magic,
                                  uint32_t *dimensions, size_t dimension_count,
                                  struct trib_error *error) {
    char name[64];
    (void)snprintf(name, sizeof name, "%s-%s-idx%zu-ubyte",
                   part == TRIB_DATASET_TRAIN ? "train" : "t10k", what, dimension_count);
    enum trib_status status = trib_gzip_file_open(file, folder, name, error);
    uint32_t actual_magic = 0;
    if (status == TRIB_OK) {
        status = read_words(file, &actual_magic, 1, error);
    }
    if (status == TRIB_OK && actual_magic != magic) {
        status = trib_error_set(error, TRIB_EMALFORMED, "%s: begins with 0x%08x, not 0x%08x",
                                file->path, actual_magic, magic);
    }
    if (status == TRIB_OK) {
        status = read_words(file, dimensions, dimension_count, error);
    }
    if (status == TRIB_OK && (dimensions[0] == 0 || dimensions[0] > TRIB_DATASET_ROWS_MAX)) {
        status = trib_error_set(error, dimensions[0] == 0 ? TRIB_EMALFORMED : TRIB_ELIMIT,
                                "%s: %u rows, 1 to %u are allowed", file->path, dimensions[0],
                                TRIB_DATASET_ROWS_MAX);
    }
    return status;
}

struct label_bytes {
    unsigned char *bytes;
    uint32_t count;
    unsigned char largest;
};

static void release_labels(const struct trib_env *env, struct label_bytes *labels) {
    trib_release(env, labels->bytes, labels->count, 1);
    labels->bytes = NULL;
}

static enum trib_status read_labels(const struct trib_env *env, const char *folder,
                                    enum trib_dataset_part part, struct label_bytes *labels,
                                    struct trib_error *error) {
    struct trib_gzip_file file;
    *labels = (struct label_bytes){0};
    enum trib_status status =
        open_part(&file, folder, part, "labels", LABELS_MAGIC, &labels->count, 1, error);
    if (status == TRIB_OK) {
        labels->bytes = trib_allocate(env, labels->count, 1);
        status = labels->bytes == NULL
                     ? trib_error_set(error, TRIB_EMEMORY, "%s: no memory for %u labels", file.path,
                                      labels->count)
                     : trib_gzip_file_read(&file, labels->bytes, labels->count, error);
    }
    if (status == TRIB_OK) {
        status = trib_gzip_file_expect_end(&file, error);
    }
    trib_gzip_file_close(&file);
    if (status != TRIB_OK) {
        release_labels(env, labels);
        return status;
    }
    for (uint32_t i = 0; i < labels->count; i++) {
        if (labels->bytes[i] > labels->largest) {
            labels->largest = labels->bytes[i];
        }
    }
    return TRIB_OK;
}

/* The rows to keep, scaled, through a buffer of one image: the file may be far larger than they. */
static enum trib_status read_images(const struct trib_env *env, struct trib_gzip_file *file,
                                    uint32_t image_count,
                                    const struct trib_dataset_request *request,
                                    struct trib_dataset *dataset, struct trib_error *error) {
    const double scale = request->feature_scale > 0.0 ? request->feature_scale : PIXEL_MAX;
    float scaled[256];
    for (int value = 0; value < 256; value++) {
        scaled[value] = (float)(value / scale);
    }

    const size_t pixel_count = dataset->feature_count;
    unsigned char *image = trib_allocate(env, pixel_count, 1);
    if (image == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "%s: no memory for an image", file->path);
    }
    enum trib_status status = TRIB_OK;
    size_t kept = 0;
    for (uint32_t row = 0; row < image_count && status == TRIB_OK; row++) {
        status = trib_gzip_file_read(file, image, pixel_count, error);
        if (status == TRIB_OK && trib_dataset_is_kept(request, row, kept)) {
            float *features = dataset->features + kept * pixel_count;
            for (size_t i = 0; i < pixel_count; i++) {
                features[i] = scaled[image[i]];
            }
            kept++;
        }
    }
    trib_release(env, image, pixel_count, 1);
    return status == TRIB_OK ? trib_gzip_file_expect_end(file, error) : status;
}

static enum trib_status check_images(const struct trib_gzip_file *file, const uint32_t *dimensions,
                                     uint32_t label_count, struct trib_error *error) {
    const uint64_t pixel_count = (uint64_t)dimensions[1] * dimensions[2];
    if (dimensions[0] != label_count) {
        return trib_error_set(error, TRIB_EMALFORMED, "%s: %u images, but there are %u labels",
                              file->path, dimensions[0], label_count);
    }
    if (pixel_count == 0) {
        return trib_error_set(error, TRIB_EMALFORMED, "%s: images without pixels", file->path);
    }
    if (pixel_count > TRIB_DATASET_FEATURES_MAX) {
        return trib_error_set(error, TRIB_ELIMIT, "%s: images of %u x %u pixels, %u are allowed",
                              file->path, dimensions[1], dimensions[2], TRIB_DATASET_FEATURES_MAX);
    }
    return TRIB_OK;
}

/* Labels of the kept rows; each must be a class. */
static enum trib_status keep_labels(const char *folder, const struct label_bytes *labels,
                                    const struct trib_dataset_request *request,
                                    struct trib_dataset *dataset, struct trib_error *error) {
    size_t kept = 0;
    for (uint32_t row = 0; row < labels->count; row++) {
        if (labels->bytes[row] >= dataset->class_count) {
            return trib_error_set(error, TRIB_EMALFORMED,
                                  "%s: label %u of row %u, but there are only %u classes", folder,
                                  labels->bytes[row], row, dataset->class_count);
        }
        if (trib_dataset_is_kept(request, row, kept)) {
            dataset->labels[kept++] = labels->bytes[row];
        }
    }
    TRIB_ASSERT(kept == dataset->row_count);
    return TRIB_OK;
}

/* How many classes there are is a matter of the training part, also when another is read. */
static enum trib_status count_classes(const struct trib_env *env, const char *folder,
                                      const struct trib_dataset_request *request,
                                      const struct label_bytes *labels, uint32_t *class_count,
                                      struct trib_error *error) {
    if (request->class_count > 0) {
        *class_count = request->class_count;
        return TRIB_OK;
    }
    if (request->part == TRIB_DATASET_TRAIN) {
        *class_count = labels->largest + 1u;
        return TRIB_OK;
    }
    struct label_bytes training;
    const enum trib_status status = read_labels(env, folder, TRIB_DATASET_TRAIN, &training, error);
    *class_count = training.largest + 1u;
    release_labels(env, &training);
    return status;
}

static enum trib_status read_part(const struct trib_env *env, const char *folder,
                                  const struct trib_dataset_request *request,
                                  const struct label_bytes *labels, struct trib_dataset *dataset,
                                  struct trib_error *error) {
    uint32_t class_count = 0;
    size_t kept_count = 0;
    enum trib_status status = count_classes(env, folder, request, labels, &class_count, error);
    if (status == TRIB_OK) {
        status = trib_dataset_count_kept(request, labels->count, &kept_count, error);
    }
    if (status != TRIB_OK) {
        return status;
    }

    struct trib_gzip_file file;
    uint32_t dimensions[3] = {0};
    status = open_part(&file, folder, request->part, "images", IMAGES_MAGIC, dimensions, 3, error);
    if (status == TRIB_OK) {
        status = check_images(&file, dimensions, labels->count, error);
    }
    if (status == TRIB_OK) {
        status =
            trib_dataset_reserve(dataset, env, kept_count, (size_t)dimensions[1] * dimensions[2], 0,
                                 !request->is_labels_only, error);
    }
    if (status == TRIB_OK) {
        dataset->class_count = class_count;
        status = keep_labels(folder, labels, request, dataset, error);
    }
    if (status == TRIB_OK && !request->is_labels_only) {
        status = read_images(env, &file, dimensions[0], request, dataset, error);
    }
    trib_gzip_file_close(&file);
    return status;
}

enum trib_status trib_dataset_load_idx(const struct trib_env *env, const char *folder,
                                       const struct trib_dataset_request *request,
                                       struct trib_dataset *dataset, struct trib_error *error) {
    struct label_bytes labels;
    enum trib_status status = read_labels(env, folder, request->part, &labels, error);
    if (status == TRIB_OK) {
        status = read_part(env, folder, request, &labels, dataset, error);
    }
    release_labels(env, &labels);
    if (status != TRIB_OK) {
        trib_dataset_deinit(dataset);
    }
    return status;
}
