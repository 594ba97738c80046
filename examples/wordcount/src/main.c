/* wordcount [-n COUNT] [FILE…]: the most frequent words of the files, or of standard input. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "table.h"
#include "words.h"

static int usage(void)
{
    fputs("usage: wordcount [-n COUNT] [FILE...]\n", stderr);
    return 2;
}

static int count_file(const char *name, struct table *table)
{
    FILE *stream = fopen(name, "r");
    int result;

    if (stream == NULL) {
        fprintf(stderr, "wordcount: %s: %s\n", name, strerror(errno));
        return -1;
    }
    result = words_count(stream, table);
    if (result != 0)
        fprintf(stderr, "wordcount: %s: %s\n", name, strerror(errno));
    fclose(stream);
    return result;
}

int main(int argc, char **argv)
{
    struct table table = {0};
    struct entry *entries;
    unsigned long limit = 10;
    int option, status = 0;
    char *end;

    while ((option = getopt(argc, argv, "n:")) != -1) {
        if (option != 'n')
            return usage();
        errno = 0;
        limit = strtoul(optarg, &end, 10);
        if (errno != 0 || end == optarg || *end != '\0')
            return usage();
    }
    if (optind == argc && words_count(stdin, &table) != 0) {
        perror("wordcount: standard input");
        status = 1;
    }
    for (int i = optind; i < argc; i++)
        if (count_file(argv[i], &table) != 0)
            status = 1;

    entries = table_sort(&table);
    for (size_t i = 0; i < limit && i < table.used; i++)
        printf("%7lu %s\n", entries[i].count, entries[i].word);
    table_free(&table);
    return fflush(stdout) != 0 || ferror(stdout) ? 1 : status;
}
