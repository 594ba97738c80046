#define _DEFAULT_SOURCE
#include "table.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void *new_slots(size_t count)
{
#ifdef HAVE_REALLOCARRAY
    void *slots = reallocarray(NULL, count, sizeof(struct entry));
#else
    void *slots = count > SIZE_MAX / sizeof(struct entry) ? NULL : malloc(count * sizeof(struct entry));
#endif
    if (slots != NULL)
        memset(slots, 0, count * sizeof(struct entry));
    return slots;
}

/* FNV-1a */
static uint64_t hash(const char *word, size_t length)
{
    uint64_t value = 14695981039346656037u;

    for (size_t i = 0; i < length; i++)
        value = (value ^ (unsigned char)word[i]) * 1099511628211u;
    return value;
}

/* The slot that holds the word, or the empty one where it belongs. */
static struct entry *find(struct entry *slots, size_t size, const char *word, size_t length)
{
    size_t i = hash(word, length) & (size - 1);

    while (slots[i].word != NULL &&
           (strncmp(slots[i].word, word, length) != 0 || slots[i].word[length] != '\0'))
        i = (i + 1) & (size - 1);
    return &slots[i];
}

static int grow(struct table *table)
{
    size_t size = table->size ? table->size * 2 : 64;
    struct entry *slots = new_slots(size);

    if (slots == NULL)
        return -1;
    for (size_t i = 0; i < table->size; i++)
        if (table->slots[i].word != NULL)
            *find(slots, size, table->slots[i].word, strlen(table->slots[i].word)) = table->slots[i];
    free(table->slots);
    table->slots = slots;
    table->size = size;
    return 0;
}

int table_add(struct table *table, const char *word, size_t length)
{
    struct entry *entry;

    if (2 * (table->used + 1) > table->size && grow(table) != 0)
        return -1;
    entry = find(table->slots, table->size, word, length);
    if (entry->word == NULL) {
        entry->word = strndup(word, length);
        if (entry->word == NULL)
            return -1;
        table->used++;
    }
    entry->count++;
    return 0;
}

static int compare(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;

    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    /* Empty slots have a count of 0: they come last and are equal. */
    return a->word == NULL || b->word == NULL ? 0 : strcmp(a->word, b->word);
}

struct entry *table_sort(struct table *table)
{
    if (table->size > 0)
        qsort(table->slots, table->size, sizeof(struct entry), compare);
    return table->slots;
}

void table_free(struct table *table)
{
    for (size_t i = 0; i < table->size; i++)
        free(table->slots[i].word);
    free(table->slots);
    memset(table, 0, sizeof *table);
}
