/* population.c - who is out there: clients as functions of their number. */
#include "sim/population.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TASK_LONGEST (3650.0 * 86400.0) /* seconds */

/* --- reading ------------------------------------------------------------------------------------ */

static enum trib_status read_whole(const char *text, uint64_t least, uint64_t most,
                                   uint64_t *number, struct trib_error *error) {
    size_t digits = strspn(text, "0123456789");
    *number = digits > 18 ? UINT64_MAX : strtoull(text, NULL, 10);
    if (digits == 0 || text[digits] != '\0' || *number < least || *number > most) {
        return trib_error_set(error, TRIB_EINVALID,
                              "%.32s: must be a whole number from %llu to %llu", text,
                              (unsigned long long)least, (unsigned long long)most);
    }
    return TRIB_OK;
}

/* One function per field, all of one shape. */
struct reading {
    struct trib_population *population;
    const struct trib_env *env;
    struct trib_error *error;
};

static enum trib_status read_clients(struct reading *reading, const char *text) {
    return read_whole(text, 1, TRIB_POPULATION_MAX, &reading->population->clients, reading->error);
}

static enum trib_status read_present(struct reading *reading, const char *text) {
    uint64_t present = 0;
    enum trib_status status = read_whole(text, 1, TRIB_POPULATION_MAX, &present, reading->error);
    reading->population->present = (uint32_t)present;
    return status;
}

static enum trib_status read_seed(struct reading *reading, const char *text) {
    return read_whole(text, 0, UINT64_C(1) << 53, &reading->population->seed, reading->error);
}

static enum trib_status read_per(struct reading *reading, const char *text) {
    static const char *const names[] = {"task", "example", "step"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) == 0) {
            reading->population->per = (enum trib_per)i;
            return TRIB_OK;
        }
    }
    return trib_error_set(reading->error, TRIB_EINVALID, "%.32s: must be task, example or step",
                          text);
}

static enum trib_status read_dropout(struct reading *reading, const char *text) {
    char *end;
    double share = strtod(text, &end);
    if (*text == '\0' || strspn(text, "0123456789.eE+-") != strlen(text) || *end != '\0' ||
        !(share >= 0.0 && share < 1.0)) {
        return trib_error_set(reading->error, TRIB_EINVALID,
                              "%.32s: must be a number of at least 0 and below 1", text);
    }
    reading->population->dropout = share;
    return TRIB_OK;
}

static enum trib_status read_availability(struct reading *reading, const char *text) {
    struct trib_population *population = reading->population;
    return trib_availability_parse(&population->availability, reading->env, text, population->seed,
                                   reading->error);
}

static enum trib_status read_attributes(struct reading *reading, const char *text) {
    struct trib_population *population = reading->population;
    return trib_attributes_parse(&population->attributes, reading->env, text, population->seed,
                                 reading->error);
}

#define READ_DISTRIBUTION(member, unit)                                                        \
    static enum trib_status read_##member(struct reading *reading, const char *text) {         \
        return trib_distribution_parse(&reading->population->member, reading->env, text, unit, \
                                       reading->error);                                        \
    }
READ_DISTRIBUTION(speed, TRIB_UNIT_SECONDS)
READ_DISTRIBUTION(jitter, TRIB_UNIT_NUMBER)
READ_DISTRIBUTION(latency, TRIB_UNIT_SECONDS)
READ_DISTRIBUTION(download, TRIB_UNIT_BYTES)
READ_DISTRIBUTION(upload, TRIB_UNIT_BYTES)

/* The seed comes before whatever draws from it. */
static const struct {
    const char *name, *initial;
    size_t offset; /* of its text */
    enum trib_status (*read)(struct reading *reading, const char *text);
} fields[] = {
#define X(member, name, value, initial, unsaid, meaning) \
    {name, initial, offsetof(struct trib_population_texts, member), read_##member},
    TRIB_POPULATION_FIELDS(X)
#undef X
};

enum trib_status trib_population_parse(struct trib_population *population,
                                       const struct trib_env *env,
                                       const struct trib_population_texts *texts,
                                       struct trib_error *error) {
    *population = (struct trib_population){0};
    struct reading reading = {.population = population, .env = env, .error = error};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const char *text = *(const char *const *)((const char *)texts + fields[i].offset);
        text = text == NULL ? fields[i].initial : text;
        enum trib_status status = text == NULL ? TRIB_OK : fields[i].read(&reading, text);
        if (status != TRIB_OK) {
            trib_population_deinit(population);
            return trib_error_prefix(error, status, "%s", fields[i].name);
        }
    }
    population->speeds = trib_chance_of(population->seed, "speed");
    population->jitters = trib_chance_of(population->seed, "jitter");
    population->latencies = trib_chance_of(population->seed, "latency");
    population->downloads = trib_chance_of(population->seed, "download");
    population->uploads = trib_chance_of(population->seed, "upload");
    population->dropouts = trib_chance_of(population->seed, "dropout");
    return TRIB_OK;
}

void trib_population_deinit(struct trib_population *population) {
    trib_availability_deinit(&population->availability);
    trib_attributes_deinit(&population->attributes);
    trib_distribution_deinit(&population->speed);
    trib_distribution_deinit(&population->jitter);
    trib_distribution_deinit(&population->latency);
    trib_distribution_deinit(&population->download);
    trib_distribution_deinit(&population->upload);
    *population = (struct trib_population){0};
}

/* --- errands ------------------------------------------------------------------------------------ */

static trib_time_ns nanoseconds(double seconds) {
    return (trib_time_ns)((seconds < TASK_LONGEST ? seconds : TASK_LONGEST) * (double)TRIB_SECOND);
}

/* Latency and bandwidth are the client's own; each transfer waits for the latency once. */
static trib_time_ns transfer(const struct trib_population *population, uint64_t client,
                             const struct trib_distribution *speed,
                             const struct trib_chance *speeds, uint64_t bytes) {
    double latency = trib_distribution_draw(&population->latency, &population->latencies, client);
    double bytes_per_second = trib_distribution_draw(speed, speeds, client);
    double seconds = bytes_per_second > 0.0 ? (double)bytes / bytes_per_second : 0.0;
    return nanoseconds(latency + seconds);
}

static double work_of(const struct trib_population *population,
                      const struct trib_errand_task *task) {
    switch (population->per) {
    case TRIB_PER_EXAMPLE:
        return (double)task->examples;
    case TRIB_PER_STEP:
        return task->steps > 0 ? (double)task->steps : 1.0;
    case TRIB_PER_TASK:
        break;
    }
    return 1.0;
}

struct trib_errand trib_population_errand(const struct trib_population *population,
                                          const struct trib_errand_task *task) {
    double speed = trib_distribution_draw(&population->speed, &population->speeds, task->client);
    double jitter = trib_distribution_draw(&population->jitter, &population->jitters, task->number);
    struct trib_errand errand = {
        .download = transfer(population, task->client, &population->download,
                             &population->downloads, task->model_bytes),
        .compute = nanoseconds(speed * work_of(population, task) * jitter),
        .upload = transfer(population, task->client, &population->upload, &population->uploads,
                           task->update_bytes),
        .vanishes_after = 1.0,
    };
    if (population->dropout > 0.0 &&
        trib_chance_unit(&population->dropouts, 2 * task->number) < population->dropout) {
        errand.vanishes_after = trib_chance_unit(&population->dropouts, 2 * task->number + 1);
    }
    return errand;
}
