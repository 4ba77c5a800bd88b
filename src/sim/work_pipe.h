/* work_pipe.h - simulated clients that train in another program, at the other end of two pipes.
 *
 * Lines are JSON objects. That program begins, and then answers one question after the other:
 *
 *   <  {"evaluates": true, "combines": false}            false: it cannot score versions; it has
 *                                                        no rule for their updates (as if absent)
 *   >  {"kind": "train", "client": 17, "name": "c17", "version": 3,
 *       "settings": {"lr": 0.1}, "model_bytes": 1024}    then version 3 as safetensors
 *   <  {"examples": 40, "metrics": {"loss": 0.3}, "bytes": 960}    then the update as safetensors
 *   >  {"kind": "evaluate", "model_bytes": 1024}         then the version as safetensors
 *   <  {"examples": 1, "metrics": {"accuracy": 0.9, "loss": 0.3}}
 *   >  {"kind": "combine", "version": 4, "updates": [
 *       {"client": "c17", "weight": 40, "examples": 40, "bytes": 960}, ...]}    then each as it was
 *   <  {"bytes": 960}                                    then the delta as safetensors
 *
 * settings are those of the daemon's tasks (docs/protocol.md), an update is what a client sends
 * with the dense codec: trained - base. Updates to combine, where strategy.combiner is external, are
 * in order of client, then of time. {"error": "words"} in place of an answer ends the simulation with
 * these words, and so does everything that is no answer. A model is sent with every question about
 * one, so that neither side has to remember which the other holds.
 *
 * Questions come in virtual time as long as the fleet has one hand. */
#ifndef TRIB_SIM_WORK_PIPE_H
#define TRIB_SIM_WORK_PIPE_H

#include "sim/work.h"
#include "tensor/layout.h"

struct trib_work_pipe; /* opaque */

struct trib_work_pipe_options {
    int input, output;                /* descriptors to read from and to write to; taken, also on
                                         error */
    const struct trib_layout *layout; /* of versions, roles assigned; borrowed until free */
    const char *settings;             /* of train tasks: JSON object; borrowed until free */
};

/* Waits for the first line. From now on the process ignores SIGPIPE: a program that has left is an
 * error like others. TRIB_EINVALID: a descriptor; TRIB_ECLOSED: the other side is gone or said
 * something else; TRIB_EMEMORY. error is in words. */
enum trib_status trib_work_pipe_new(const struct trib_env *env,
                                    const struct trib_work_pipe_options *options,
                                    struct trib_work_pipe **pipe, struct trib_error *error);
void trib_work_pipe_free(struct trib_work_pipe *pipe); /* closes both; NULL allowed */
/* For trib_fleet_options with one thread; good until free. */
struct trib_work trib_work_pipe_table(struct trib_work_pipe *pipe);

#endif
