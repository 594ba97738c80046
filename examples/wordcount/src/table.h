/* Counts how often each string was seen. */
#ifndef TABLE_H
#define TABLE_H

#include <stddef.h>

struct entry {
    char *word;
    unsigned long count;
};

struct table {
    struct entry *slots; /* open addressing; an empty slot has no word */
    size_t size;         /* a power of two, or 0 */
    size_t used;
};

/* Count one more of the `length` bytes at `word`, which are copied. Returns 0, or -1 with errno ENOMEM. */
int table_add(struct table *table, const char *word, size_t length);

/* The entries, the most frequent first and equal ones by the alphabet. The table is of no use afterwards
 * but for table_free. */
struct entry *table_sort(struct table *table);

void table_free(struct table *table);

#endif
