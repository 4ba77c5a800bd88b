/* packing.c - how a client writes its update. */
#include "codec/packing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/safetensors.h"

#define BLOCK_USUAL 256
#define BLOCK_MAX (1u << 24)
#define DIGITS 65536 /* of half a key */
#define NAME_BYTES (TRIB_TENSOR_NAME_BYTES_MAX + 16)

/* --- reading ------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    enum trib_packing_kind kind;
} kinds[] = {{"dense", TRIB_PACKING_DENSE},
             {"bf16", TRIB_PACKING_BF16},
             {"f16", TRIB_PACKING_F16},
             {"int8", TRIB_PACKING_INT8},
             {"sparse", TRIB_PACKING_SPARSE}};

/* What follows the colon. */
static bool read_argument(const char *text, struct trib_packing *packing) {
    char *end = NULL;
    const double number = text == NULL ? 0.0 : strtod(text, &end);
    const bool is_number = text != NULL && strspn(text, "0123456789.e-") == strlen(text) &&
                           end != text && *end == '\0';
    if (packing->kind == TRIB_PACKING_SPARSE) {
        packing->share = number;
        return is_number && number > 0.0 && number < 1.0;
    }
    if (packing->kind != TRIB_PACKING_INT8 || text == NULL) {
        packing->block_elements = BLOCK_USUAL;
        return text == NULL;
    }
    const bool is_block = is_number && number >= 1.0 && number <= BLOCK_MAX;
    packing->block_elements = is_block ? (uint32_t)number : 0;
    return is_block && number == floor(number);
}

enum trib_status trib_packing_parse(const char *text, struct trib_packing *packing,
                                    struct trib_error *error) {
    const char *colon = strchr(text, ':');
    const size_t length = colon == NULL ? strlen(text) : (size_t)(colon - text);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        *packing = (struct trib_packing){.kind = kinds[i].kind};
        if (strlen(kinds[i].name) == length && strncmp(kinds[i].name, text, length) == 0 &&
            read_argument(colon == NULL ? NULL : colon + 1, packing)) {
            return TRIB_OK;
        }
    }
    *packing = (struct trib_packing){0};
    return trib_error_set(error, TRIB_EINVALID,
                          "%.32s: must be dense, bf16, f16, int8, int8:ELEMENTS_OF_A_BLOCK or "
                          "sparse:SHARE with a share between 0 and 1",
                          text);
}

const struct trib_codec *trib_packing_codec(const struct trib_packing *packing) {
    return packing->kind == TRIB_PACKING_INT8     ? &trib_codec_int8
           : packing->kind == TRIB_PACKING_SPARSE ? &trib_codec_sparse
                                                  : &trib_codec_dense;
}

/* --- sizes -------------------------------------------------------------------------------------- */

/* Elements that are sent of a tensor. */
static uint64_t count_selected(const struct trib_packing *packing, uint64_t count) {
    const uint64_t selected = (uint64_t)ceil((double)count * packing->share);
    return selected == 0 ? 1 : selected;
}

static enum trib_dtype index_dtype(uint64_t count) {
    return count <= INT32_MAX ? TRIB_I32 : TRIB_I64;
}

static uint64_t count_scales(const struct trib_packing *packing, uint64_t count) {
    return (count + packing->block_elements - 1) / packing->block_elements;
}

/* Does the tensor become smaller? */
static bool is_packed(const struct trib_packing *packing, const struct trib_tensor *tensor) {
    const uint64_t count = tensor->element_count, dense = 4 * count;
    if (packing->kind == TRIB_PACKING_INT8) {
        return count + 4 * count_scales(packing, count) < dense;
    }
    const uint64_t width = index_dtype(count) == TRIB_I32 ? 8 : 12;
    return packing->kind == TRIB_PACKING_SPARSE && width * count_selected(packing, count) < dense;
}

static enum trib_dtype dense_dtype(const struct trib_packing *packing) {
    return packing->kind == TRIB_PACKING_BF16  ? TRIB_BF16
           : packing->kind == TRIB_PACKING_F16 ? TRIB_F16
                                               : TRIB_F32;
}

/* The parts of one tensor; names has room for two of them. Returns how many. */
static size_t list_parts(const struct trib_packing *packing, const struct trib_tensor *tensor,
                         char names[2][NAME_BYTES], struct trib_tensor parts[2]) {
    static const char *const suffixes[2][2] = {{"", ".scale"}, {".index", ".value"}};
    const bool is_sparse = packing->kind == TRIB_PACKING_SPARSE;
    parts[0] = parts[1] = *tensor;
    if (!is_packed(packing, tensor)) {
        parts[0].dtype = dense_dtype(packing);
        return 1;
    }
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(names[i], NAME_BYTES, "%s%s", tensor->name, suffixes[is_sparse][i]);
        parts[i].name = names[i];
    }
    parts[0].dtype = is_sparse ? index_dtype(tensor->element_count) : TRIB_I8;
    parts[1].dtype = TRIB_F32;
    parts[1].rank = 1;
    parts[1].shape[0] = is_sparse ? count_selected(packing, tensor->element_count)
                                  : count_scales(packing, tensor->element_count);
    if (is_sparse) {
        parts[0].rank = 1;
        parts[0].shape[0] = parts[1].shape[0];
    }
    return 2;
}

enum trib_status trib_packing_layout(const struct trib_packing *packing, const struct trib_env *env,
                                     const struct trib_layout *dense, struct trib_layout **packed,
                                     struct trib_error *error) {
    const size_t room = 2 * dense->tensor_count;
    struct trib_tensor *parts = trib_allocate(env, room, sizeof *parts);
    char(*names)[NAME_BYTES] = trib_allocate(env, room, sizeof *names);
    enum trib_status status = TRIB_EMEMORY;
    size_t count = 0;
    *packed = NULL;
    if (parts != NULL && names != NULL) {
        for (size_t t = 0; t < dense->tensor_count; t++) {
            count += list_parts(packing, &dense->tensors[t], names + 2 * t, parts + count);
        }
        status = trib_layout_of_tensors(env, parts, count, packed, error);
    }
    trib_release(env, names, room, sizeof *names);
    trib_release(env, parts, room, sizeof *parts);
    return status;
}

/* --- numbers ------------------------------------------------------------------------------------ */

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Drop `places` bits of a number's significand: to nearest, ties to even. */
static uint32_t round_off(uint32_t bits, unsigned places) {
    const uint32_t half = 1u << (places - 1);
    return (bits + (half - 1) + (bits >> places & 1)) >> places;
}

static uint16_t bf16_of(float value) {
    const uint32_t bits = bits_of(value);
    return isnan(value) ? 0x7fc0 : (uint16_t)round_off(bits, 16);
}

/* Exponents of f16 are 112 lower; below 2^-14 its significand has no hidden bit. */
static uint16_t f16_of(float value) {
    const uint32_t bits = bits_of(value), magnitude = bits & 0x7fffffff;
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    if (isnan(value)) {
        return 0x7e00;
    }
    if (magnitude >= 0x38800000) {
        const uint32_t rounded = round_off(magnitude - (112u << 23), 13);
        return (uint16_t)(sign | (rounded < 0x7c00 ? rounded : 0x7c00));
    }
    return (uint16_t)(sign | (uint16_t)lrint(ldexp(fabs((double)value), 24)));
}

static void put_dense(enum trib_dtype dtype, const float *changes, uint64_t count,
                      unsigned char *target) {
    if (dtype == TRIB_F32) {
        memcpy(target, changes, count * sizeof *changes);
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        const uint16_t half = dtype == TRIB_BF16 ? bf16_of(changes[i]) : f16_of(changes[i]);
        memcpy(target + i * sizeof half, &half, sizeof half);
    }
}

/* NaN if one of them is no finite number. */
static float scale_of(const float *changes, uint64_t count) {
    float most = 0.0F;
    for (uint64_t i = 0; i < count; i++) {
        const float size = fabsf(changes[i]);
        if (!isfinite(size)) {
            return NAN;
        }
        most = size > most ? size : most;
    }
    return most / 127.0F;
}

static void put_int8(const float *changes, uint64_t count, uint64_t scale_count,
                     unsigned char *quanta, unsigned char *scales) {
    const uint64_t length = (count + scale_count - 1) / scale_count; /* as the codec takes it */
    for (uint64_t block = 0; block < scale_count; block++) {
        const uint64_t first = block * length;
        const uint64_t size = count - first < length ? count - first : length;
        const float scale = scale_of(changes + first, size);
        memcpy(scales + block * sizeof scale, &scale, sizeof scale);
        for (uint64_t i = first; i < first + size; i++) {
            const double quantum = scale > 0.0F ? rint((double)changes[i] / (double)scale) : 0.0;
            quanta[i] = (unsigned char)(int8_t)(quantum > 127    ? 127
                                                : quantum < -127 ? -127
                                                                 : quantum);
        }
    }
}

/* --- the largest -------------------------------------------------------------------------------- */

/* Larger magnitudes have larger keys, and what is no number the largest. */
static uint32_t key_of(float value) {
    return bits_of(value) & 0x7fffffff;
}

/* The half of the key, high or low, below which too few of `wanted` are left above it, of the keys
 * whose high half is `high` (low half) or of all (high half). *wanted becomes how many of that digit. */
static uint32_t find_digit(const float *changes, uint64_t count, bool is_low, uint32_t high,
                           uint64_t *wanted, uint64_t *counts) {
    memset(counts, 0, DIGITS * sizeof *counts);
    for (uint64_t i = 0; i < count; i++) {
        const uint32_t key = key_of(changes[i]);
        if (!is_low) {
            counts[key >> 16]++;
        } else if (key >> 16 == high) {
            counts[key & 0xffff]++;
        }
    }
    uint32_t digit = DIGITS - 1;
    while (counts[digit] < *wanted) {
        *wanted -= counts[digit--];
    }
    return digit;
}

static void put_sparse(const float *changes, uint64_t count, uint64_t selected,
                       enum trib_dtype dtype, unsigned char *positions, unsigned char *values,
                       uint64_t *counts) {
    uint64_t equals = selected; /* that are taken of the smallest magnitude */
    const uint32_t high = find_digit(changes, count, false, 0, &equals, counts);
    const uint32_t low = find_digit(changes, count, true, high, &equals, counts);
    const uint32_t least = high << 16 | low;
    uint64_t put = 0;
    for (uint64_t i = 0; i < count; i++) {
        const uint32_t key = key_of(changes[i]);
        if (key < least || (key == least && equals == 0)) {
            continue;
        }
        equals -= key == least;
        const int32_t small = (int32_t)i;
        const int64_t large = (int64_t)i;
        const size_t width = dtype == TRIB_I32 ? sizeof small : sizeof large;
        memcpy(positions + put * width, dtype == TRIB_I32 ? (const void *)&small : &large, width);
        memcpy(values + put * sizeof(float), &changes[i], sizeof(float));
        put++;
    }
    TRIB_ASSERT(put == selected);
}

/* --- bodies ------------------------------------------------------------------------------------- */

static unsigned char *place_of(struct trib_block *body, const struct trib_layout *packed,
                               const struct trib_tensor *part) {
    const struct trib_tensor *placed = trib_layout_find(packed, part->name);
    TRIB_ASSERT(placed != NULL);
    return body->bytes + packed->data_offset + placed->byte_offset;
}

struct trib_block *trib_packing_encode(const struct trib_packing *packing,
                                       const struct trib_env *env, const struct trib_layout *dense,
                                       const struct trib_layout *packed, const float *changes) {
    struct trib_block *body = trib_safetensors_block(env, packed);
    const bool is_sparse = packing->kind == TRIB_PACKING_SPARSE;
    uint64_t *counts = is_sparse ? trib_allocate(env, DIGITS, sizeof *counts) : NULL;
    if (body == NULL || (is_sparse && counts == NULL)) {
        trib_block_unref(body);
        trib_release(env, counts, DIGITS, sizeof *counts);
        return NULL;
    }
    for (size_t t = 0; t < dense->tensor_count; t++) {
        char names[2][NAME_BYTES];
        struct trib_tensor parts[2];
        const uint64_t count = dense->tensors[t].element_count;
        const float *values = changes + dense->tensors[t].element_offset;
        if (count == 0) {
            continue;
        }
        if (list_parts(packing, &dense->tensors[t], names, parts) == 1) {
            put_dense(parts[0].dtype, values, count, place_of(body, packed, &parts[0]));
        } else if (is_sparse) {
            put_sparse(values, count, parts[1].shape[0], parts[0].dtype,
                       place_of(body, packed, &parts[0]), place_of(body, packed, &parts[1]),
                       counts);
        } else {
            put_int8(values, count, parts[1].shape[0], place_of(body, packed, &parts[0]),
                     place_of(body, packed, &parts[1]));
        }
    }
    trib_release(env, counts, DIGITS, sizeof *counts);
    trib_block_seal(body);
    return body;
}
