/* allocation.c - FedAST: units of requests by score. */
#include "learn/allocation.h"

static double missing(const struct trib_allocation *run, double score_total, uint32_t total) {
    return (double)(uint32_t)(total * run->score / score_total) - run->requests;
}

bool trib_allocation_share(struct trib_allocation *runs, uint32_t run_count, uint32_t total,
                           uint32_t unit) {
    uint32_t unit_count = total / unit, going = 0;
    double score_total = 0;
    for (uint32_t m = 0; m < run_count; m++) {
        score_total += runs[m].score;
        going += runs[m].score > 0;
    }
    if (going == 0 || unit_count < going)
        return false;
    for (uint32_t m = 0; m < run_count; m++)
        runs[m].requests = runs[m].score > 0 ? unit : 0;
    for (uint32_t left = unit_count - going; left > 0; left--) {
        struct trib_allocation *neediest = NULL;
        for (uint32_t m = 0; m < run_count; m++) {
            if (runs[m].score > 0 && (!neediest || missing(&runs[m], score_total, total) >
                                                       missing(neediest, score_total, total)))
                neediest = &runs[m];
        }
        neediest->requests += unit;
    }
    for (uint32_t m = 0; m < run_count; m++)
        runs[m].goal = runs[m].requests / unit;
    return true;
}
