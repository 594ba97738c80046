/* What the programs that time calls share. */

#include <time.h>

/* Nanoseconds, from any beginning. */
static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return 1e9 * (double)time.tv_sec + (double)time.tv_nsec;
}

/* For qsort(3), of doubles. */
__attribute__((unused)) static int compare(const void *one, const void *other)
{
    double difference = *(const double *)one - *(const double *)other;

    return (difference > 0) - (difference < 0);
}
