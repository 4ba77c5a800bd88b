/* contacts.c - FAVANO: the correction for steps, and the server's step. */
#include "learn/contacts.h"

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

void trib_contacts_note(struct trib_contacts *contacts, uint32_t steps, uint32_t steps_max) {
    contacts->count++;
    contacts->worked += steps > 0;
    contacts->steps += least(steps, steps_max);
}

double trib_contacts_alpha_expected(const struct trib_contacts *contacts) {
    return contacts->count == 0 ? 0 : (double)contacts->steps / (double)contacts->count;
}

double trib_contacts_alpha_sampled(const struct trib_contacts *contacts, uint32_t steps,
                                   uint32_t steps_max) {
    if (contacts->count == 0)
        return 0;
    return (double)contacts->worked / (double)contacts->count * least(steps, steps_max);
}

void trib_contacts_add(double *sum, const double *start, const double *own, size_t count,
                       double alpha) {
    for (size_t i = 0; i < count; i++)
        sum[i] += alpha > 0 ? start[i] + (own[i] - start[i]) / alpha : start[i];
}

void trib_contacts_step(double *w, const double *sum, size_t count, uint32_t contacted) {
    for (size_t i = 0; i < count; i++)
        w[i] = (w[i] + sum[i]) / ((double)contacted + 1);
}
