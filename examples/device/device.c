/* device.c - a complete client in plain C: softmax regression on this device's own rows.
 *
 *     device LINK NAME [ROWS.csv]
 *
 * ROWS.csv has one row per line, numbers separated by commas, the label (from 0) last. Without it
 * a hundred rows are made up. The run's model needs a matrix [classes, features] and a vector
 * [classes]; their names do not matter. */
#include <tributary/client.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 10000
#define FEATURES_MAX 1024
#define CLASSES_MAX 64

static float rows[ROWS_MAX][FEATURES_MAX];
static unsigned labels[ROWS_MAX];
static size_t row_count;
static struct trib_client *client;

static void interrupt_client(int signal_number) {
    (void)signal_number;
    trib_client_interrupt(client);
}

static void read_rows(FILE *file) {
    static char line[16 * FEATURES_MAX];
    while (row_count < ROWS_MAX && fgets(line, sizeof line, file) != NULL) {
        size_t count = 0;
        float number = 0;
        for (char *cell = strtok(line, ","); cell != NULL; cell = strtok(NULL, ",")) {
            number = strtof(cell, NULL);
            if (count < FEATURES_MAX) {
                rows[row_count][count++] = number;
            }
        }
        if (count > 1) {
            rows[row_count][count - 1] = 0; /* the label is no feature */
            labels[row_count++] = (unsigned)number;
        }
    }
}

/* Noise with a bump where the label says. */
static void make_rows(size_t features, size_t classes) {
    for (row_count = 0; row_count < 100; row_count++) {
        labels[row_count] = (unsigned)(row_count % classes);
        for (size_t i = 0; i < features; i++) {
            rows[row_count][i] = (float)rand() / (float)RAND_MAX;
        }
        rows[row_count][labels[row_count] % features] += 2;
    }
}

/* One pass over all rows, learning at rate lr (0: only looking). Returns the mean loss. */
static double pass(float *weight, float *bias, size_t features, size_t classes, float lr) {
    double loss = 0;
    for (size_t row = 0; row < row_count; row++) {
        float score[CLASSES_MAX] = {0}, total = 0, top = -INFINITY;
        for (size_t c = 0; c < classes; c++) {
            score[c] = bias[c];
            for (size_t i = 0; i < features; i++) {
                score[c] += weight[c * features + i] * rows[row][i];
            }
            top = fmaxf(top, score[c]);
        }
        for (size_t c = 0; c < classes; c++) {
            score[c] = expf(score[c] - top);
            total += score[c];
        }
        loss -= log(fmax(score[labels[row] % classes] / total, 1e-30)) / (double)row_count;
        for (size_t c = 0; c < classes; c++) {
            float slope = lr * (score[c] / total - (float)(c == labels[row] % classes));
            bias[c] -= slope;
            for (size_t i = 0; i < features; i++) {
                weight[c * features + i] -= slope * rows[row][i];
            }
        }
    }
    return loss;
}

static enum trib_client_result answer(const struct trib_client_task *task) {
    const struct trib_client_tensor *tensors, *weight = NULL, *bias = NULL;
    size_t count;
    enum trib_client_result result = trib_client_model(client, task, &tensors, &count);
    if (result != TRIB_CLIENT_OK) {
        return result;
    }
    for (size_t i = 0; i < count; i++) {
        weight = tensors[i].rank == 2 ? &tensors[i] : weight;
        bias = tensors[i].rank == 1 ? &tensors[i] : bias;
    }
    if (count != 2 || weight == NULL || bias == NULL || bias->element_count != weight->shape[0] ||
        weight->shape[0] < 1 || weight->shape[0] > CLASSES_MAX || weight->shape[1] > FEATURES_MAX) {
        return trib_client_decline(client, task, "not a softmax regression of my size");
    }
    size_t classes = (size_t)weight->shape[0], features = (size_t)weight->shape[1];
    if (row_count == 0) {
        make_rows(features, classes);
    }
    int is_training = task->kind == TRIB_CLIENT_TRAIN;
    float lr = is_training ? (float)trib_client_setting(task, "lr", 0.1) : 0;
    double epochs = is_training ? trib_client_setting(task, "epochs", 1) : 1;
    double loss = 0;
    for (double epoch = 0; epoch < epochs; epoch++) {
        loss = pass(weight->values, bias->values, features, classes, lr);
    }
    char metrics[64];
    snprintf(metrics, sizeof metrics, "{\"loss\":%.6f}", loss);
    printf("task %s, version %llu: %s\n", task->id, (unsigned long long)task->version, metrics);
    return is_training ? trib_client_submit(client, task, row_count, metrics)
                       : trib_client_report(client, task, row_count, metrics);
}

int main(int argc, char **argv) {
    char text[256];
    FILE *file = argc > 3 ? fopen(argv[3], "r") : NULL;
    if (argc < 3 || (argc > 3 && file == NULL)) {
        fprintf(stderr, "usage: %s LINK NAME [ROWS.csv]\n", argv[0]);
        return 2;
    }
    if (file != NULL) {
        read_rows(file);
        fclose(file);
    }
    struct trib_client_options options = {
        .size = sizeof options, .link = argv[1], .client = argv[2], .retry_for_s = 60};
    if (trib_client_open(&options, &client, text, sizeof text) != TRIB_CLIENT_OK) {
        fprintf(stderr, "%s\n", text);
        return 1;
    }
    signal(SIGINT, interrupt_client);
    signal(SIGTERM, interrupt_client);
    struct trib_client_task task;
    enum trib_client_result result;
    do {
        result = trib_client_next(client, &task);
        if (result == TRIB_CLIENT_OK) {
            result = answer(&task);
        }
    } while (result == TRIB_CLIENT_OK);
    printf("%s\n", trib_client_error(client));
    trib_client_close(client);
    return result == TRIB_CLIENT_STOPPED || result == TRIB_CLIENT_INTERRUPTED ? 0 : 1;
}
