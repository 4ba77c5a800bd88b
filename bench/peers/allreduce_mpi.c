/* allreduce_mpi.c - MPI_Allreduce of fp32 sums in place, as data-parallel training does it.
 *
 *     mpirun -np 2 allreduce_mpi BYTES COUNT
 *
 * Prints the median time of one, and the processor time of all ranks per one; the first is left
 * out: connections and pages are new to it. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define COUNT_MAX 1000

static int order(const void *left, const void *right) {
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

static double processor_s(void) {
    struct rusage used;
    (void)getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

int main(int argc, char **argv) {
    static double seconds[COUNT_MAX];
    int rank, count = argc == 3 ? atoi(argv[2]) : 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    size_t values = argc == 3 ? strtoull(argv[1], NULL, 10) / sizeof(float) : 0;
    float *sum = calloc(values, sizeof *sum);
    if (count < 2 || count > COUNT_MAX || values == 0 || sum == NULL) {
        (void)fprintf(stderr, "usage: mpirun -np N %s BYTES COUNT\n", argv[0]);
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    for (size_t i = 0; i < values; i++) {
        sum[i] = 1e-6F * (float)(i % 1000);
    }
    double used = 0;
    for (int i = 0; i < count; i++) {
        MPI_Barrier(MPI_COMM_WORLD);
        double began = MPI_Wtime();
        MPI_Allreduce(MPI_IN_PLACE, sum, (int)values, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        seconds[i] = MPI_Wtime() - began;
        used = i == 0 ? processor_s() : used;
    }
    double all, mine = (processor_s() - used) / (count - 1);
    MPI_Reduce(&mine, &all, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
    if (rank == 0) {
        qsort(seconds + 1, (size_t)count - 1, sizeof *seconds, order);
        (void)printf("allreduce\t%.6f\ts\nallreduce.cpu\t%.6f\ts\n", seconds[1 + (count - 1) / 2],
                     all);
    }
    free(sum);
    MPI_Finalize();
    return 0;
}
