/* pupils.c - clients of a recorded run that train again what they trained then. */
#include "sim/pupils.h"

#include <string.h>

#include "base/name.h"

#define TASKS_KEPT 2

struct trib_pupil {
    char name[TRIB_NAME_BYTES];
    struct trib_pupil_task tasks[TASKS_KEPT]; /* the newest first */
};

void trib_pupils_init(struct trib_pupils *pupils, const struct trib_env *env,
                      const struct trib_work *work) {
    *pupils = (struct trib_pupils){.env = env, .work = work};
    trib_map_init(&pupils->names, env);
    trib_map_init(&pupils->asking, env);
}

void trib_pupils_deinit(struct trib_pupils *pupils) {
    if (pupils->env == NULL) {
        return;
    }
    for (size_t i = 0; i < pupils->count; i++) {
        for (size_t t = 0; t < TASKS_KEPT; t++) {
            trib_block_unref(pupils->items[i].tasks[t].base);
        }
    }
    for (size_t i = 0; i < TRIB_PUPILS_BASES; i++) {
        trib_block_unref(pupils->bases[i].base);
    }
    trib_release(pupils->env, pupils->items, pupils->capacity, sizeof *pupils->items);
    trib_release(pupils->env, pupils->trained, pupils->element_count, sizeof *pupils->trained);
    trib_layout_free(pupils->layout);
    trib_map_deinit(&pupils->names);
    trib_map_deinit(&pupils->asking);
    *pupils = (struct trib_pupils){0};
}

/* --- tasks -------------------------------------------------------------------------------------- */

static bool find(const struct trib_pupils *pupils, const char *client, uint64_t *index) {
    return trib_map_get(&pupils->names, client, strlen(client), index);
}

static bool add(struct trib_pupils *pupils, const char *client, uint64_t *index) {
    if (pupils->count == pupils->capacity) {
        size_t capacity = pupils->capacity == 0 ? 16 : 2 * pupils->capacity;
        struct trib_pupil *items =
            trib_regrow(pupils->env, pupils->items, pupils->capacity, capacity, sizeof *items);
        if (items == NULL) {
            return false;
        }
        pupils->items = items;
        pupils->capacity = capacity;
    }
    *index = pupils->count;
    if (!trib_map_put(&pupils->names, client, strlen(client), *index)) {
        return false;
    }
    struct trib_pupil *pupil = &pupils->items[pupils->count++];
    (void)strncpy(pupil->name, client, sizeof pupil->name - 1);
    return true;
}

bool trib_pupils_ask(struct trib_pupils *pupils, const char *client, trib_request request) {
    uint64_t index;
    return (find(pupils, client, &index) || add(pupils, client, &index)) &&
           trib_map_put(&pupils->asking, &request, sizeof request, index);
}

void trib_pupils_task(struct trib_pupils *pupils, trib_request request,
                      const struct trib_task *task, struct trib_block *version) {
    uint64_t index;
    if (!trib_map_get(&pupils->asking, &request, sizeof request, &index)) {
        return;
    }
    (void)trib_map_remove(&pupils->asking, &request, sizeof request);
    struct trib_pupil_task *tasks = pupils->items[index].tasks;
    if (task->kind != TRIB_TASK_TRAIN) {
        return;
    }
    bool is_again = tasks[0].base != NULL && tasks[0].version == task->version;
    size_t last = is_again ? 0 : TASKS_KEPT - 1;
    trib_block_unref(tasks[last].base);
    memmove(tasks + 1, tasks, last * sizeof *tasks);
    tasks[0] = (struct trib_pupil_task){.version = task->version,
                                        .base = trib_block_ref(version),
                                        .site = task->site,
                                        .steps = task->steps,
                                        .is_recorded = true};
}

/* --- training ----------------------------------------------------------------------------------- */

void trib_pupils_remember(struct trib_pupils *pupils, trib_version version,
                          struct trib_block *base) {
    struct trib_pupil_task *place = &pupils->bases[pupils->base_count++ % TRIB_PUPILS_BASES];
    trib_block_unref(place->base);
    *place = (struct trib_pupil_task){.version = version, .base = trib_block_ref(base)};
}

static const struct trib_pupil_task *find_version(const struct trib_pupil_task *tasks, size_t count,
                                                  trib_version version) {
    for (size_t i = 0; i < count; i++) {
        if (tasks[i].base != NULL && tasks[i].version == version) {
            return &tasks[i];
        }
    }
    return NULL;
}

const struct trib_pupil_task *trib_pupils_find(const struct trib_pupils *pupils, const char *client,
                                               trib_version version) {
    uint64_t index;
    const struct trib_pupil_task *task = NULL;
    if (find(pupils, client, &index)) {
        task = find_version(pupils->items[index].tasks, TASKS_KEPT, version);
    }
    return task != NULL ? task : find_version(pupils->bases, TRIB_PUPILS_BASES, version);
}

/* "c17" -> 17 */
static bool read_number(const char *client, uint64_t *number) {
    char again[TRIB_NAME_BYTES];
    *number = 0;
    for (const char *digit = client + 1; *client == 'c' && *digit >= '0' && *digit <= '9';
         digit++) {
        *number = 10 * *number + (uint64_t)(*digit - '0');
    }
    trib_work_client_name(*number, again);
    return strcmp(client, again) == 0;
}

static enum trib_status prepare(struct trib_pupils *pupils, const struct trib_layout *model,
                                struct trib_error *error) {
    if (pupils->layout != NULL) {
        return TRIB_OK;
    }
    pupils->trained =
        trib_allocate(pupils->env, (size_t)model->element_count, sizeof *pupils->trained);
    if (pupils->trained == NULL) {
        return TRIB_EMEMORY;
    }
    pupils->element_count = (size_t)model->element_count;
    return trib_work_update_layout(pupils->env, model, &pupils->layout, error);
}

enum trib_status trib_pupils_train(struct trib_pupils *pupils, const struct trib_layout *model,
                                   const char *client, const struct trib_pupil_task *task,
                                   const char *settings, uint32_t steps, struct trib_block **body,
                                   struct trib_work_trained *trained, struct trib_error *error) {
    struct trib_work_task again = {
        .name = client, .version = task->version, .steps = steps, .settings = settings};
    const float *base = (const float *)(task->base->bytes + model->data_offset);
    *body = NULL;
    *trained = (struct trib_work_trained){0};
    if (!read_number(client, &again.client)) {
        return trib_error_set(error, TRIB_EINVALID,
                              "which data %s had is not known: only c0, c1, ... train again",
                              client);
    }
    enum trib_status status = prepare(pupils, model, error);
    if (status == TRIB_OK) {
        status = pupils->work->train(pupils->work->context, 0, &again, base, pupils->trained,
                                     trained, error);
    }
    if (status != TRIB_OK) {
        return status;
    }
    *body =
        trained->body != NULL ? trained->body : trib_safetensors_block(pupils->env, pupils->layout);
    if (*body == NULL) {
        return TRIB_EMEMORY;
    }
    if (trained->body == NULL) {
        float *delta = (float *)((*body)->bytes + pupils->layout->data_offset);
        trib_work_subtract(model, pupils->layout, pupils->trained, base, delta);
        trib_block_seal(*body);
    }
    return TRIB_OK;
}
