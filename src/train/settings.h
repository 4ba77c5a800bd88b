/* settings.h - from the settings that come with a task to those of a trainer.
 *
 * The same for a client of the daemon and a simulated one, so that both train alike.
 *
 *   epochs 1, steps 0, batch 32, lr 0.1, mu 0
 *   lr_decay 1         factor on lr per version
 *   optimizer sgd      or momentum, adam; momentum 0.9, beta1 0.9, beta2 0.999, epsilon 1e-8
 *   weight_decay 0, clip 0
 *   rule plain         or fedcm, scaffold, scaffold_m, fedspeed (train/rule.h)
 *   beta 0.1           fedcm, scaffold_m
 *   option 2           scaffold, scaffold_m
 *   lambda 10, rho 0.1, alpha 1, normalise_ascent false       fedspeed
 *   until_called false, per_step false                        favano and s2s; rule plain only */
#ifndef TRIB_TRAIN_SETTINGS_H
#define TRIB_TRAIN_SETTINGS_H

#include "train/trainer.h"

/* Whose task it is: decides the order of the rows. */
struct trib_train_who {
    const char *client;
    uint64_t version; /* that the training starts from */
    uint64_t seed;    /* of all clients */
};

/* json  an object; NULL = {}. Other names in it are passed over.
 * TRIB_EINVALID: error names the setting and what it may be. */
enum trib_status trib_train_settings_read(const char *json, const struct trib_train_who *who,
                                          struct trib_train_settings *settings,
                                          struct trib_error *error);

#endif
