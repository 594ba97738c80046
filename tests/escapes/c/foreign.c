/* System calls by another ABI, one after the other.
 *
 * foreign ABI NR ARGUMENT… [then NR ARGUMENT…]…
 *   ABI  i386:  this program is a 32-bit one
 *        int80: this is 64-bit code, which makes 32-bit calls by `int 0x80`, with rubbish above the registers' lower halves
 *        x32:   numbers with the x32 bit
 * Arguments: #N a number; =TEXT a string; &HEX bytes; @N address N bytes behind a buffer's beginning; $ the last result.
 * In &HEX, the four bytes ffffffee stand for the buffer's address. Prints each result, an error as a negative errno.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char *buffer, *room;
static long result;

/* Where 32 bits reach. */
static char *low(size_t size) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#ifdef MAP_32BIT
    flags |= MAP_32BIT;
#endif
    char *place = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    return place == MAP_FAILED ? NULL : place;
}

static unsigned long argument(const char *word) {
    char *here = room;
    uint32_t mark = 0xeeffffff, address = (uint32_t)(uintptr_t)buffer;
    switch (word[0]) {
    case '#': return strtoul(word + 1, NULL, 0);
    case '$': return (unsigned long)result;
    case '@': return (uintptr_t)buffer + strtoul(word + 1, NULL, 0);
    case '=': room = stpcpy(room, word + 1) + 1; return (uintptr_t)here;
    case '&':
        for (const char *hex = word + 1; *hex; hex += 2) {
            unsigned byte;
            sscanf(hex, "%2x", &byte);
            *room++ = (char)byte;
        }
        for (char *at = here; at + 4 <= room; at += 4)
            if (!memcmp(at, &mark, 4)) memcpy(at, &address, 4);
        room += 8 - (room - here) % 8;
        return (uintptr_t)here;
    }
    exit(2);
}

#ifdef __x86_64__
static long interrupt(long nr, const unsigned long *a) {
    const unsigned long rubbish = 0x5eadbeefUL << 32;
    long answer;
    unsigned long last = a[5] | rubbish;
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpush %%rbp\n\tmov %[last], %%rbp\n\tint $0x80\n\t"
                     "pop %%rbp\n\tlea 128(%%rsp), %%rsp"
                     : "=a"(answer)
                     : "a"(nr), "b"(a[0] | rubbish), "c"(a[1] | rubbish), "d"(a[2] | rubbish), "S"(a[3] | rubbish),
                       "D"(a[4] | rubbish), [last] "r"(last)
                     : "memory", "cc", "r8", "r9", "r10", "r11");
    return (int)answer;
}
#endif

static long make(const char *abi, long nr, const unsigned long *a) {
#ifdef __x86_64__
    if (!strcmp(abi, "int80")) return interrupt(nr, a);
    if (!strcmp(abi, "x32")) nr |= 0x40000000;
#else
    (void)abi;
#endif
    long answer = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    return answer < 0 ? -errno : answer;
}

int main(int argc, char **argv) {
    if (argc < 3 || !(room = low(1 << 20)) || !(buffer = low(4096))) return 2;
    for (int place = 2; place < argc; place++) {
        long nr = strtol(argv[place++], NULL, 0);
        unsigned long a[6] = {0};
        for (int count = 0; place < argc && strcmp(argv[place], "then"); place++)
            if (count < 6) {
                unsigned long value = argument(argv[place]);
                a[count++] = strcmp(argv[1], "int80") ? value : (uint32_t)value;
            }
        result = make(argv[1], nr, a);
        printf("%ld\n", result);
        fflush(stdout);
    }
    return 0;
}
