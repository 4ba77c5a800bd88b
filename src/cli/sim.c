/* sim.c - trib sim: runs with a whole population of clients, in virtual time. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/data_part.h"
#include "cli/interrupt.h"
#include "cli/model_file.h"
#include "cli/native.h"
#include "cli/sim_faults.h"
#include "cli/sim_show.h"
#include "cli/spec_files.h"
#include "node/model.h"
#include "sim/fleet.h"
#include "sim/hands.h"
#include "sim/playback.h"
#include "sim/work_native.h"
#include "sim/work_pipe.h"
#include "wire/yaml.h"

#define FLEET_FILE_BYTES_MAX (1 << 20)
#define CLIENTS_USUAL 100
#define TINY_ELEMENTS 16 /* of the model where nothing is trained and the spec has none */

struct sim_options {
    struct trib_option_list specs;
    const char *fleet;
    struct trib_population_texts population;
    const char *data;
    const char *partition;
    uint64_t parts;
    const char *test;
    uint64_t hold_out;
    const char *codec;
    bool is_untrained;
    const char *init;
    const char *work_fds;
    const char *save;
    const char *order;
    uint64_t threads;
    const char *json;
    const char *plots;
    bool is_faulty;
    const char *seeds;
    bool is_tracing;
};

#define AT(member) offsetof(struct sim_options, member)

static const struct trib_option sim_table[] = {
    {"spec", TRIB_OPTION_LIST, AT(specs), .value = "SPEC", .is_positional = true,
     .is_required = true, .meaning = "YAML or JSON file of a run ('trib help spec')"},
#define X(member, option, how, initially, unsaid, means)       \
    {option,       TRIB_OPTION_TEXT,    AT(population.member), \
     .value = how, .otherwise = unsaid, .meaning = means},
    TRIB_POPULATION_FIELDS(X)
#undef X
        {"fleet", TRIB_OPTION_TEXT, AT(fleet), .value = "FILE", .otherwise = "none",
         .meaning = "YAML file with any of the options above, such as 'speed: 10s'"},
    {"data", TRIB_OPTION_TEXT, AT(data), .value = "PATH", .otherwise = "only with --no-train",
     .meaning = "folder with IDX files or train.csv, or a .csv; each also .gz"},
    {"partition", TRIB_OPTION_TEXT, AT(partition), .value = "HOW", .initial = "iid",
     .meaning = "how rows are dealt out: iid, shards[:PER_CLIENT], dirichlet:ALPHA, natural"},
    {"parts", TRIB_OPTION_INTEGER, AT(parts), .value = "N", .otherwise = "one for each client",
     .least = 1, .most = TRIB_POPULATION_MAX,
     .meaning = "shares that the rows are dealt into; client i has share i mod N"},
    {"test", TRIB_OPTION_TEXT, AT(test), .value = "PATH", .otherwise = "the test part of --data",
     .meaning = "data set whose test part versions are scored on, every evaluate.every"},
    {"hold-out", TRIB_OPTION_INTEGER, AT(hold_out), .value = "PERCENT", .initial = "0", .least = 0,
     .most = 99,
     .meaning = "of each client's rows that it does not train on and evaluates with; 0: on all"},
    {"codec", TRIB_OPTION_TEXT, AT(codec), .value = "HOW", .initial = "dense",
     .meaning = "how clients send updates: dense, bf16, f16, int8[:BLOCK], sparse:SHARE"},
    {"no-train", TRIB_OPTION_FLAG, AT(is_untrained),
     .meaning = "clients take their time and send zeros: the system without the learning"},
    {"init", TRIB_OPTION_TEXT, AT(init), .value = "FILE", .otherwise = "as the spec says",
     .meaning = "safetensors file that is version 0"},
    {"save", TRIB_OPTION_TEXT, AT(save), .value = "FILE", .otherwise = "none",
     .meaning = "write the last version into this safetensors file; takes one SPEC"},
    {"order", TRIB_OPTION_TEXT, AT(order), .value = "DIR", .otherwise = "as the clients above",
     .meaning =
         "updates arrive as in the recorded run of this name in a data directory ('trib help "
         "replay'); takes one SPEC, with --data"},
    {"work-fds", TRIB_OPTION_TEXT, AT(work_fds), .value = "IN,OUT", .otherwise = "none",
     .meaning = "for programs: clients train at the other end of these two descriptors"},
    {"threads", TRIB_OPTION_INTEGER, AT(threads), .value = "N", .otherwise = "one for each core",
     .least = 1, .most = TRIB_HANDS_MAX,
     .meaning = "train on so many; results do not depend on it"},
    {"json", TRIB_OPTION_TEXT, AT(json), .value = "FILE", .otherwise = "none",
     .meaning = "write a line for each version and one for each run; - is standard output"},
    {"plots", TRIB_OPTION_TEXT, AT(plots), .value = "DIR", .otherwise = "none",
     .meaning = "write SVG plots of accuracy and loss into this folder"},
    {"faults", TRIB_OPTION_FLAG, AT(is_faulty),
     .meaning = "instead: run the spec through seeds of crashes, failing disks, networks and "
                "clocks, and look after every promise"},
    {"seeds", TRIB_OPTION_TEXT, AT(seeds), .value = "FIRST:COUNT", .initial = "1:100",
     .meaning = "with --faults: which worlds"},
    {"trace", TRIB_OPTION_FLAG, AT(is_tracing), .meaning = "with --faults: tell every step"},
    {0},
};

/* --- what is simulated -------------------------------------------------------------------------- */

struct simulation {
    const struct trib_cli *cli;
    const struct sim_options *options;
    struct trib_population population;
    uint32_t threads;
    struct trib_packing packing;
    struct trib_dataset train, test;
    bool has_test;
    uint32_t *owners;
    uint32_t owner_count;
    int work_fds[2]; /* to read from, to write to */
    struct trib_sim_show show;
};

/* "speed: lognormal:30s,0.5" and its like fill what the command line has left open. */
static enum trib_status read_fleet_member(struct trib_population_texts *texts, const char *name,
                                          const json_t *value, struct trib_error *error) {
    static const struct {
        const char *name;
        size_t offset;
    } fields[] = {
#define X(member, option, how, initially, unsaid, means) \
    {option, offsetof(struct trib_population_texts, member)},
        TRIB_POPULATION_FIELDS(X)
#undef X
    };
    size_t nearest = 0, distance = SIZE_MAX;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        size_t found = trib_text_distance(name, fields[i].name);
        if (found < distance) {
            distance = found;
            nearest = i;
        }
    }
    if (distance > 0) {
        return trib_error_set(error, TRIB_EINVALID, "%.32s: unknown field; did you mean %s?", name,
                              fields[nearest].name);
    }
    const char **text = (const char **)((char *)texts + fields[nearest].offset);
    if (!json_is_string(value)) {
        return trib_error_set(error, TRIB_EINVALID, "%s: must be a text or a number", name);
    }
    if (*text == NULL) {
        *text = json_string_value(value);
    }
    return TRIB_OK;
}

/* Numbers become texts: one syntax, whichever way YAML types a value. */
static enum trib_status numbers_to_texts(json_t *document, struct trib_error *error) {
    const char *name;
    json_t *value;
    json_object_foreach(document, name, value) {
        char text[32];
        if (json_is_number(value)) {
            (void)snprintf(text, sizeof text, "%.15g", json_number_value(value));
            if (json_object_set_new(document, name, json_string(text)) != 0) {
                return trib_error_set(error, TRIB_EMEMORY, "out of memory");
            }
        }
    }
    return TRIB_OK;
}

static enum trib_status read_fleet_file(const char *path, json_t **document,
                                        struct trib_error *error) {
    char *bytes = malloc(FLEET_FILE_BYTES_MAX + 1);
    FILE *file = fopen(path, "re");
    enum trib_status status = TRIB_OK;
    if (bytes == NULL || file == NULL) {
        status = trib_error_set(error, bytes == NULL ? TRIB_EMEMORY : TRIB_ENOTFOUND, "%s",
                                bytes == NULL ? "out of memory" : "cannot be opened");
    } else {
        size_t count = fread(bytes, 1, FLEET_FILE_BYTES_MAX + 1, file);
        status = ferror(file) ? trib_error_set(error, TRIB_EIO, "cannot be read")
                              : trib_yaml_read(bytes, count, document, error);
    }
    if (file != NULL) {
        (void)fclose(file); /* only read */
    }
    free(bytes);
    if (status == TRIB_OK && !json_is_object(*document)) {
        status = trib_error_set(error, TRIB_EINVALID, "must have lines such as 'clients: 1000'");
    }
    return status;
}

static enum trib_status read_population(struct simulation *simulation, struct trib_error *error) {
    const struct sim_options *options = simulation->options;
    struct trib_population_texts texts = options->population;
    json_t *document = NULL;
    enum trib_status status = TRIB_OK;
    if (options->fleet != NULL) {
        status = read_fleet_file(options->fleet, &document, error);
        if (status == TRIB_OK) {
            status = numbers_to_texts(document, error);
        }
        const char *name;
        json_t *value;
        json_object_foreach(document, name, value) {
            status = status == TRIB_OK ? read_fleet_member(&texts, name, value, error) : status;
        }
        if (status != TRIB_OK) {
            (void)trib_error_prefix(error, status, "%s", options->fleet);
        }
    }
    if (status == TRIB_OK) {
        status =
            trib_population_parse(&simulation->population, simulation->cli->env, &texts, error);
    }
    json_decref(document);
    return status;
}

/* --- data --------------------------------------------------------------------------------------- */

static enum trib_status load_test(struct simulation *simulation, struct trib_error *error) {
    const struct sim_options *options = simulation->options;
    const struct trib_dataset_request request = {.part = TRIB_DATASET_TEST};
    const char *path = options->test != NULL ? options->test : options->data;
    enum trib_status status =
        trib_dataset_load(simulation->cli->env, path, &request, &simulation->test, error);
    simulation->has_test = status == TRIB_OK;
    return status;
}

/* Those that have rows in the training part. */
static uint64_t count_owners(const struct simulation *simulation) {
    const struct trib_dataset *train = &simulation->train;
    const struct trib_env *env = simulation->cli->env;
    bool *has_rows = trib_allocate(env, (size_t)train->owner_count + 1, sizeof *has_rows);
    uint64_t count = 0;
    for (size_t row = 0; has_rows != NULL && train->owners != NULL && row < train->row_count;
         row++) {
        count += !has_rows[train->owners[row]];
        has_rows[train->owners[row]] = true;
    }
    trib_release(env, has_rows, (size_t)train->owner_count + 1, sizeof *has_rows);
    return count;
}

static enum trib_status load_data(struct simulation *simulation, struct trib_error *error) {
    const struct sim_options *options = simulation->options;
    const struct trib_env *env = simulation->cli->env;
    struct trib_data_part share;
    enum trib_status status =
        trib_data_part_parse(NULL, options->partition, simulation->population.seed, &share, error);
    if (status == TRIB_OK) {
        status = trib_dataset_load(env, options->data, NULL, &simulation->train, error);
    }
    if (status == TRIB_OK) {
        status = load_test(simulation, error);
    }
    if (status != TRIB_OK) {
        return status;
    }
    const struct trib_dataset *train = &simulation->train;
    bool is_natural = share.partition.kind == TRIB_PARTITION_NATURAL;
    if (simulation->population.clients == 0) {
        uint64_t owners = is_natural ? count_owners(simulation) : 0;
        simulation->population.clients = owners > 0 ? owners : CLIENTS_USUAL;
    }
    uint64_t parts = options->parts > 0 ? options->parts : simulation->population.clients;
    if (parts > train->row_count) {
        return trib_error_set(error, TRIB_EINVALID,
                              "%" PRIu64 " clients share %zu rows: give --parts, at most %zu",
                              parts, train->row_count, train->row_count);
    }
    share.partition.client_count = simulation->owner_count = (uint32_t)parts;
    simulation->owners = trib_allocate(env, train->row_count, sizeof *simulation->owners);
    if (simulation->owners == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    return trib_data_part_owners(env, options->data, &share, train, simulation->owners, error);
}

/* --- one run ------------------------------------------------------------------------------------ */

struct one_run {
    struct trib_spec_file file;
    struct trib_spec *spec;
    struct trib_block *model;
    struct trib_work_native *native;
    struct trib_work_pipe *pipe;
    struct trib_layout *layout; /* of versions, for whoever trains */
    struct trib_block *last;    /* what --save wants */
};

/* A model for studies of the system alone. */
static enum trib_status make_tiny_model(const struct trib_env *env, struct trib_block **model,
                                        struct trib_error *error) {
    const struct trib_tensor tensor = {
        .name = "weight", .dtype = TRIB_F32, .rank = 1, .shape = {TINY_ELEMENTS}};
    struct trib_layout *layout;
    enum trib_status status = trib_layout_of_tensors(env, &tensor, 1, &layout, error);
    if (status != TRIB_OK) {
        return status;
    }
    *model = trib_safetensors_block(env, layout);
    trib_layout_free(layout);
    if (*model == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    trib_block_seal(*model);
    return TRIB_OK;
}

static enum trib_status import_model(const struct trib_env *env, const char *path,
                                     const struct trib_spec *spec, struct trib_block **model,
                                     struct trib_error *error) {
    struct trib_model_file file;
    struct trib_layout *layout = NULL;
    enum trib_status status = trib_model_file_open(env, path, &file, error);
    if (status == TRIB_OK) {
        status = trib_model_import(env, spec, &file.source, &layout, model, error);
        trib_model_file_close(&file);
        trib_layout_free(layout);
    }
    return status;
}

static enum trib_status make_model(const struct simulation *simulation, struct one_run *run,
                                   struct trib_error *error) {
    const struct trib_env *env = simulation->cli->env;
    if (run->file.model_path != NULL) {
        return import_model(env, run->file.model_path, run->spec, &run->model, error);
    }
    if (run->spec->model.init == TRIB_INIT_TRAINER) {
        return trib_native_create(NULL, env, run->spec, &run->model, error);
    }
    if (simulation->options->is_untrained) {
        return make_tiny_model(env, &run->model, error);
    }
    return trib_error_set(error, TRIB_EINVALID,
                          "model.init: must be a .safetensors file or {trainer, seed} here");
}

/* Which trainer the tensors of version 0 belong to. */
static enum trib_status infer_trainer(const struct trib_env *env, const struct trib_layout *layout,
                                      struct trib_trainer_spec *trainer, struct trib_error *error) {
    enum trib_status status = TRIB_OK;
    size_t count = 0;
    struct trib_client_tensor *tensors = trib_allocate(env, layout->tensor_count, sizeof *tensors);
    if (tensors == NULL) {
        status = trib_error_set(error, TRIB_EMEMORY, "out of memory");
    } else {
        for (size_t t = 0; t < layout->tensor_count; t++) {
            const struct trib_tensor *tensor = &layout->tensors[t];
            if (!tensor->is_companion) {
                tensors[count].name = tensor->name;
                tensors[count].rank = tensor->rank;
                memcpy(tensors[count++].shape, tensor->shape, sizeof tensor->shape);
            }
        }
        status = trib_native_infer(tensors, count, trainer, error);
        trib_release(env, tensors, layout->tensor_count, sizeof *tensors);
    }
    return status;
}

static enum trib_status make_native(const struct simulation *simulation, struct one_run *run,
                                    struct trib_error *error) {
    struct trib_trainer_spec trainer;
    enum trib_status status = infer_trainer(simulation->cli->env, run->layout, &trainer, error);
    if (status != TRIB_OK) {
        return status;
    }
    const struct trib_work_native_options options = {
        .trainer = &trainer,
        .layout = run->layout,
        .settings = run->spec->train,
        .train = &simulation->train,
        .owners = simulation->owners,
        .owner_count = simulation->owner_count,
        .hold_out = (uint32_t)simulation->options->hold_out,
        .test = simulation->has_test ? &simulation->test : NULL,
        .seed = simulation->population.seed,
        .hands = simulation->threads,
    };
    return trib_work_native_new(simulation->cli->env, &options, &run->native, error);
}

static enum trib_status make_pipe(const struct simulation *simulation, struct one_run *run,
                                  struct trib_error *error) {
    const struct trib_env *env = simulation->cli->env;
    const struct trib_work_pipe_options options = {
        .input = simulation->work_fds[0],
        .output = simulation->work_fds[1],
        .layout = run->layout,
        .settings = run->spec->train,
    };
    return trib_work_pipe_new(env, &options, &run->pipe, error);
}

static enum trib_status prepare(const struct simulation *simulation, const char *path,
                                struct one_run *run, struct trib_error *error) {
    const struct trib_env *env = simulation->cli->env;
    const struct trib_spec_file_request request = {
        .path = path, .model = simulation->options->init, .data = simulation->options->data};
    enum trib_status status = trib_spec_file_read(env, &request, &run->file, error);
    if (status != TRIB_OK) {
        return status;
    }
    status = trib_spec_parse(env, run->file.document, &run->spec, error);
    if (status == TRIB_OK) {
        status = make_model(simulation, run, error);
    }
    if (status == TRIB_OK) {
        status = trib_model_read_layout(env, run->spec, run->model, &run->layout, error);
    }
    if (status == TRIB_OK && simulation->options->work_fds != NULL) {
        status = make_pipe(simulation, run, error);
    } else if (status == TRIB_OK && !simulation->options->is_untrained) {
        status = make_native(simulation, run, error);
    }
    return status == TRIB_OK ? TRIB_OK : trib_error_prefix(error, status, "%s", path);
}

static void forget(struct one_run *run) {
    trib_block_unref(run->last);
    trib_work_pipe_free(run->pipe);
    trib_work_native_free(run->native);
    trib_layout_free(run->layout); /* which both of them have borrowed */
    trib_block_unref(run->model);
    trib_spec_free(run->spec);
    trib_spec_file_deinit(&run->file);
}

static struct trib_work work_of(const struct one_run *run) {
    return run->pipe != NULL     ? trib_work_pipe_table(run->pipe)
           : run->native != NULL ? trib_work_native_table(run->native)
                                 : (struct trib_work){0};
}

/* Whole or not at all. */
static enum trib_exit save(const struct trib_cli *cli, const char *path,
                           const struct trib_block *version) {
    struct trib_text draft;
    trib_text_init(&draft, cli->env);
    trib_text_format(&draft, "%s.part", path);
    FILE *file = draft.is_failed ? NULL : fopen(draft.bytes, "wbe");
    bool is_written =
        file != NULL && fwrite(version->bytes, 1, version->byte_count, file) == version->byte_count;
    is_written = file != NULL && fclose(file) == 0 && is_written;
    enum trib_exit exit = TRIB_EXIT_OK;
    if (!is_written || rename(draft.bytes, path) != 0) {
        exit = trib_cli_fail(cli, TRIB_EXIT_FAILED, "%s: cannot be written", path);
        if (file != NULL) {
            (void)unlink(draft.bytes); /* what cannot be removed does no harm */
        }
    }
    trib_text_deinit(&draft);
    return exit;
}

/* Who does what and when is what happened in a recorded run; the training is not. */
static enum trib_status play_order(struct simulation *simulation,
                                   const struct trib_fleet_options *options,
                                   struct trib_fleet_report *report, struct trib_error *error) {
    struct trib_files *files;
    struct trib_playback_report played = {0};
    const struct trib_env *env = simulation->cli->env;
    enum trib_status status = trib_files_open(env, simulation->options->order, true, &files, error);
    if (status != TRIB_OK) {
        return status;
    }
    const struct trib_playback_options playback = {
        .files = files,
        .run = options->spec->name,
        .work = options->work,
        .spec = options->spec,
        .model = options->model,
        .context = options->context,
        .point = options->point,
        .progress = options->progress,
        .last = options->last,
    };
    status = trib_playback_run(env, &playback, &played, error);
    *report = played.fleet;
    trib_files_close(files);
    return status;
}

static enum trib_exit simulate(struct simulation *simulation, const char *path) {
    struct one_run run = {0};
    struct trib_error error = {0};
    struct trib_fleet_report report;
    enum trib_status status = prepare(simulation, path, &run, &error);
    if (status != TRIB_OK) {
        forget(&run);
        return trib_cli_fail(simulation->cli,
                             status == TRIB_EMEMORY ? TRIB_EXIT_FAILED : TRIB_EXIT_USAGE, "%s",
                             error.text);
    }
    const struct trib_work work = work_of(&run);
    const char *saved = simulation->options->save;
    const struct trib_fleet_options options = {
        .spec = run.spec,
        .population = &simulation->population,
        .model = run.model,
        .work = &work,
        .threads = simulation->threads,
        .packing = &simulation->packing,
        .context = &simulation->show,
        .point = trib_sim_show_point,
        .progress = trib_sim_show_progress,
        .last = saved != NULL ? &run.last : NULL,
    };
    enum trib_exit exit = TRIB_EXIT_OK;
    trib_sim_show_begin(&simulation->show, run.spec);
    status = simulation->options->order != NULL
                 ? play_order(simulation, &options, &report, &error)
                 : trib_fleet_run(simulation->cli->env, &options, &report, &error);
    if (status != TRIB_OK) {
        trib_sim_show_clear(&simulation->show);
        exit = trib_cli_fail(simulation->cli,
                             error.status == TRIB_EINVALID ? TRIB_EXIT_USAGE : TRIB_EXIT_FAILED,
                             "%s: %s", path, error.text);
    } else {
        trib_sim_show_end(&simulation->show, &report);
        exit = saved != NULL ? save(simulation->cli, saved, run.last) : TRIB_EXIT_OK;
    }
    forget(&run);
    return exit == TRIB_EXIT_OK && trib_is_interrupted() ? TRIB_EXIT_INTERRUPTED : exit;
}

/* --- the command -------------------------------------------------------------------------------- */

static enum trib_exit simulate_all(struct simulation *simulation) {
    struct trib_error error = {0};
    enum trib_status status = read_population(simulation, &error);
    if (status == TRIB_OK &&
        trib_packing_parse(simulation->options->codec, &simulation->packing, &error) != TRIB_OK) {
        status = trib_error_prefix(&error, TRIB_EINVALID, "codec");
    }
    if (status == TRIB_OK && simulation->options->work_fds != NULL &&
        simulation->packing.kind != TRIB_PACKING_DENSE) {
        status = trib_error_set(&error, TRIB_EINVALID,
                                "codec: must be dense, clients of --work-fds send what they like");
    }
    if (status == TRIB_OK && simulation->options->work_fds != NULL &&
        simulation->population.per == TRIB_PER_EXAMPLE) {
        status = trib_error_set(&error, TRIB_EINVALID,
                                "per: must be task or step, nobody knows beforehand how many "
                                "examples clients of --work-fds have");
    }
    if (status == TRIB_OK && simulation->options->data != NULL &&
        !simulation->options->is_untrained) {
        status = load_data(simulation, &error);
    } else if (simulation->population.clients == 0) {
        simulation->population.clients = CLIENTS_USUAL;
    }
    if (status != TRIB_OK) {
        return trib_cli_fail(simulation->cli,
                             status == TRIB_EMEMORY ? TRIB_EXIT_FAILED : TRIB_EXIT_USAGE, "%s",
                             error.text);
    }
    enum trib_exit exit = TRIB_EXIT_OK;
    for (size_t i = 0; exit == TRIB_EXIT_OK && i < simulation->options->specs.count; i++) {
        exit = simulate(simulation, simulation->options->specs.items[i]);
    }
    return exit;
}

/* "5,6" */
static bool read_descriptors(const char *text, int descriptors[2]) {
    int read_bytes = 0;
    return sscanf(text, "%9d,%9d%n", &descriptors[0], &descriptors[1], &read_bytes) == 2 &&
           text[read_bytes] == '\0' && descriptors[0] >= 0 && descriptors[1] >= 0;
}

/* NULL: the options fit together. */
static const char *find_conflict(const struct sim_options *options) {
    bool has_work = options->data != NULL || options->is_untrained;
    if (options->work_fds == NULL && !has_work) {
        return "give --data, or --no-train";
    }
    if (options->work_fds != NULL && has_work) {
        return "--work-fds leaves no room for --data and --no-train";
    }
    bool is_for_one = options->work_fds != NULL || options->save != NULL || options->order != NULL;
    if (options->specs.count > 1 && is_for_one) {
        return "--work-fds, --save and --order take one spec";
    }
    if (options->order != NULL && (options->data == NULL || options->is_untrained)) {
        return "--order needs --data: its clients train again";
    }
    return NULL;
}

static enum trib_exit sim(const struct trib_cli *cli, const void *given) {
    const struct sim_options *options = given;
    if (options->is_faulty) {
        struct trib_sim_faults faults = {options->specs.items[0], options->seeds,
                                         options->is_tracing};
        return options->specs.count == 1
                   ? trib_sim_faults_run(cli, &faults)
                   : trib_cli_fail(cli, TRIB_EXIT_USAGE, "--faults takes one spec");
    }
    const char *conflict = find_conflict(options);
    if (conflict != NULL) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "%s", conflict);
    }
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct simulation simulation = {.cli = cli, .options = options};
    if (options->work_fds != NULL && !read_descriptors(options->work_fds, simulation.work_fds)) {
        return trib_cli_fail(cli, TRIB_EXIT_USAGE, "--work-fds: %s is not two numbers such as 3,4",
                             options->work_fds);
    }
    simulation.threads = (uint32_t)options->threads;
    if (simulation.threads == 0) {
        simulation.threads = cores < 1                ? 1
                             : cores > TRIB_HANDS_MAX ? TRIB_HANDS_MAX
                                                      : (uint32_t)cores;
    }
    if (options->is_untrained || options->work_fds != NULL) {
        simulation.threads = 1; /* there is nothing to share out, or one to ask */
    }
    enum trib_exit exit = trib_sim_show_open(&simulation.show, cli, options->json);
    if (exit == TRIB_EXIT_OK) {
        trib_interrupt_catch(trib_sim_show_interrupted);
        exit = simulate_all(&simulation);
        enum trib_exit closed = trib_sim_show_close(&simulation.show, options->plots);
        exit = exit == TRIB_EXIT_OK ? closed : exit;
    }
    trib_release(cli->env, simulation.owners, simulation.train.row_count,
                 sizeof *simulation.owners);
    trib_dataset_deinit(&simulation.test);
    trib_dataset_deinit(&simulation.train);
    trib_population_deinit(&simulation.population);
    return exit;
}

const struct trib_command trib_command_sim = {
    .name = "sim",
    .group = "Simulation",
    .summary = "Try a spec with a population of clients in virtual time",
    .details =
        "The server is the one that 'trib serve' runs, the clients train the native models on\n"
        "parts of a data set; only time is not real. Several specs are run one after the other\n"
        "and shown side by side. docs/simulation.md has examples.\n"
        "\n"
        "HOW (a distribution) is A alone, uniform:A,B, exponential:A, halfnormal:A,\n"
        "lognormal:MEDIAN,SIGMA, pareto:LEAST,SHAPE or trace:FILE, with A a duration such as 30s,\n"
        "bytes such as 2MB, or a number; groups of devices are '70% 5s + 30% pareto:20s,2'.\n"
        "\n"
        "With --faults nobody trains: a few clients send random updates of a small model to the\n"
        "whole daemon while power fails, disks fail, fill up and rot, memory runs out and\n"
        "connections break. Every version is computed again. A world that breaks a promise prints\n"
        "the command that shows it again, step by step.\n",
    .options = sim_table,
    .options_bytes = sizeof(struct sim_options),
    .run = sim,
};
