/* ops DIRECTORY REFUSED COUNT [TURNS]: what single file system calls cost here.
 *
 * DIRECTORY is empty and may be written; REFUSED is an existing file that the sandbox, if there is one, does not
 * let anybody write. Each operation is done COUNT times after a warm-up. Prints one JSON object: nanoseconds for
 * one operation by name, and the errno that opening REFUSED for writing gave (0: it was not refused).
 *
 * With TURNS each operation is done COUNT times in each of so many turns, which begin with a byte from standard
 * input, a warm-up, and end with the figure in a line of its own: so several of these programs wait for each other.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "timing.h"

/* Few enough that the files of one batch stay in one block of the directory. */
#define BATCH 50

static const char *refused;
static int refused_errno;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void open_close(const char *path, int flags)
{
    int descriptor = openat(AT_FDCWD, path, flags | O_CLOEXEC, 0644);

    if (descriptor < 0)
        die(path);
    close(descriptor);
}

static void open_read(int i)
{
    (void)i;
    open_close("existing", O_RDONLY);
}

static void open_write(int i)
{
    (void)i;
    open_close("existing", O_WRONLY | O_CREAT);
}

static void open_new(int i)
{
    char name[32];

    snprintf(name, sizeof name, "new%d", i % BATCH);
    open_close(name, O_WRONLY | O_CREAT | O_EXCL);
}

/* Untimed, after each batch of open_new. */
static void remove_new(void)
{
    char name[32];

    for (int i = 0; i < BATCH; i++) {
        snprintf(name, sizeof name, "new%d", i);
        unlink(name);
    }
}

static void open_refused(int i)
{
    int descriptor = openat(AT_FDCWD, refused, O_WRONLY | O_CLOEXEC);

    (void)i;
    refused_errno = descriptor < 0 ? errno : 0;
    if (descriptor >= 0)
        close(descriptor);
}

static void mkdir_rmdir(int i)
{
    (void)i;
    if (mkdir("directory", 0755) != 0 || rmdir("directory") != 0)
        die("mkdir and rmdir");
}

static void change_mode(int i)
{
    if (chmod("existing", i % 2 ? 0600 : 0644) != 0)
        die("chmod");
}

static void look(int i)
{
    struct stat status;

    (void)i;
    if (stat("existing", &status) != 0)
        die("stat");
}

static void move(int i)
{
    if (i % 2 ? rename("moved", "existing") : rename("existing", "moved"))
        die("rename");
}

/* Nanoseconds for one call, done `count` times (a multiple of BATCH, which is even) in batches. */
static double measure(void (*operation)(int), void (*between)(void), int count)
{
    double total = 0;

    for (int done = 0; done < count; done += BATCH) {
        double start = now();
        for (int i = 0; i < BATCH; i++)
            operation(i);
        total += now() - start;
        if (between != NULL)
            between();
    }
    return total / count;
}

static void take_turns(void (*operation)(int), void (*between)(void), int count, int turns)
{
    for (int turn = 0; turn < turns; turn++) {
        if (getchar() == EOF)
            exit(1);
        measure(operation, between, BATCH);
        printf("%.0f\n", measure(operation, between, count));
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*operation)(int);
        void (*between)(void);
    } operations[] = {
        {"open_read", open_read, NULL},
        {"open_write", open_write, NULL},
        {"open_new", open_new, remove_new},
        {"open_refused", open_refused, NULL},
        {"mkdir_rmdir", mkdir_rmdir, NULL},
        {"chmod", change_mode, NULL},
        {"stat", look, NULL},
        {"rename", move, NULL},
    };

    if (argc < 4 || argc > 5 || chdir(argv[1]) != 0) {
        fputs("usage: ops DIRECTORY REFUSED COUNT [TURNS]\n", stderr);
        return 2;
    }
    refused = argv[2];
    int count = (atoi(argv[3]) + BATCH - 1) / BATCH * BATCH;
    open_close("existing", O_WRONLY | O_CREAT);
    if (argc == 5) {
        for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
            take_turns(operations[i].operation, operations[i].between, count, atoi(argv[4]));
        return 0;
    }
    putchar('{');
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        measure(operations[i].operation, operations[i].between, BATCH);
        double cost = measure(operations[i].operation, operations[i].between, count);
        printf("\"%s\": %.0f, ", operations[i].name, cost);
    }
    unlink("existing");
    printf("\"refused_errno\": %d}\n", refused_errno);
    return 0;
}
