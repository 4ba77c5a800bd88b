/* bench_aggregate.c - from the bodies of K updates in memory to the next version.
 *
 *   bench_aggregate [--updates K] [--tensors T] [--millions M] [--threads N]
 *
 * K bodies of M million fp32 values in T tensors of unequal size are folded and merged as the
 * daemon does it (node/model.c), by N threads that split the parameters. BODIES_MAX bodies differ;
 * more updates than that take them again, which no cache notices: each is 100 MB at M = 25.
 * Every tier of kernels takes its turn. One run prints one sample of each figure:
 *
 *   name <TAB> value <TAB> unit        read: memory read by the same threads; fold.TIER: bytes of
 *                                      updates; merge.OPTIMIZER: bytes of the model
 *
 * bench/run.py repeats the runs and takes medians. */
#include "node/model.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODIES_MAX 10
#define UPDATES_MAX 1000
#define THREADS_MAX 64
#define TENSORS_MAX 1000

struct options {
    size_t updates, tensors, millions, threads;
};

struct bench {
    struct options options;
    struct trib_model model;
    struct trib_block *bodies[BODIES_MAX];
    struct trib_source sources[BODIES_MAX];
    struct trib_weighted_update updates[UPDATES_MAX];
};

_Noreturn static void fail(const char *what) {
    (void)fprintf(stderr, "bench_aggregate: %s\n", what);
    exit(1);
}

static void need(enum trib_status status) {
    if (status != TRIB_OK) {
        fail(trib_status_text(status));
    }
}

static double now(void) {
    const struct trib_env *env = trib_env_system();
    return (double)env->monotonic(env->context) * 1e-9;
}

/* --- the work, by ranges -------------------------------------------------------------------------- */

struct part {
    const struct bench *bench;
    struct trib_model *model;
    void (*work)(struct part *part);
    uint64_t first, count;
    uint64_t checksum;
};

static void fold_part(struct part *part) {
    need(trib_model_fold(part->model, 0, part->bench->updates, part->bench->options.updates,
                         part->first, part->count));
}

static void merge_part(struct part *part) {
    struct trib_error error = {0};
    if (trib_model_merge_range(part->model, part->first, part->count, &error) != TRIB_OK) {
        fail(error.text);
    }
}

typedef uint64_t words __attribute__((vector_size(64), aligned(4), may_alias));

/* Every byte of every body once, in four sums so that no addition waits for another. */
static void read_part(struct part *part) {
    words sums[4] = {{0}};
    for (size_t i = 0; i < BODIES_MAX; i++) {
        const unsigned char *bytes = part->bench->bodies[i]->bytes +
                                     part->model->layout->data_offset + part->first * sizeof(float);
        const uint64_t byte_count = part->count * sizeof(float);
        for (uint64_t at = 0; at + 4 * sizeof(words) <= byte_count; at += 4 * sizeof(words)) {
            const words *from = (const words *)(bytes + at);
            for (size_t k = 0; k < 4; k++) {
                sums[k] += from[k];
            }
        }
    }
    const words all = sums[0] + sums[1] + sums[2] + sums[3];
    for (size_t k = 0; k < sizeof(words) / sizeof(uint64_t); k++) {
        part->checksum += all[k];
    }
}

static void *run_part(void *context) {
    struct part *part = context;
    part->work(part);
    return NULL;
}

/* Seconds for the whole, from the start of the threads to the end of the last. */
static double time_parts(struct bench *bench, void (*work)(struct part *part)) {
    struct part parts[THREADS_MAX];
    pthread_t threads[THREADS_MAX];
    const uint64_t total = bench->model.layout->element_count;
    const size_t thread_count = bench->options.threads;
    const double started = now();
    for (size_t i = 0; i < thread_count; i++) {
        const uint64_t first = total * i / thread_count;
        parts[i] = (struct part){.bench = bench,
                                 .model = &bench->model,
                                 .work = work,
                                 .first = first,
                                 .count = total * (i + 1) / thread_count - first};
        if (pthread_create(&threads[i], NULL, run_part, &parts[i]) != 0) {
            fail("no thread");
        }
    }
    uint64_t checksum = 0;
    for (size_t i = 0; i < thread_count; i++) {
        (void)pthread_join(threads[i], NULL);
        checksum += parts[i].checksum;
    }
    const double seconds = now() - started;
    if (checksum == 1) { /* the sums must be needed */
        (void)fprintf(stderr, "bench_aggregate: a checksum of 1\n");
    }
    return seconds;
}

/* --- models and updates -------------------------------------------------------------------------- */

/* Layers as in a real model: the k-th of T tensors has k + 1 shares, the last one the rest. */
static struct trib_layout *make_layout(const struct options *options) {
    struct trib_tensor tensors[TENSORS_MAX] = {{0}};
    char names[TENSORS_MAX][16];
    const uint64_t total = (uint64_t)options->millions * 1000000;
    const uint64_t shares = (uint64_t)options->tensors * (options->tensors + 1) / 2;
    uint64_t left = total;
    for (size_t i = 0; i < options->tensors; i++) {
        const bool is_last = i + 1 == options->tensors;
        const uint64_t count = is_last ? left : total / shares * (i + 1);
        (void)snprintf(names[i], sizeof names[i], "layer.%04zu", i);
        tensors[i] = (struct trib_tensor){
            .name = names[i], .dtype = TRIB_F32, .rank = 1, .shape = {count}, .delta_max = 16};
        left -= count;
    }
    struct trib_layout *layout = NULL;
    need(trib_layout_of_tensors(trib_env_system(), tensors, options->tensors, &layout, NULL));
    return layout;
}

static struct trib_spec *make_spec(const char *preset) {
    json_t *document = json_pack("{s:s, s:{s:s}, s:{s:s}}", "name", "bench", "model", "init",
                                 "upload", "strategy", "preset", preset);
    struct trib_error error = {0};
    struct trib_spec *spec = NULL;
    if (trib_spec_parse(trib_env_system(), document, &spec, &error) != TRIB_OK) {
        fail(error.text);
    }
    json_decref(document);
    return spec;
}

static void open_model(struct bench *bench, const struct trib_spec *spec) {
    const struct trib_env *env = trib_env_system();
    struct trib_layout *file = make_layout(&bench->options);
    struct trib_block *version = trib_safetensors_block(env, file);
    if (version == NULL) {
        fail("no memory");
    }
    trib_block_seal(version);
    trib_layout_free(file);
    struct trib_layout *layout = NULL;
    struct trib_error error = {0};
    need(trib_model_read_layout(env, spec, version, &layout, &error));
    if (trib_model_init(&bench->model, env, spec, layout, version, 0, &error) != TRIB_OK) {
        fail(error.text);
    }
    trib_block_unref(version);
    for (size_t i = 0; i < bench->options.updates; i++) {
        struct trib_weighted_update *update = &bench->updates[i];
        *update = (struct trib_weighted_update){.codec = &trib_codec_dense, .weight = 100 + i};
        need(update->codec->open(env, bench->model.layout, &bench->sources[i % BODIES_MAX],
                                 &update->update, NULL, NULL));
        need(trib_model_count(&bench->model, 0, update));
    }
}

static void close_model(struct bench *bench) {
    for (size_t i = 0; i < bench->options.updates; i++) {
        bench->updates[i].codec->free(bench->updates[i].update);
    }
    trib_model_deinit(&bench->model);
}

/* Deltas about as small as real ones; all bits of the significand are in use. */
static void make_bodies(struct bench *bench) {
    const struct trib_env *env = trib_env_system();
    struct trib_layout *layout = make_layout(&bench->options);
    uint32_t state = 1;
    for (size_t i = 0; i < BODIES_MAX; i++) {
        bench->bodies[i] = trib_safetensors_block(env, layout);
        if (bench->bodies[i] == NULL) {
            fail("no memory");
        }
        float *values = (float *)(bench->bodies[i]->bytes + layout->data_offset);
        for (uint64_t k = 0; k < layout->element_count; k++) {
            state = state * 1664525u + 1013904223u;
            values[k] = ((float)(state >> 8) - 0x1p23f) * 0x1p-28f;
        }
        trib_block_seal(bench->bodies[i]);
        bench->sources[i] =
            trib_source_of_memory(bench->bodies[i]->bytes, bench->bodies[i]->byte_count);
    }
    trib_layout_free(layout);
}

/* --- figures --------------------------------------------------------------------------------------- */

static void print(const char *name, const char *of, double bytes, double seconds) {
    printf("%s%s\t%.4g\tGB/s\n", name, of, bytes * 1e-9 / seconds);
}

static void measure_folds(struct bench *bench) {
    struct trib_spec *spec = make_spec("fedavg");
    open_model(bench, spec);
    const double body_bytes = (double)bench->model.layout->element_count * sizeof(float);
    (void)time_parts(bench, fold_part); /* touches every page of the sums */
    print("read", "", body_bytes * BODIES_MAX, time_parts(bench, read_part));
    for (size_t t = 0; t < TRIB_KERNEL_TIERS; t++) {
        const struct trib_kernels *tier = trib_kernels_tier(t);
        if (tier != NULL) {
            bench->model.kernels = tier;
            print("fold.", tier->name, body_bytes * (double)bench->options.updates,
                  time_parts(bench, fold_part));
        }
    }
    close_model(bench);
    trib_spec_free(spec);
}

static void measure_merge(struct bench *bench, const char *preset) {
    struct trib_spec *spec = make_spec(preset);
    open_model(bench, spec);
    (void)time_parts(bench, fold_part);
    const double bytes = (double)bench->model.layout->element_count * sizeof(float);
    for (int turn = 0; turn < 2; turn++) { /* the first touches pages */
        need(trib_model_merge_begin(&bench->model, 0));
        const double seconds = time_parts(bench, merge_part);
        const double ending = now();
        trib_model_merge_end(&bench->model);
        if (turn == 1) {
            print("merge.", preset, bytes, seconds);
            print("seal.", preset, bytes, now() - ending);
        }
        trib_model_advance(&bench->model);
        for (size_t i = 0; i < bench->options.updates; i++) {
            need(trib_model_count(&bench->model, 0, &bench->updates[i]));
        }
        (void)time_parts(bench, fold_part);
    }
    close_model(bench);
    trib_spec_free(spec);
}

static size_t number_after(int count, char **arguments, const char *name, size_t otherwise,
                           size_t highest) {
    for (int i = 1; i + 1 < count; i += 2) {
        if (strcmp(arguments[i], name) == 0) {
            const unsigned long value = strtoul(arguments[i + 1], NULL, 10);
            if (value < 1 || value > highest) {
                fail(name);
            }
            return value;
        }
    }
    return otherwise;
}

int main(int count, char **arguments) {
    static struct bench bench;
    bench.options = (struct options){
        .updates = number_after(count, arguments, "--updates", 10, UPDATES_MAX),
        .tensors = number_after(count, arguments, "--tensors", 1, TENSORS_MAX),
        .millions = number_after(count, arguments, "--millions", 25, 2000),
        .threads = number_after(count, arguments, "--threads", 1, THREADS_MAX),
    };
    make_bodies(&bench);
    measure_folds(&bench);
    measure_merge(&bench, "fedavg");
    measure_merge(&bench, "fedadam");
    for (size_t i = 0; i < BODIES_MAX; i++) {
        trib_block_unref(bench.bodies[i]);
    }
    return 0;
}
