/* settings.h - from the numbers that come with a task to the settings of a trainer.
 *
 * The same for a client of the daemon and a simulated one, so that both train alike. */
#ifndef TRIB_TRAIN_SETTINGS_H
#define TRIB_TRAIN_SETTINGS_H

#include "train/trainer.h"

/* The number of that name, or fallback. */
typedef double trib_setting_find(const void *context, const char *name, double fallback);

/* Whose task it is: decides the order of the rows. */
struct trib_train_who {
    const char *client;
    uint64_t version; /* that the training starts from */
    uint64_t seed;    /* of all clients */
};

/* Reads epochs (default 1), steps (0), batch (32), lr (0.1), mu (0) and lr_decay (1; a factor on lr
 * per version). TRIB_EINVALID: error names the setting and its range. */
enum trib_status trib_train_settings_read(trib_setting_find *find, const void *context,
                                          const struct trib_train_who *who,
                                          struct trib_train_settings *settings,
                                          struct trib_error *error);

#endif
