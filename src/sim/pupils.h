/* pupils.h - clients of a recorded run that train again what they trained then.
 *
 * Client i of whoever trains (work.h) is the one that was called c<i>, as in a fleet. It is given the
 * tasks that the heart gives; when its recorded update comes it trains anew, from the same version.
 * Two tasks of each client are remembered: whoever was given another one may still answer the one
 * before.
 *
 * Of tasks given in the moments before a kill no tape tells. They were of the version that the next
 * start found, or of the one before it; those are remembered, and the number of local steps is not
 * known. */
#ifndef TRIB_SIM_PUPILS_H
#define TRIB_SIM_PUPILS_H

#include "base/map.h"
#include "sim/work.h"
#include "tensor/safetensors.h"

#define TRIB_PUPILS_BASES 16 /* of the last eight starts */

struct trib_pupil_task {
    trib_version version;
    struct trib_block *base; /* the version; NULL: there is no task */
    uint32_t site;           /* as of trib_task; so is */
    uint32_t steps;          /* this one */
    bool is_recorded;        /* false: these two are not known */
};

struct trib_pupils {
    const struct trib_env *env;                      /* private */
    const struct trib_work *work;                    /* private */
    struct trib_map names;                           /* private: client -> index of items */
    struct trib_map asking;                          /* private: request -> index of items */
    struct trib_pupil *items;                        /* private: [capacity] */
    size_t count, capacity;                          /* count: read-only */
    struct trib_pupil_task bases[TRIB_PUPILS_BASES]; /* private: ring */
    size_t base_count;                               /* private: so far */
    float *trained;             /* private: scratch, as many as a version has */
    size_t element_count;       /* private */
    struct trib_layout *layout; /* private: of updates */
};

void trib_pupils_init(struct trib_pupils *pupils, const struct trib_env *env,
                      const struct trib_work *work);
void trib_pupils_deinit(struct trib_pupils *pupils); /* all-zero is safe */

/* The run was opened again when this version was the newest or the one before; keeps a reference. */
void trib_pupils_remember(struct trib_pupils *pupils, trib_version version,
                          struct trib_block *base);
/* This client waits for the answer to this request. False: no memory. */
bool trib_pupils_ask(struct trib_pupils *pupils, const char *client, trib_request request);
/* The answer: a task to train `version` (a reference is kept). Nothing for other requests. */
void trib_pupils_task(struct trib_pupils *pupils, trib_request request,
                      const struct trib_task *task, struct trib_block *version);
/* What this client was asked for when it was asked to train this version; NULL: nothing. */
const struct trib_pupil_task *trib_pupils_find(const struct trib_pupils *pupils, const char *client,
                                               trib_version version);
/* The update of this client, made anew with these settings and steps (work.h): *body is canonical and
 * sealed, the caller's. TRIB_EINVALID: it has no number; what work->train() returns. */
enum trib_status trib_pupils_train(struct trib_pupils *pupils, const struct trib_layout *model,
                                   const char *client, const struct trib_pupil_task *task,
                                   const char *settings, uint32_t steps, struct trib_block **body,
                                   struct trib_work_trained *trained, struct trib_error *error);
#endif
