/* bench_train.c - training steps per CPU second of one thread, beside the machine's products.
 *
 * Usage: bench_train MODEL BATCH STEPS; MODEL is mlp, cnn or lstm, as large as in the FedAvg paper.
 * Prints name, value, unit: the steps of the trainer as a client takes them (a task of STEPS steps),
 * and as a limit those that the products of oneDNN alone would allow, by the operations that the
 * model needs and the speed of a large product in the same run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/random.h"
#include "train/products.h"
#include "train/trainer.h"

enum { ROWS = 600, SIDE = 768, SYMBOLS_IN_ROW = 80 };

/* Of one row, forward and backward, without what only the first layer's inputs would need. */
struct shape {
    const char *name;
    size_t feature_count;
    uint32_t class_count;
    double products; /* multiplications */
};

#define MLP (2.0 * 784 * 200 + 3.0 * (200 * 200 + 200 * 10))
#define CNN (2.0 * 784 * 25 * 32 + 3.0 * 196 * 800 * 64 + 3.0 * (3136 * 512 + 512 * 10))
#define CELL(inputs) (4.0 * 256 * ((inputs) + 256))
#define LSTM (3.0 * SYMBOLS_IN_ROW * (CELL(8) + CELL(256) + 256.0 * TRIB_TEXT_SYMBOLS))

static const struct shape shapes[] = {
    {"mlp", 784, 10, MLP},
    {"cnn", 784, 10, CNN},
    {"lstm", SYMBOLS_IN_ROW, TRIB_TEXT_SYMBOLS, LSTM},
};

static double cpu_seconds(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); /* this clock is always there */
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *allocate(size_t count, size_t bytes) {
    void *memory = calloc(count, bytes);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static struct trib_dataset make_rows(const struct shape *shape) {
    const bool is_text = strcmp(shape->name, "lstm") == 0;
    const size_t labels = is_text ? shape->feature_count : 1;
    struct trib_random random;
    struct trib_dataset rows = {
        .features = allocate(ROWS * shape->feature_count, sizeof *rows.features),
        .labels = allocate(ROWS * labels, sizeof *rows.labels),
        .row_count = ROWS,
        .feature_count = shape->feature_count,
        .class_count = shape->class_count,
        .symbol_count = is_text ? shape->class_count : 0,
    };
    trib_random_init(&random, 1);
    for (size_t i = 0; i < ROWS * shape->feature_count; i++) {
        rows.features[i] = is_text ? (float)trib_random_below(&random, shape->class_count)
                                   : (float)trib_random_unit(&random);
    }
    for (size_t i = 0; i < ROWS * labels; i++) {
        rows.labels[i] = (int32_t)trib_random_below(&random, shape->class_count);
    }
    return rows;
}

/* Multiplications per second of one large product: the best of a few. */
static double product_speed(void) {
    struct trib_products products;
    float *a = allocate(3 * SIDE * SIDE, sizeof *a);
    const struct trib_product product = {.rows = SIDE,
                                         .columns = SIDE,
                                         .depth = SIDE,
                                         .a = a,
                                         .a_stride = SIDE,
                                         .b = a + SIDE * SIDE,
                                         .b_stride = SIDE,
                                         .scale = 1.0F,
                                         .out = a + 2 * SIDE * SIDE,
                                         .out_stride = SIDE};
    double least = 1e9;
    if (trib_products_init(&products, NULL) != TRIB_OK) {
        abort();
    }
    for (int i = 0; i < 8; i++) {
        const double began = cpu_seconds();
        trib_multiply(&products, &product);
        const double spent = cpu_seconds() - began;
        least = spent < least ? spent : least;
    }
    free(a);
    return (double)SIDE * SIDE * SIDE / least;
}

static double steps_per_second(const struct shape *shape, size_t batch, uint64_t steps) {
    const struct trib_trainer_spec spec = {.kind = shape->name,
                                           .feature_count = shape->feature_count,
                                           .class_count = shape->class_count};
    struct trib_trainer *trainer;
    struct trib_error error = {0};
    struct trib_dataset rows = make_rows(shape);
    if (trib_trainer_new(trib_env_system(), &spec, &trainer, &error) != TRIB_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    float *parameters = allocate(trib_trainer_parameter_count(trainer), sizeof *parameters);
    trib_trainer_initialise(trainer, 1, parameters);
    struct trib_train_settings settings = {.steps = 3, .batch = batch, .lr = 0.01};
    (void)trib_trainer_train(trainer, &rows, NULL, 0, &settings, parameters, NULL, NULL);
    settings.steps = steps;
    const double began = cpu_seconds();
    if (trib_trainer_train(trainer, &rows, NULL, 0, &settings, parameters, NULL, &error) !=
        TRIB_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    const double spent = cpu_seconds() - began;
    free(parameters);
    free(rows.features);
    free(rows.labels);
    trib_trainer_free(trainer);
    return (double)steps / spent;
}

int main(int count, char **arguments) {
    const struct shape *shape = NULL;
    for (size_t i = 0; count == 4 && i < sizeof shapes / sizeof shapes[0]; i++) {
        if (strcmp(shapes[i].name, arguments[1]) == 0) {
            shape = &shapes[i];
        }
    }
    const size_t batch = shape == NULL ? 0 : strtoul(arguments[2], NULL, 10);
    const uint64_t steps = shape == NULL ? 0 : strtoull(arguments[3], NULL, 10);
    if (batch == 0 || batch > ROWS || steps == 0) {
        (void)fprintf(stderr, "usage: bench_train mlp|cnn|lstm BATCH STEPS\n");
        return 2;
    }
    (void)printf("steps\t%.6g\tsteps/s\n", steps_per_second(shape, batch, steps));
    (void)printf("limit\t%.6g\tsteps/s\n", product_speed() / (shape->products * (double)batch));
    return 0;
}
