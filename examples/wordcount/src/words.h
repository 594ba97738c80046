/* Reads a stream word by word. */
#ifndef WORDS_H
#define WORDS_H

#include <stdio.h>

#include "table.h"

/* Count every word of the stream, in lower case; a word is letters, digits, apostrophes and bytes above 127.
 * Returns 0, or -1 with errno. */
int words_count(FILE *stream, struct table *table);

#endif
