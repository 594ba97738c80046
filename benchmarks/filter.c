/* filter COUNT FILE…: what a seccomp filter takes of single calls.
 *
 * Each FILE is a program, an array of struct sock_filter; /dev/null for none. A process for each loads it and makes the
 * same calls on the same sockets, by TCP and UDP on loopback and on no descriptor at all, COUNT times each, in batches
 * that take turns on one CPU. No filter may ask a supervisor about these calls: there is none. Prints a JSON array of
 * an object for each FILE: nanoseconds for one operation by name, in the batch that a tenth of all are quicker than: the
 * differences are small, and what else runs on a machine only ever makes a batch slower.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "timing.h"

#define BATCH 50
#define WARM_UP 10 /* untimed operations of each batch: what another process left in the caches is gone */
#define SIZE 64
#define LARGE 8192
#define MOST 8 /* files */

static int ends[2], datagrams[2];
static char data[LARGE] __attribute__((aligned(64)));

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void exchange(const int pair[2], size_t size)
{
    if (send(pair[0], data, size, 0) != (ssize_t)size || recv(pair[1], data, size, MSG_WAITALL) != (ssize_t)size)
        die("send and recv");
}

static void send_nowhere(void)
{
    send(-1, data, SIZE, 0);
}

static void recv_nowhere(void)
{
    recv(-1, data, SIZE, 0);
}

static void tcp(void)
{
    exchange(ends, SIZE);
}

static void tcp_8k(void)
{
    exchange(ends, LARGE);
}

static void udp(void)
{
    exchange(datagrams, SIZE);
}

static const struct {
    const char *name;
    void (*operation)(void);
} operations[] = {
    {"recv_nowhere", recv_nowhere},
    {"send_nowhere", send_nowhere},
    {"tcp", tcp},
    {"tcp_8k", tcp_8k},
    {"udp", udp},
};
#define OPERATIONS (sizeof operations / sizeof operations[0])

/* Two sockets of a type that are connected by loopback. */
static void connected(int type, int pair[2])
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof name;
    int server = socket(AF_INET, type, 0);

    pair[0] = socket(AF_INET, type, 0);
    if (server < 0 || pair[0] < 0 || bind(server, (struct sockaddr *)&name, size) != 0 ||
        (type == SOCK_STREAM && listen(server, 1) != 0) || getsockname(server, (struct sockaddr *)&name, &size) != 0 ||
        connect(pair[0], (struct sockaddr *)&name, size) != 0)
        die("sockets");
    pair[1] = type == SOCK_STREAM ? accept(server, NULL, NULL) : server;
    if (pair[1] < 0)
        die("accept");
}

static void load(const char *file)
{
    static struct sock_filter code[BPF_MAXINSNS];
    int descriptor = open(file, O_RDONLY);
    ssize_t size = descriptor < 0 ? -1 : read(descriptor, code, sizeof code);

    if (size < 0)
        die(file);
    if (size == 0)
        return;
    struct sock_fprog program = {.len = (unsigned short)((size_t)size / sizeof code[0]), .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
        die(file);
}

static double batch(void (*operation)(void))
{
    for (int i = 0; i < WARM_UP; i++)
        operation();
    double start = now();
    for (int i = 0; i < BATCH; i++)
        operation();
    return (now() - start) / BATCH;
}

/* All operations, a batch whenever a byte comes; the byte is passed on. */
static void measure(int batches, int turn, int next, double *results)
{
    double *took = calloc((size_t)batches, sizeof *took);
    char byte;

    if (took == NULL)
        die("calloc");
    for (size_t i = 0; i < OPERATIONS; i++) {
        for (int done = 0; done < batches; done++) {
            if (read(turn, &byte, 1) != 1)
                exit(1); /* another one has ended, and said why */
            took[done] = batch(operations[i].operation);
            if (write(next, &byte, 1) != 1)
                die("write");
        }
        qsort(took, (size_t)batches, sizeof *took, compare);
        results[i] = took[batches / 10];
    }
    free(took);
}

int main(int argc, char **argv)
{
    int files = argc - 2, turns[MOST][2], failed = 0;

    if (files < 1 || files > MOST) {
        fputs("usage: filter COUNT FILE…\n", stderr);
        return 2;
    }
    int batches = (atoi(argv[1]) + BATCH - 1) / BATCH;
    double(*results)[OPERATIONS] = mmap(NULL, (size_t)files * sizeof *results, PROT_READ | PROT_WRITE,
                                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(sched_getcpu(), &here);
    if (results == MAP_FAILED || sched_setaffinity(0, sizeof here, &here) != 0)
        die("mmap and sched_setaffinity");
    connected(SOCK_STREAM, ends);
    connected(SOCK_DGRAM, datagrams);
    for (int i = 0; i < files; i++)
        if (pipe(turns[i]) != 0)
            die("pipe");
    for (int i = 0; i < files; i++) {
        pid_t child = fork();
        if (child < 0)
            die("fork");
        if (child > 0)
            continue;
        int next = (i + 1) % files;
        for (int j = 0; j < files; j++) {
            if (j != i)
                close(turns[j][0]);
            if (j != next)
                close(turns[j][1]);
        }
        load(argv[2 + i]);
        measure(batches, turns[i][0], turns[next][1], results[i]);
        _exit(0);
    }
    if (write(turns[0][1], "", 1) != 1)
        die("write");
    /* The first one's end to read from stays open here, for the last byte. */
    for (int i = 0; i < files; i++) {
        close(turns[i][1]);
        if (i > 0)
            close(turns[i][0]);
    }
    for (int i = 0, status; i < files; i++)
        if (wait(&status) < 0 || status != 0)
            failed = 1;
    if (failed)
        return 1;
    for (int i = 0; i < files; i++) {
        printf("%s{", i ? ", " : "[");
        for (size_t j = 0; j < OPERATIONS; j++)
            printf("%s\"%s\": %.1f", j ? ", " : "", operations[j].name, results[i][j]);
        putchar('}');
    }
    puts("]");
    return 0;
}
