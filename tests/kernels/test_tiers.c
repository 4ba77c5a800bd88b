/* test_tiers.c - every tier gives the bits of the scalar kernels, wherever its arrays lie. */
#include "tensor/kernels.h"

#include <float.h>
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/random.h"
#include "support/check.h"

#define COUNT_MAX 1040
#define OFFSETS 64
#define BYTES_MAX (COUNT_MAX * 8)
#define PADDING 128 /* around an output, to see stray writes */

/* One call of a kernel: `output` is read and written, a and b are only read. */
struct call {
    const char *name;
    size_t output_bytes; /* per element; 0 for kernels that only return a scan */
    size_t input_bytes;
    struct trib_scan (*run)(const struct trib_kernels *kernels, void *output, const void *a,
                            const void *b, size_t count);
};

#define SCALE (48611.0 * 0x1p8) /* weight times 2^shift */
#define BOUND 16.0

#define FOLD(dtype)                                                                            \
    static struct trib_scan run_fold_##dtype(const struct trib_kernels *kernels, void *output, \
                                             const void *a, const void *b, size_t count) {     \
        const void *x[] = {a, b, a};                                                           \
        kernels->fold_##dtype(output, x, (const double[]){SCALE, 3.25, -SCALE / 7}, 3, count); \
        return (struct trib_scan){0};                                                          \
    }
#define SCAN(dtype)                                                                            \
    static struct trib_scan run_scan_##dtype(const struct trib_kernels *kernels, void *output, \
                                             const void *a, const void *b, size_t count) {     \
        (void)output;                                                                          \
        (void)b;                                                                               \
        return kernels->scan_##dtype(a, count, BOUND);                                         \
    }
FOLD(f32)
FOLD(bf16)
FOLD(f16)
FOLD(i8)
SCAN(f32)
SCAN(bf16)
SCAN(f16)
SCAN(i8)

static struct trib_scan run_add(const struct trib_kernels *kernels, void *output, const void *a,
                                const void *b, size_t count) {
    (void)b;
    kernels->add_i64(output, a, count);
    return (struct trib_scan){0};
}

static struct trib_scan run_subtract(const struct trib_kernels *kernels, void *output,
                                     const void *a, const void *b, size_t count) {
    (void)b;
    kernels->subtract_i64(output, a, count);
    return (struct trib_scan){0};
}

static struct trib_scan run_mean(const struct trib_kernels *kernels, void *output, const void *a,
                                 const void *b, size_t count) {
    (void)b;
    kernels->mean_f64(output, a, count, 0x1p-37, 48611.0);
    return (struct trib_scan){0};
}

static struct trib_scan run_delta(const struct trib_kernels *kernels, void *output, const void *a,
                                  const void *b, size_t count) {
    kernels->subtract_f32(output, a, b, count);
    return (struct trib_scan){0};
}

static const struct call calls[] = {
    {"fold_f32", 8, 4, run_fold_f32},   {"fold_bf16", 8, 2, run_fold_bf16},
    {"fold_f16", 8, 2, run_fold_f16},   {"scan_f32", 0, 4, run_scan_f32},
    {"scan_bf16", 0, 2, run_scan_bf16}, {"scan_f16", 0, 2, run_scan_f16},
    {"add_i64", 8, 8, run_add},         {"subtract_i64", 8, 8, run_subtract},
    {"fold_i8", 8, 1, run_fold_i8},     {"scan_i8", 0, 1, run_scan_i8},
    {"mean_f64", 8, 8, run_mean},       {"subtract_f32", 4, 4, run_delta},
};
#define CALL_COUNT (sizeof calls / sizeof calls[0])

/* Hostile within every kernel's contract: zeros of both signs, denormals, ties at all scales,
 * values at the bound. The number of values is odd, so that each meets each lane. */
static float hostile_f32(size_t index, struct trib_random *random) {
    static const float values[] = {
        0.0f,           -0.0f,  FLT_TRUE_MIN, -FLT_TRUE_MIN, 0x1.fffffcp-127f, FLT_MIN,  -FLT_MIN,
        16.0f,          -16.0f, 0.5f,         -0.5f,         0x1p-9f,          -0x1p-9f, 0x1.8p-8f,
        0x1.fffffep+3f, 1.0f,   -1.0f,        0x1.000002p0f, 0x1.4p-7f,
    };
    size_t kinds = sizeof values / sizeof values[0];
    if (index % (kinds + 2) < kinds) {
        return values[index % (kinds + 2)];
    }
    return (float)(trib_random_unit(random) * 32.0 - 16.0);
}

static uint16_t hostile_u16(size_t index, struct trib_random *random, uint16_t largest) {
    static const uint16_t values[] = {0x0000, 0x8000, 0x0001, 0x8001, 0x007f, 0x03ff,
                                      0x0400, 0x8400, 0x0080, 0x3c00, 0x3f80};
    size_t kinds = sizeof values / sizeof values[0];
    uint16_t magnitude = (uint16_t)trib_random_below(random, largest + 1u);
    uint16_t sign = (uint16_t)(trib_random_u64(random) & 0x8000);
    switch (index % (kinds + 4)) {
    case 11:
        return (uint16_t)(largest | sign);
    case 12:
    case 13:
    case 14:
        return magnitude | sign;
    default:
        return values[index % (kinds + 4)];
    }
}

static int64_t hostile_i64(size_t index, struct trib_random *random) {
    static const int64_t values[] = {0,
                                     1,
                                     -1,
                                     INT64_MAX,
                                     INT64_MIN,
                                     INT64_C(1) << 62,
                                     -(INT64_C(1) << 62),
                                     (INT64_C(1) << 53) + 1,
                                     -(INT64_C(1) << 53) - 1,
                                     (INT64_C(1) << 54) + 2,
                                     INT64_C(0xffffffff),
                                     -INT64_C(0x100000000),
                                     (INT64_C(1) << 51) + 1};
    size_t kinds = sizeof values / sizeof values[0];
    if (index % (kinds + 4) < kinds) {
        return values[index % (kinds + 4)];
    }
    return (int64_t)trib_random_u64(random) >> trib_random_below(random, 60);
}

static void fill(const struct call *call, unsigned char *bytes, uint64_t seed) {
    struct trib_random random;
    trib_random_derive(&random, seed, call->name, 0);
    bool is_bf16 = strstr(call->name, "bf16") != NULL;
    for (size_t i = 0; i < COUNT_MAX; i++) {
        float f32 = hostile_f32(i, &random);
        uint16_t u16 = hostile_u16(i, &random, is_bf16 ? 0x4180 : 0x4c00); /* 16.0 in both */
        int64_t i64 = hostile_i64(i, &random);
        const void *value = &i64; /* its first byte, too */
        if (call->input_bytes == 4) {
            value = &f32;
        } else if (call->input_bytes == 2) {
            value = &u16;
        }
        memcpy(bytes + i * call->input_bytes, value, call->input_bytes);
    }
}

static bool same_scan(struct trib_scan a, struct trib_scan b) {
    return a.first_bad == b.first_bad && memcmp(&a.square_sum, &b.square_sum, 8) == 0;
}

static _Alignas(64) unsigned char first_input[BYTES_MAX], second_input[BYTES_MAX];
static _Alignas(64) unsigned char before[BYTES_MAX], expected[BYTES_MAX];
static _Alignas(64) unsigned char moved_first[BYTES_MAX + 64], moved_second[BYTES_MAX + 64];
static _Alignas(64) unsigned char moved_output[PADDING + BYTES_MAX + 64 + PADDING];

static void fill_inputs(const struct call *call) {
    fill(call, first_input, 1);
    fill(call, second_input, 2);
    for (size_t i = 0; i < BYTES_MAX; i++) {
        before[i] = (unsigned char)(i * 37 + 11);
    }
}

static struct trib_scan run_scalar(const struct call *call, size_t count) {
    memcpy(expected, before, BYTES_MAX);
    return call->run(trib_kernels_tier(0), expected, first_input, second_input, count);
}

static void check_padding(const unsigned char *bytes, const struct call *call, size_t count) {
    for (size_t i = 0; i < PADDING; i++) {
        if (bytes[i] != 0xa5) {
            fail_msg("%s of %zu elements wrote outside its output", call->name, count);
        }
    }
}

/* The kernel at every offset of its arrays, for one length. */
static void check_offsets(const struct trib_kernels *tier, const struct call *call, size_t count,
                          struct trib_scan expected_scan) {
    size_t output_bytes = count * call->output_bytes;
    size_t input_bytes = count * call->input_bytes;
    for (size_t offset = 0; offset < OFFSETS; offset++) {
        unsigned char *a = moved_first + offset;
        unsigned char *b = moved_second + (offset * 5 + 1) % OFFSETS;
        unsigned char *output = moved_output + PADDING + (offset * 11 + 7) % OFFSETS;
        memcpy(a, first_input, input_bytes);
        memcpy(b, second_input, input_bytes);
        memset(output - PADDING, 0xa5, PADDING);
        memcpy(output, before, output_bytes);
        memset(output + output_bytes, 0xa5, PADDING);
        struct trib_scan scan = call->run(tier, output, a, b, count);
        if (memcmp(output, expected, output_bytes) != 0 || !same_scan(scan, expected_scan)) {
            fail_msg("%s %s of %zu elements at offset %zu differs", tier->name, call->name, count,
                     offset);
        }
        check_padding(output - PADDING, call, count);
        check_padding(output + output_bytes, call, count);
    }
}

/* Rule: lengths 0 to 1040 at byte offsets 0 to 63 give the scalar bits and touch nothing else. The
 * scalar tier itself need not be tried at all lengths: it has no blocks. */
static void test_lengths_and_offsets(void **state) {
    (void)state;
    for (size_t index = 0; index < TRIB_KERNEL_TIERS; index++) {
        const struct trib_kernels *tier = trib_kernels_tier(index);
        for (size_t c = 0; tier && c < CALL_COUNT; c++) {
            fill_inputs(&calls[c]);
            for (size_t count = 0; count <= COUNT_MAX; count += index == 0 ? 65 : 1) {
                struct trib_scan scan = run_scalar(&calls[c], count);
                check_offsets(tier, &calls[c], count, scan);
            }
        }
    }
}

/* `room` bytes between two pages that cannot be touched. */
static unsigned char *guarded_room(size_t *room) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *room = (PADDING * 8 + page - 1) / page * page;
    unsigned char *bytes =
        mmap(NULL, *room + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(bytes != MAP_FAILED);
    assert_int_equal(mprotect(bytes + page, *room, PROT_READ | PROT_WRITE), 0);
    return bytes + page;
}

static void free_guarded(unsigned char *bytes, size_t room) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    assert_int_equal(munmap(bytes - page, room + 2 * page), 0);
}

/* Rule: a kernel reads and writes its elements only, also when the next byte is not there. */
static void test_edges_of_memory(void **state) {
    (void)state;
    size_t room = 0;
    unsigned char *guarded[3];
    for (int k = 0; k < 3; k++) {
        guarded[k] = guarded_room(&room);
    }
    for (size_t c = 0; c < CALL_COUNT; c++) {
        fill_inputs(&calls[c]);
        for (size_t count = 0; count <= PADDING; count++) {
            size_t input_bytes = count * calls[c].input_bytes;
            size_t output_bytes = count * calls[c].output_bytes;
            struct trib_scan expected_scan = run_scalar(&calls[c], count);
            for (size_t index = 0; index < TRIB_KERNEL_TIERS * 2; index++) {
                const struct trib_kernels *tier = trib_kernels_tier(index / 2);
                if (!tier) {
                    continue;
                }
                bool at_end = index % 2;
                unsigned char *output = guarded[0] + (at_end ? room - output_bytes : 0);
                unsigned char *a = guarded[1] + (at_end ? room - input_bytes : 0);
                unsigned char *b = guarded[2] + (at_end ? room - input_bytes : 0);
                memcpy(output, before, output_bytes);
                memcpy(a, first_input, input_bytes);
                memcpy(b, second_input, input_bytes);
                struct trib_scan scan = calls[c].run(tier, output, a, b, count);
                assert_memory_equal(output, expected, output_bytes);
                assert_true(same_scan(scan, expected_scan));
            }
        }
    }
    for (int k = 0; k < 3; k++) {
        free_guarded(guarded[k], room);
    }
}

/* Compare one fold of floats with the scalar one. */
static void check_fold(const float *x, size_t count, double scale) {
    int64_t sums[2][256] = {0};
    const void *values = x;
    assert_true(count <= 256);
    trib_kernels_tier(0)->fold_f32(sums[0], &values, &scale, 1, count);
    for (size_t index = 1; index < TRIB_KERNEL_TIERS; index++) {
        const struct trib_kernels *tier = trib_kernels_tier(index);
        if (tier) {
            memset(sums[1], 0, sizeof sums[1]);
            tier->fold_f32(sums[1], &values, &scale, 1, count);
            assert_memory_equal(sums[0], sums[1], count * sizeof sums[0][0]);
        }
    }
}

/* Rule: terms of 2^51 and next to it, ties of all sizes, and huge values that a small scale
 * brings down, are converted as rint() does. */
static void test_limits_of_conversion(void **state) {
    (void)state;
    float x[256];
    for (int exponent = -149; exponent <= 127; exponent++) {
        for (size_t i = 0; i < 256; i++) { /* significands at both ends of a binade */
            float significand =
                i < 128 ? 1.0f + (float)i * 0x1p-23f : 2.0f - (float)(i - 127) * 0x1p-23f;
            x[i] = ldexpf(i % 2 ? significand : -significand, exponent);
        }
        for (int top = -3; top <= 50; top++) { /* the terms lie in [2^top, 2^(top + 1)) */
            check_fold(x, 256, ldexp(1, top - exponent));
            check_fold(x, 256, ldexp(0x1.fffffp-1, top - exponent));
        }
        x[0] = ldexpf(1, exponent);
        x[1] = -x[0];
        check_fold(x, 2, ldexp(1, 51 - exponent));
    }
    for (int i = 0; i < 256; i++) {
        x[i] = (float)(i - 128) + 0.5f;
    }
    check_fold(x, 256, 1);
}

/* Rule: random floats and weights agree too, at any bits. */
static void test_random_terms(void **state) {
    (void)state;
    struct trib_random random;
    trib_random_init(&random, 7);
    for (int round = 0; round < 20000; round++) {
        float x[64];
        double weight = (double)(1 + trib_random_below(&random, UINT64_C(1) << 29));
        int shift = (int)trib_random_below(&random, 60) - 10;
        double scale = ldexp(weight, shift);
        for (int i = 0; i < 64; i++) {
            uint32_t bits = (uint32_t)trib_random_u64(&random);
            memcpy(&x[i], &bits, sizeof bits);
            if (!(fabs(x[i] * scale) <= 0x1p51)) {
                x[i] = (float)((trib_random_unit(&random) * 2 - 1) * (0x1p50 / scale));
            }
        }
        check_fold(x, 64, scale);
    }
}

typedef struct trib_scan scan_u16(const uint16_t *x, size_t count, double bound);

static void check_all_patterns(trib_fold_kernel *fold, scan_u16 *scan,
                               trib_fold_kernel *scalar_fold, scan_u16 *scalar_scan, double scale) {
    for (uint32_t start = 0; start <= UINT16_MAX; start += 16) {
        uint16_t x[16];
        const void *values = x;
        int64_t sums[2][16] = {0};
        for (uint32_t i = 0; i < 16; i++) {
            x[i] = (uint16_t)(start + i);
        }
        for (size_t i = 0; i < 16; i++) {
            assert_true(same_scan(scan(x + i, 1, INFINITY), scalar_scan(x + i, 1, INFINITY)));
        }
        if (scalar_scan(x, 16, 0x1p51 / scale).first_bad == 16) {
            fold(sums[0], &values, &scale, 1, 16);
            scalar_fold(sums[1], &values, &scale, 1, 16);
            assert_memory_equal(sums[0], sums[1], sizeof sums[0]);
        }
    }
}

/* Rule: all 65536 patterns of both 16-bit dtypes are read as the scalar tier reads them, NaN
 * and infinities included. */
static void test_all_patterns_of_16_bits(void **state) {
    (void)state;
    const struct trib_kernels *scalar = trib_kernels_tier(0);
    for (size_t index = 1; index < TRIB_KERNEL_TIERS; index++) {
        const struct trib_kernels *tier = trib_kernels_tier(index);
        for (int exponent = -76; tier && exponent <= 184; exponent += 13) {
            check_all_patterns(tier->fold_bf16, tier->scan_bf16, scalar->fold_bf16,
                               scalar->scan_bf16, ldexp(1, exponent));
            check_all_patterns(tier->fold_f16, tier->scan_f16, scalar->fold_f16, scalar->scan_f16,
                               ldexp(1, exponent));
        }
    }
}

/* Rule: the first bad value is found wherever it stands, whatever is bad about it, and the
 * squares before it are summed in the scalar order. */
static void test_scan_finds_the_first_bad(void **state) {
    (void)state;
    const float bad_f32[] = {NAN,           -NAN,           INFINITY, -INFINITY,
                             0x1.000002p4f, -0x1.000002p4f, FLT_MAX};
    const uint16_t bad_bf16[] = {0x7fc0, 0xffc1, 0x7f80, 0xff80, 0x4181, 0xc181, 0x7f7f};
    const uint16_t bad_f16[] = {0x7e00, 0xfd01, 0x7c00, 0xfc00, 0x4c01, 0xcc01, 0x7bff};
    const void *bad[] = {bad_f32, bad_bf16, bad_f16};
    for (size_t c = 3; c < 6; c++) {
        fill_inputs(&calls[c]);
        size_t bytes = calls[c].input_bytes;
        for (size_t count = 1; count <= 100; count++) {
            for (size_t first = 0; first < count; first++) {
                const unsigned char *value =
                    (const unsigned char *)bad[c - 3] + (count + first) % 7 * bytes;
                memcpy(moved_first, first_input, count * bytes);
                memcpy(moved_first + first * bytes, value, bytes);
                memcpy(moved_first + (first + count) / 2 * bytes, value, bytes);
                memcpy(expected, before, BYTES_MAX);
                for (size_t index = 0; index < TRIB_KERNEL_TIERS; index++) {
                    const struct trib_kernels *tier = trib_kernels_tier(index);
                    if (tier) {
                        struct trib_scan scan = calls[c].run(tier, NULL, moved_first, NULL, count);
                        assert_int_equal(scan.first_bad, first);
                        /* What stands before it gives the same sum without it. */
                        assert_true(same_scan(scan, calls[c].run(trib_kernels_tier(0), NULL,
                                                                 moved_first, NULL, first)));
                    }
                }
            }
        }
    }
}

/* Rule: bounds that admit nothing admit nothing at any length; an infinite one admits every
 * finite value. */
static void test_scan_strange_bounds(void **state) {
    (void)state;
    float x[40];
    for (int i = 0; i < 40; i++) {
        x[i] = i % 2 ? FLT_MAX : -0.0f;
    }
    for (size_t index = 0; index < TRIB_KERNEL_TIERS; index++) {
        const struct trib_kernels *tier = trib_kernels_tier(index);
        for (size_t count = 0; tier && count <= 40; count++) {
            assert_int_equal(tier->scan_f32(x, count, -1.0).first_bad, 0);
            assert_int_equal(tier->scan_f32(x, count, NAN).first_bad, 0);
            assert_int_equal(tier->scan_f32(x, count, -INFINITY).first_bad, 0);
            assert_int_equal(tier->scan_f32(x, count, 0.0).first_bad, count > 1 ? 1 : count);
            assert_int_equal(tier->scan_f32(x, count, INFINITY).first_bad, count);
            assert_int_equal(tier->scan_f32(x, count, DBL_MAX).first_bad, count);
            assert_true(same_scan(tier->scan_f32(x, count, FLT_MAX),
                                  trib_kernels_tier(0)->scan_f32(x, count, INFINITY)));
        }
    }
}

/* Rule: a bound that is no float itself, but lies between two, admits the lower one only. */
static void test_scan_bounds_between_floats(void **state) {
    (void)state;
    static const double bounds[] = {0.1, 1 + 0x1p-40, 1 - 0x1p-40, 0x1p-149 * 2.5, 1e-50, 1e38 + 1};
    for (size_t index = 0; index < TRIB_KERNEL_TIERS; index++) {
        const struct trib_kernels *tier = trib_kernels_tier(index);
        for (size_t b = 0; tier && b < sizeof bounds / sizeof bounds[0]; b++) {
            float lower = (float)bounds[b];
            lower = (double)lower > bounds[b] ? nextafterf(lower, 0) : lower;
            const float values[4] = {lower, -lower, nextafterf(lower, INFINITY), lower};
            assert_int_equal(tier->scan_f32(values, 4, bounds[b]).first_bad, 2);
            assert_int_equal(tier->scan_f32(values, 4, -bounds[b]).first_bad, 0);
        }
    }
}

/* Rule: input and output may be the same array. */
static void test_in_place(void **state) {
    (void)state;
    for (size_t index = 0; index < TRIB_KERNEL_TIERS; index++) {
        const struct trib_kernels *tier = trib_kernels_tier(index);
        if (!tier) {
            continue;
        }
        int64_t sum[37], doubled[37];
        union {
            int64_t sum[37];
            double mean[37];
        } both;
        double mean[37];
        float a[37], b[37], delta[37];
        for (int i = 0; i < 37; i++) {
            sum[i] = both.sum[i] = (i - 17) * INT64_C(123456789012345);
            doubled[i] = 2 * sum[i];
            a[i] = (float)(i * i) / 7;
            b[i] = (float)i / 3;
            delta[i] = a[i] - b[i];
        }
        tier->mean_f64(mean, sum, 37, 0x1p-9, 3);
        tier->mean_f64(both.mean, both.sum, 37, 0x1p-9, 3);
        assert_memory_equal(both.mean, mean, sizeof mean);
        tier->add_i64(sum, sum, 37);
        assert_memory_equal(sum, doubled, sizeof sum);
        float c[37];
        memcpy(c, b, sizeof b);
        tier->subtract_f32(c, a, c, 37);
        assert_memory_equal(c, delta, sizeof delta);
        tier->subtract_f32(a, a, b, 37);
        assert_memory_equal(a, delta, sizeof delta);
        tier->subtract_i64(sum, sum, 37);
        for (int i = 0; i < 37; i++) {
            assert_int_equal(sum[i], 0);
        }
    }
}

/* A machine without a tier must not pass for one that was tested. */
static int print_tiers(void **state) {
    (void)state;
    for (size_t index = 0; index < TRIB_KERNEL_TIERS; index++) {
        const struct trib_kernels *tier = trib_kernels_tier(index);
        print_message("# tier %zu: %s\n", index, tier ? tier->name : "not on this machine");
    }
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths_and_offsets),
        cmocka_unit_test(test_edges_of_memory),
        cmocka_unit_test(test_limits_of_conversion),
        cmocka_unit_test(test_random_terms),
        cmocka_unit_test(test_all_patterns_of_16_bits),
        cmocka_unit_test(test_scan_finds_the_first_bad),
        cmocka_unit_test(test_scan_strange_bounds),
        cmocka_unit_test(test_scan_bounds_between_floats),
        cmocka_unit_test(test_in_place),
    };
    return cmocka_run_group_tests(tests, print_tiers, NULL);
}
