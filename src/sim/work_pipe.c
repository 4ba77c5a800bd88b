/* work_pipe.c - simulated clients that train in another program, at the other end of two pipes. */
#include "sim/work_pipe.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tensor/safetensors.h"
#include "wire/documents.h"

#define LINE_BYTES_MAX 65536
#define HEAD_ROOM (1 << 20) /* of an update, beyond twice the values of a model: as on the daemon */

struct trib_work_pipe {
    const struct trib_env *env;
    struct trib_work_pipe_options options;
    json_t *settings; /* with the names of frozen tensors */
    FILE *input, *output;
    struct trib_block *head; /* of every version */
    bool evaluates, combines;
    char line[LINE_BYTES_MAX];
};

struct answer {
    uint64_t examples, body_bytes;
    double loss, accuracy; /* NAN: not told */
};

static enum trib_status gone(struct trib_error *error) {
    return trib_error_set(error, TRIB_ECLOSED, "the program that trains is gone");
}

/* --- questions ---------------------------------------------------------------------------------- */

/* Takes the question; NULL: there was no memory for it. What goes with it is still to be sent. */
static enum trib_status say(struct trib_work_pipe *pipe, json_t *question,
                            struct trib_error *error) {
    char *line = question == NULL ? NULL : json_dumps(question, JSON_COMPACT);
    json_decref(question);
    if (line == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    bool is_sent = fprintf(pipe->output, "%s\n", line) > 0;
    free(line);
    return is_sent ? TRIB_OK : gone(error);
}

/* A question about a version. As say(). */
static enum trib_status ask(struct trib_work_pipe *pipe, json_t *question, const float *values,
                            struct trib_error *error) {
    const struct trib_layout *layout = pipe->options.layout;
    json_t *model_bytes = json_integer((json_int_t)(layout->data_offset + layout->data_bytes));
    if (question != NULL && json_object_set_new(question, "model_bytes", model_bytes) != 0) {
        json_decref(question);
        question = NULL;
    }
    enum trib_status status = say(pipe, question, error);
    if (status != TRIB_OK) {
        return status;
    }
    bool is_sent = fwrite(pipe->head->bytes, layout->data_offset, 1, pipe->output) == 1 &&
                   fwrite(values, 1, layout->data_bytes, pipe->output) == layout->data_bytes &&
                   fflush(pipe->output) == 0;
    return is_sent ? TRIB_OK : gone(error);
}

/* --- answers ------------------------------------------------------------------------------------ */

/* *document is the caller's; an error that was told is one. */
static enum trib_status read_line(struct trib_work_pipe *pipe, json_t **document,
                                  struct trib_error *error) {
    *document = NULL;
    if (fgets(pipe->line, sizeof pipe->line, pipe->input) == NULL) {
        return gone(error);
    }
    size_t byte_count = strlen(pipe->line);
    if (byte_count == 0 || pipe->line[byte_count - 1] != '\n') {
        return feof(pipe->input)
                   ? gone(error)
                   : trib_error_set(error, TRIB_ECLOSED, "the answer is no line of up to %d bytes",
                                    LINE_BYTES_MAX);
    }
    if (trib_document_read(pipe->line, byte_count, document, error) != TRIB_OK) {
        (void)trib_error_prefix(error, TRIB_ECLOSED, "the answer is no JSON object");
        return TRIB_ECLOSED;
    }
    const char *words = json_string_value(json_object_get(*document, "error"));
    if (words != NULL) {
        (void)trib_error_set(error, TRIB_ECLOSED, "%s", words);
        json_decref(*document);
        *document = NULL;
        return TRIB_ECLOSED;
    }
    return TRIB_OK;
}

/* A whole number within 0..most; an absent one is `otherwise`. */
static bool read_whole(const json_t *document, const char *name, uint64_t otherwise, uint64_t most,
                       uint64_t *value) {
    const json_t *given = json_object_get(document, name);
    json_int_t number = json_integer_value(given);
    *value = given == NULL ? otherwise : (uint64_t)number;
    return given == NULL || (json_is_integer(given) && number >= 0 && (uint64_t)number <= most);
}

static double read_metric(const json_t *document, const char *name) {
    const json_t *value = json_object_get(json_object_get(document, "metrics"), name);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static enum trib_status read_body_bytes(const struct trib_work_pipe *pipe, const json_t *document,
                                        uint64_t *body_bytes, struct trib_error *error) {
    uint64_t body_bytes_max = 2 * pipe->options.layout->data_bytes + HEAD_ROOM;
    return read_whole(document, "bytes", 0, body_bytes_max, body_bytes)
               ? TRIB_OK
               : trib_error_set(error, TRIB_ECLOSED,
                                "the answer's bytes must be a whole number up to %" PRIu64,
                                body_bytes_max);
}

static enum trib_status read_answer(struct trib_work_pipe *pipe, struct answer *answer,
                                    struct trib_error *error) {
    json_t *document;
    enum trib_status status = read_line(pipe, &document, error);
    if (status != TRIB_OK) {
        return status;
    }
    if (!read_whole(document, "examples", 0, TRIB_WHOLE_MAX, &answer->examples) ||
        answer->examples == 0) {
        status = trib_error_set(error, TRIB_ECLOSED,
                                "the answer's examples must be a whole number from 1 to 2^53");
    } else {
        status = read_body_bytes(pipe, document, &answer->body_bytes, error);
    }
    answer->loss = read_metric(document, "loss");
    answer->accuracy = read_metric(document, "accuracy");
    json_decref(document);
    return status;
}

static enum trib_status read_body(struct trib_work_pipe *pipe, uint64_t byte_count,
                                  struct trib_block **body, struct trib_error *error) {
    struct trib_block *made = trib_block_new(pipe->env, (size_t)byte_count);
    *body = NULL;
    if (made == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    if (fread(made->bytes, 1, made->byte_count, pipe->input) != made->byte_count) {
        trib_block_unref(made);
        return gone(error);
    }
    trib_block_seal(made);
    *body = made;
    return TRIB_OK;
}

/* --- work --------------------------------------------------------------------------------------- */

/* NULL: no memory. */
static json_t *train_question(const struct trib_work_pipe *pipe,
                              const struct trib_work_task *task) {
    json_t *settings = json_copy(pipe->settings);
    json_t *of_site = task->settings == NULL ? json_object() : json_loads(task->settings, 0, NULL);
    if (json_object_update(settings, of_site) != 0) {
        json_decref(of_site);
        json_decref(settings);
        return NULL;
    }
    json_decref(of_site);
    if (task->steps > 0 && json_object_set_new(settings, "steps", json_integer(task->steps)) != 0) {
        json_decref(settings);
        return NULL;
    }
    return json_pack("{s:s, s:I, s:s, s:I, s:o}", "kind", "train", "client",
                     (json_int_t)task->client, "name", task->name, "version",
                     (json_int_t)task->version, "settings", settings);
}

static enum trib_status train(void *context, uint32_t hand, const struct trib_work_task *task,
                              const float *base, float *trained, struct trib_work_trained *result,
                              struct trib_error *error) {
    struct trib_work_pipe *pipe = context;
    struct answer answer;
    (void)hand, (void)trained; /* the answer is the update itself */
    enum trib_status status = ask(pipe, train_question(pipe, task), base, error);
    if (status == TRIB_OK) {
        status = read_answer(pipe, &answer, error);
    }
    if (status == TRIB_OK) {
        *result = (struct trib_work_trained){.examples = answer.examples, .loss = answer.loss};
        status = read_body(pipe, answer.body_bytes, &result->body, error);
    }
    return status;
}

static enum trib_status evaluate(void *context, uint32_t hand, uint32_t part,
                                 const float *parameters, struct trib_work_score *score,
                                 struct trib_error *error) {
    struct trib_work_pipe *pipe = context;
    struct answer answer;
    (void)hand, (void)part; /* there is one of each */
    enum trib_status status = ask(pipe, json_pack("{s:s}", "kind", "evaluate"), parameters, error);
    if (status == TRIB_OK) {
        status = read_answer(pipe, &answer, error);
    }
    if (status == TRIB_OK && answer.body_bytes > 0) {
        status = trib_error_set(error, TRIB_ECLOSED, "an evaluation is answered without a body");
    }
    if (status == TRIB_OK) {
        *score = (struct trib_work_score){
            .examples = answer.examples,
            .correct = answer.accuracy * (double)answer.examples,
            .loss = answer.loss * (double)answer.examples,
        };
    }
    return status;
}

/* NULL: no memory. */
static json_t *combine_question(trib_version version, const struct trib_work_offered *updates,
                                size_t update_count) {
    json_t *rows = json_array();
    for (size_t i = 0; i < update_count; i++) {
        json_t *row =
            json_pack("{s:s, s:I, s:I, s:I}", "client", updates[i].client, "weight",
                      (json_int_t)updates[i].weight, "examples", (json_int_t)updates[i].examples,
                      "bytes", (json_int_t)updates[i].body->byte_count);
        if (json_array_append_new(rows, row) != 0) {
            json_decref(rows);
            return NULL;
        }
    }
    return json_pack("{s:s, s:I, s:o}", "kind", "combine", "version", (json_int_t)version,
                     "updates", rows);
}

static enum trib_status combine(void *context, trib_version version,
                                const struct trib_work_offered *updates, size_t update_count,
                                struct trib_block **delta, struct trib_error *error) {
    struct trib_work_pipe *pipe = context;
    uint64_t body_bytes = 0;
    json_t *document;
    enum trib_status status = say(pipe, combine_question(version, updates, update_count), error);
    for (size_t i = 0; status == TRIB_OK && i < update_count; i++) {
        const struct trib_block *body = updates[i].body;
        status =
            fwrite(body->bytes, body->byte_count, 1, pipe->output) == 1 ? TRIB_OK : gone(error);
    }
    if (status == TRIB_OK && fflush(pipe->output) != 0) {
        status = gone(error);
    }
    if (status == TRIB_OK) {
        status = read_line(pipe, &document, error);
    }
    if (status == TRIB_OK) {
        status = read_body_bytes(pipe, document, &body_bytes, error);
        json_decref(document);
    }
    return status == TRIB_OK ? read_body(pipe, body_bytes, delta, error) : status;
}

/* --- life --------------------------------------------------------------------------------------- */

/* As the daemon's tasks have them: clients do not know roles. NULL: no memory, or no object. */
static json_t *settings_of(const struct trib_work_pipe_options *options) {
    json_t *settings = json_loads(options->settings, 0, NULL);
    json_t *frozen = json_array();
    int failures = settings == NULL || frozen == NULL;
    for (size_t t = 0; t < options->layout->tensor_count; t++) {
        const struct trib_tensor *tensor = &options->layout->tensors[t];
        if (tensor->role == TRIB_ROLE_FREEZE) {
            failures |= json_array_append_new(frozen, json_string(tensor->name));
        }
    }
    if (json_array_size(frozen) > 0) {
        failures |= json_object_set(settings, "frozen", frozen);
    }
    json_decref(frozen);
    if (failures != 0) {
        json_decref(settings);
        return NULL;
    }
    return settings;
}

static enum trib_status open_stream(int descriptor, const char *mode, FILE **stream,
                                    struct trib_error *error) {
    *stream = fdopen(descriptor, mode);
    return *stream != NULL ? TRIB_OK
                           : trib_error_set(error, TRIB_EINVALID, "descriptor %d: %s", descriptor,
                                            strerror(errno));
}

static enum trib_status greet(struct trib_work_pipe *pipe, struct trib_error *error) {
    json_t *document;
    enum trib_status status = read_line(pipe, &document, error);
    if (status != TRIB_OK) {
        return status;
    }
    const json_t *evaluates = json_object_get(document, "evaluates");
    const json_t *combines = json_object_get(document, "combines");
    pipe->evaluates = json_is_true(evaluates);
    pipe->combines = json_is_true(combines);
    if (!json_is_boolean(evaluates) || (combines != NULL && !json_is_boolean(combines))) {
        status = trib_error_set(error, TRIB_ECLOSED,
                                "the first line must say evaluates, true or false, and may say "
                                "combines");
    }
    json_decref(document);
    return status;
}

static enum trib_status make(struct trib_work_pipe *pipe, struct trib_error *error) {
    const struct trib_work_pipe_options *options = &pipe->options;
    enum trib_status status = open_stream(options->input, "rb", &pipe->input, error);
    if (status == TRIB_OK) {
        status = open_stream(options->output, "wb", &pipe->output, error);
    }
    if (status != TRIB_OK) {
        return status;
    }
    pipe->settings = settings_of(options);
    pipe->head = trib_block_new(pipe->env, options->layout->data_offset);
    if (pipe->settings == NULL || pipe->head == NULL) {
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    trib_safetensors_write_head(options->layout, pipe->head->bytes, pipe->head->byte_count);
    signal(SIGPIPE, SIG_IGN);
    return greet(pipe, error);
}

/* Nothing is left to write: every question was flushed. */
static void close_either(FILE *stream, int descriptor) {
    if (stream != NULL) {
        (void)fclose(stream);
    } else {
        (void)close(descriptor); /* it may be none: that is why there is no stream */
    }
}

enum trib_status trib_work_pipe_new(const struct trib_env *env,
                                    const struct trib_work_pipe_options *options,
                                    struct trib_work_pipe **pipe, struct trib_error *error) {
    *pipe = NULL;
    struct trib_work_pipe *made = trib_allocate(env, 1, sizeof *made);
    if (made == NULL) {
        close_either(NULL, options->input);
        close_either(NULL, options->output);
        return trib_error_set(error, TRIB_EMEMORY, "out of memory");
    }
    made->env = env;
    made->options = *options;
    enum trib_status status = make(made, error);
    if (status != TRIB_OK) {
        trib_work_pipe_free(made);
        return status;
    }
    *pipe = made;
    return TRIB_OK;
}

void trib_work_pipe_free(struct trib_work_pipe *pipe) {
    if (pipe == NULL) {
        return;
    }
    close_either(pipe->input, pipe->options.input);
    close_either(pipe->output, pipe->options.output);
    trib_block_unref(pipe->head);
    json_decref(pipe->settings);
    trib_release(pipe->env, pipe, 1, sizeof *pipe);
}

struct trib_work trib_work_pipe_table(struct trib_work_pipe *pipe) {
    return (struct trib_work){
        .context = pipe,
        .train = train,
        .evaluate = pipe->evaluates ? evaluate : NULL,
        .evaluate_parts = pipe->evaluates ? 1 : 0,
        .combine = pipe->combines ? combine : NULL,
    };
}
