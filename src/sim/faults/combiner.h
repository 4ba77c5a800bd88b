/* combiner.h - the external combiner of a world: asks for offers, reads their updates, answers.
 *
 * It answers twice, with something else, with rubbish, too late, or dies in the middle and begins again.
 * Where the run combines its updates itself, it asks now and then whether that has changed. */
#ifndef TRIB_SIM_FAULTS_COMBINER_H
#define TRIB_SIM_FAULTS_COMBINER_H

/* run: borrowed for the life of the world. */
void combiner_begin(const char *run, double delta_max);
/* It starts nothing any more. */
void combiner_rest(void);
/* The world is over. */
void combiner_end(void);

#endif
