/* work.h - what simulated clients do: the seam between the fleet and whoever trains.
 *
 * The native trainers are one implementation (work_native.h), a program at the other end of two
 * pipes is another (work_pipe.h); whoever links the library can bring one of his own. Every
 * result must depend on its arguments alone, never on the hand or on earlier calls: then a
 * simulation gives the same bytes whatever the number of threads. */
#ifndef TRIB_SIM_WORK_H
#define TRIB_SIM_WORK_H

#include "base/block.h"
#include "base/status.h"
#include "base/words.h"
#include "run/run.h"
#include "tensor/layout.h"

struct trib_work_task {
    uint64_t client;
    const char *name; /* the client's */
    trib_version version;
    uint32_t steps;               /* local steps; 0: as the settings say */
    const struct trib_block *own; /* what its client kept last; NULL: nothing yet */
    const char
        *settings; /* JSON object: the spec's train, with what its site says; NULL: the former */
};

struct trib_work_trained {
    struct trib_block
        *next_own;           /* what the client keeps if this update counts, sealed, the caller's
                                    to unref; NULL: what it had */
    uint64_t examples;       /* behind the update, > 0 */
    double loss;             /* NAN: not measured */
    struct trib_block *body; /* the update as it would be sent, sealed, the caller's to unref; one
                                that the codec refuses ends the simulation. NULL: trained - base */
};

struct trib_work_score {
    uint64_t
        examples;   /* that were told: rows, of text its characters; of a client's own its rows */
    double correct; /* share of the examples, times their number; NAN: not measured */
    double loss;    /* mean, times their number; NAN: not measured */
};

/* One of the updates that a version is made of, where somebody else combines them. */
struct trib_work_offered {
    const char *client;            /* its name */
    uint64_t weight;               /* that it would count with; relative to the others */
    uint64_t examples;             /* behind it */
    const struct trib_block *body; /* as it was sent */
};

struct trib_work {
    void *context;
    bool has_companions; /* training makes the tensors that some strategies keep beside the model */
    /* Examples that a client has, > 0. NULL: one each. */
    uint64_t (*examples)(void *context, uint64_t client);
    /* Train from `base`, float32[element count] in layout order, into `trained` of the same size,
     * whose contents are undefined at first. NULL: nothing is trained, every update is zero.
     * TRIB_EMEMORY and TRIB_ECLOSED (whoever trains is gone; error says more) end the simulation;
     * with any other error the client gives its task back. result is not read then.
     * Thread: one call per hand at a time. */
    enum trib_status (*train)(void *context, uint32_t hand, const struct trib_work_task *task,
                              const float *base, float *trained, struct trib_work_trained *result,
                              struct trib_error *error);
    /* Score one part of the held-out data, 0 <= part < evaluate_parts. NULL: no evaluation. */
    enum trib_status (*evaluate)(void *context, uint32_t hand, uint32_t part,
                                 const float *parameters, struct trib_work_score *score,
                                 struct trib_error *error);
    uint32_t evaluate_parts;
    /* Score them on data of a client's own. NULL: clients that are asked to give the task back. */
    enum trib_status (*evaluate_own)(void *context, uint32_t hand, uint64_t client,
                                     const float *parameters, struct trib_work_score *score,
                                     struct trib_error *error);
    /* Make one delta of the updates of `version`, which are in order of client, then id: *delta is a
     * sealed body like an update's, the caller's to unref; one that the codec refuses ends the
     * simulation, and so does any error. NULL: nobody combines; there must be somebody where
     * strategy.combiner is external, and nobody elsewhere.
     * Thread: the simulation's own, while hands may be training. */
    enum trib_status (*combine)(void *context, trib_version version,
                                const struct trib_work_offered *updates, size_t update_count,
                                struct trib_block **delta, struct trib_error *error);
};

/* The name by which a client joins: "c17". name has TRIB_WORK_NAME_BYTES. */
#define TRIB_WORK_NAME_BYTES (1 + TRIB_DECIMAL_BYTES)
void trib_work_client_name(uint64_t client, char *name);
/* What clients of a site train with, as the daemon's tasks have it (node/carry.c): JSON. site: index
 * + 1; 0: none. Release with trib_text_release(). NULL: no memory. */
char *trib_work_settings(const struct trib_env *env, const struct trib_spec *spec, uint32_t site);
/* The tensors of a model that clients send. The caller owns *update. TRIB_EMEMORY. */
enum trib_status trib_work_update_layout(const struct trib_env *env,
                                         const struct trib_layout *model,
                                         struct trib_layout **update, struct trib_error *error);
/* delta = trained - base, of the tensors of `update`: float32[its elements]; the other two have those
 * of `model`. */
void trib_work_subtract(const struct trib_layout *model, const struct trib_layout *update,
                        const float *trained, const float *base, float *delta);

#endif
