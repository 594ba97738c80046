"""A C project that takes make some seconds, and the tree that a build of it leaves."""

from __future__ import annotations

from typing import Final

FILES: Final = 40

MAKEFILE: Final = f"""\
NUMBERS := $(shell seq 1 {FILES})
OBJECTS := $(NUMBERS:%=build/part%.o)
CFLAGS := -O2 -g0

all: build/program.out
build/program.out: build/program
\t./build/program >$@.new && mv $@.new $@
build/program: build/main.o build/libparts.a
\t$(CC) -o $@ build/main.o build/libparts.a -lm
build/libparts.a: $(OBJECTS)
\trm -f $@ && ar rcD $@ $(OBJECTS) && ranlib -D $@
build/part%.o: part%.c parts.h | build
\t$(CC) $(CFLAGS) -MMD -MF build/part$*.d -c -o $@ $<
build/main.o: main.c parts.h | build
\t$(CC) $(CFLAGS) -c -o $@ $<
build:
\tmkdir -p build/deep/er && ln -sfn deep/er build/link && touch build/link/stamp && chmod 640 build/link/stamp
clean:
\trm -rf build
"""

PART: Final = """\
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "parts.h"
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int part@(int seed) {
    int values[256];
    char text[64];
    for (int i = 0; i < 256; i++) values[i] = (seed * (i + @) + (int)(100 * sin(i))) % 1009;
    qsort(values, 256, sizeof *values, compare);
    snprintf(text, sizeof text, "%d/%d", values[0], values[255]);
    return (int)strlen(text) + values[@];
}
"""


def sources() -> dict[str, str]:
    """Name and content of each file."""
    numbers = range(1, FILES + 1)
    calls = "\n".join(f'    printf("%d\\n", part{number}({number}));' for number in numbers)
    files = {f"part{number}.c": PART.replace("@", str(number)) for number in numbers}
    files["parts.h"] = "".join(f"int part{number}(int seed);\n" for number in numbers)
    files["main.c"] = (
        f'#include <stdio.h>\n#include "parts.h"\nint main(void) {{\n{calls}\n    return 0;\n}}\n'
    )
    files["Makefile"] = MAKEFILE
    return files


TREE: Final = r"""
cd "$1" && find build -printf '%p %y %m %l\n' | sort && find build -type f -exec sha256sum {} + | sort -k 2
"""
"""A shell command: everything below a directory's `build`: kinds, modes, where links point to, contents."""
