/* tally.c - how often what happened in the worlds of this process. */
#include "sim/faults/tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

static const char *const texts[TALLY_COUNT] = {
#define TALLY_TEXT(name, text) text,
    TALLY_FAULTS(TALLY_TEXT) TALLY_LOOKS(TALLY_TEXT)
#undef TALLY_TEXT
};

static uint64_t counts[TALLY_COUNT];

void tally_add(enum tally what, uint64_t count) {
    counts[what] += count;
}

static void print_rows(enum tally first, enum tally limit) {
    for (enum tally what = first; what < limit; what++) {
        printf("%12" PRIu64 "  %s\n", counts[what], texts[what]);
    }
}

void tally_print(uint64_t first_seed, uint64_t world_count) {
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_SELF, &usage);
    printf("faults\n");
    print_rows((enum tally)0, TALLY_STEPS);
    printf("promises\n");
    print_rows(TALLY_STEPS, TALLY_COUNT);
    printf("%12ld  MiB of memory at most\n", usage.ru_maxrss / 1024);
    printf("%" PRIu64 " worlds, from seed %" PRIu64 ": every promise kept\n", world_count,
           first_seed);
}
