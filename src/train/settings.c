/* settings.c - from the numbers that come with a task to the settings of a trainer. */
#include "train/settings.h"

#include <math.h>

#include "base/random.h"

#define EPOCHS_MAX 1000000.0 /* as the spec allows */
#define ROWS_MAX 1e9

struct reading {
    trib_setting_find *find;
    const void *context;
    struct trib_error *error;
};

/* A setting within its range; the daemon has checked its spec, but who knows which daemon. */
static bool setting(const struct reading *reading, const char *name, double fallback, double most,
                    double *value) {
    *value = reading->find(reading->context, name, fallback);
    if (*value >= 0.0 && *value <= most) {
        return true;
    }
    (void)trib_error_set(reading->error, TRIB_EINVALID, "setting %s: %g is not in 0..%g", name,
                         *value, most);
    return false;
}

enum trib_status trib_train_settings_read(trib_setting_find *find, const void *context,
                                          const struct trib_train_who *who,
                                          struct trib_train_settings *settings,
                                          struct trib_error *error) {
    const struct reading reading = {.find = find, .context = context, .error = error};
    double epochs, steps, batch, lr, mu, decay;
    if (!setting(&reading, "epochs", 1.0, EPOCHS_MAX, &epochs) ||
        !setting(&reading, "steps", 0.0, ROWS_MAX, &steps) ||
        !setting(&reading, "batch", 32.0, ROWS_MAX, &batch) ||
        !setting(&reading, "lr", 0.1, ROWS_MAX, &lr) ||
        !setting(&reading, "mu", 0.0, ROWS_MAX, &mu) ||
        !setting(&reading, "lr_decay", 1.0, 1.0, &decay)) {
        return TRIB_EINVALID;
    }
    /* Each client and version shuffles in its own way, whoever else takes part. */
    struct trib_random random;
    trib_random_derive(&random, who->seed, who->client, who->version);
    *settings = (struct trib_train_settings){
        .epochs = (uint32_t)epochs,
        .steps = (uint64_t)steps,
        .batch = (size_t)batch,
        .lr = lr * pow(decay, (double)who->version),
        .mu = mu,
        .seed = trib_random_u64(&random),
    };
    return TRIB_OK;
}
