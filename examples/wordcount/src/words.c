#define _POSIX_C_SOURCE 200809L
#include "words.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static int is_word(unsigned char byte)
{
    return isalnum(byte) || byte == '\'' || byte > 127;
}

/* Count the words of one piece of text, which is changed to lower case. */
static int count_text(char *text, size_t length, struct table *table)
{
    size_t start = 0;

    for (size_t i = 0; i <= length; i++) {
        if (i < length && is_word((unsigned char)text[i])) {
            text[i] = (char)tolower((unsigned char)text[i]);
            continue;
        }
        if (i > start && table_add(table, text + start, i - start) != 0)
            return -1;
        start = i + 1;
    }
    return 0;
}

int words_count(FILE *stream, struct table *table)
{
    char *line = NULL;
    int result = 0;
#ifdef HAVE_GETLINE
    size_t size = 0;
    ssize_t length;

    while (result == 0 && (length = getline(&line, &size, stream)) >= 0)
        result = count_text(line, (size_t)length, table);
#else
    /* Words that are cut at the end of the buffer count as two: good enough where there is no getline. */
    line = malloc(65536);
    if (line == NULL)
        return -1;
    while (result == 0 && fgets(line, 65536, stream) != NULL)
        result = count_text(line, strlen(line), table);
#endif
    free(line);
    return ferror(stream) ? -1 : result;
}
