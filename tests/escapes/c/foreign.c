/* A system call by another ABI: foreign i386|x32 PATH makes a directory. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    long result = -1;
#ifdef __x86_64__
    if (!strcmp(argv[1], "i386")) {
        char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        strcpy(low, argv[2]);
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(39L), "b"(low), "c"(0700L) : "memory", "r8", "r9", "r10", "r11");
        result = (int)result;
    } else {
        result = syscall(0x40000000 + 83, argv[2], 0700);
    }
#endif
    printf("%ld\n", result);
    return result != 0;
}
