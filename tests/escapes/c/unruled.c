/* Races calls about a file against a rule that comes and goes.
 *
 * unruled BOARD CALL GOOD BAD
 *
 * BOARD is a file of four ints that who puts rules in force shares: [0] is 0, but while a rule against BAD is
 * known to be in force, each time another number. [1] counts what was done to BAD by calls that began and
 * ended in such a time, which must never be, and [2] what was done at other times. [3] ends the race. One
 * thread writes GOOD and BAD by turns into the path that another one uses.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile char path[4096];
static atomic_int *board;
static const char *good, *bad;

static void *swap(void *unused)
{
    size_t size = strlen(good) + 1, other = strlen(bad) + 1;

    (void)unused;
    while (!board[3]) {
        memcpy((char *)path, bad, other);
        for (volatile int spin = 0; spin < 200; spin++)
            ;
        memcpy((char *)path, good, size);
        for (volatile int spin = 0; spin < 200; spin++)
            ;
    }
    return 0;
}

/* Whether the call was about BAD. */
static int act(const char *call, ino_t inode)
{
    struct stat about;
    int fd = -1, hit = 0;

    if (!strcmp(call, "read"))
        fd = open((const char *)path, O_RDONLY);
    else if (!strcmp(call, "write"))
        fd = open((const char *)path, O_WRONLY);
    else if (!strcmp(call, "create"))
        fd = open((const char *)path, O_RDWR | O_CREAT, 0644);
    else if (!strcmp(call, "truncate"))
        return !truncate((const char *)path, 1) && !stat(bad, &about) && about.st_size == 1 &&
            !truncate(bad, 3);
    else if (!strcmp(call, "rename")) {
        /* both names are there before; what has gone from BAD has been renamed */
        if (!rename((const char *)path, "moved")) {
            hit = !stat("moved", &about) && about.st_ino == inode;
            rename("moved", hit ? bad : good);
        }
        return hit;
    }
    if (fd >= 0) {
        hit = !fstat(fd, &about) && about.st_ino == inode;
        close(fd);
    }
    return hit;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    struct stat about;
    int fd, held;

    if (argc != 5 || (fd = open(argv[1], O_RDWR)) < 0)
        return 2;
    board = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    good = argv[3];
    bad = argv[4];
    if (board == MAP_FAILED || stat(bad, &about))
        return 2;
    strcpy((char *)path, good);
    if (pthread_create(&thread, 0, swap, 0))
        return 2;
    while (!board[3]) {
        held = board[0];
        if (act(argv[2], about.st_ino))
            board[held && held == board[0] ? 1 : 2]++;
    }
    pthread_join(thread, 0);
    return 0;
}
