/* net DIRECTORY COUNT: what single calls about sockets cost here.
 *
 * DIRECTORY may be written. Everything stays in this process, on loopback and on sockets in DIRECTORY. Each operation
 * is done COUNT times after a warm-up. Prints one JSON object: nanoseconds for one operation by name.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "timing.h"

#define BATCH 50
#define SIZE 64
#define LARGE 8192

static union address {
    struct sockaddr any;
    struct sockaddr_in inet;
    struct sockaddr_un path;
} inet_name, unix_name;

static int inet_server, unix_server;
static int ends[2], datagrams[2];
static union address receiver_name;
static int clients[BATCH];
/* Where a program's stack lies is another place each time; how that lies to cache lines would be in the figures. */
static char data[LARGE] __attribute__((aligned(64)));

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int made(int family, int type)
{
    int descriptor = socket(family, type | SOCK_CLOEXEC, 0);

    if (descriptor < 0)
        die("socket");
    return descriptor;
}

static int serve(union address *name, socklen_t size)
{
    int server = made(name->any.sa_family, SOCK_STREAM);

    if (bind(server, &name->any, size) != 0 || listen(server, BATCH) != 0)
        die("bind and listen");
    if (getsockname(server, &name->any, &size) != 0)
        die("getsockname");
    return server;
}

/* Untimed, before each batch: sockets that are to be connected. */
static void make_inet(void)
{
    for (int i = 0; i < BATCH; i++)
        clients[i] = made(AF_INET, SOCK_STREAM);
}

static void make_unix(void)
{
    for (int i = 0; i < BATCH; i++)
        clients[i] = made(AF_UNIX, SOCK_STREAM);
}

static void connect_inet(int i)
{
    if (connect(clients[i], &inet_name.any, sizeof inet_name.inet) != 0)
        die("connect");
}

static void connect_unix(int i)
{
    if (connect(clients[i], &unix_name.any, sizeof unix_name.path) != 0)
        die("connect to a path");
}

/* Untimed, after each batch. Reset, so that no port has to wait. */
static void drop(int server)
{
    struct linger at_once = {1, 0};

    for (int i = 0; i < BATCH; i++) {
        int taken = accept(server, NULL, NULL);
        if (taken < 0)
            die("accept");
        setsockopt(clients[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(clients[i]);
        close(taken);
    }
}

static void drop_inet(void)
{
    drop(inet_server);
}

static void drop_unix(void)
{
    drop(unix_server);
}

static void send_recv(int i)
{
    (void)i;
    if (send(ends[0], data, SIZE, 0) != SIZE || recv(ends[1], data, SIZE, 0) != SIZE)
        die("send and recv");
}

static void send_recv_8k(int i)
{
    (void)i;
    if (send(ends[0], data, LARGE, 0) != LARGE || recv(ends[1], data, LARGE, MSG_WAITALL) != LARGE)
        die("send and recv of 8 KiB");
}

static void sendmsg_recvmsg(int i)
{
    struct iovec part = {data, SIZE};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    (void)i;
    if (sendmsg(ends[0], &message, 0) != SIZE || recvmsg(ends[1], &message, 0) != SIZE)
        die("sendmsg and recvmsg");
}

static void send_recv_udp(int i)
{
    (void)i;
    if (send(datagrams[0], data, SIZE, 0) != SIZE || recv(datagrams[1], data, SIZE, 0) != SIZE)
        die("send and recv of a datagram");
}

static void sendto_recv_udp(int i)
{
    socklen_t size = sizeof receiver_name.inet;

    (void)i;
    if (sendto(datagrams[0], data, SIZE, 0, &receiver_name.any, size) != SIZE ||
        recv(datagrams[1], data, SIZE, 0) != SIZE)
        die("sendto and recv of a datagram");
}

/* Nanoseconds for one call, done `count` times (a multiple of BATCH) in batches: the median of the batches, which
 * another process that takes the CPU meanwhile hardly moves. */
static double measure(void (*before)(void), void (*operation)(int), void (*after)(void), int count)
{
    int batches = count / BATCH;
    double *took = calloc(batches, sizeof *took);

    if (took == NULL)
        die("calloc");
    for (int batch = 0; batch < batches; batch++) {
        if (before != NULL)
            before();
        double start = now();
        for (int i = 0; i < BATCH; i++)
            operation(i);
        took[batch] = (now() - start) / BATCH;
        if (after != NULL)
            after();
    }
    qsort(took, batches, sizeof *took, compare);
    double median = took[batches / 2];
    free(took);
    return median;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*before)(void);
        void (*operation)(int);
        void (*after)(void);
        int times;
    } operations[] = {
        {"connect", make_inet, connect_inet, drop_inet, 1},
        {"connect_unix", make_unix, connect_unix, drop_unix, 1},
        {"send_recv", NULL, send_recv, NULL, 10},
        {"send_recv_8k", NULL, send_recv_8k, NULL, 10},
        {"sendmsg_recvmsg", NULL, sendmsg_recvmsg, NULL, 1},
        {"send_recv_udp", NULL, send_recv_udp, NULL, 10},
        {"sendto_recv_udp", NULL, sendto_recv_udp, NULL, 1},
    };

    if (argc != 3 || chdir(argv[1]) != 0) {
        fputs("usage: net DIRECTORY COUNT\n", stderr);
        return 2;
    }
    int count = (atoi(argv[2]) + BATCH - 1) / BATCH * BATCH;
    inet_name.inet.sin_family = AF_INET;
    inet_name.inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    inet_server = serve(&inet_name, sizeof inet_name.inet);
    unix_name.path.sun_family = AF_UNIX;
    strcpy(unix_name.path.sun_path, "server");
    unix_server = serve(&unix_name, sizeof unix_name.path);
    ends[0] = made(AF_INET, SOCK_STREAM);
    if (connect(ends[0], &inet_name.any, sizeof inet_name.inet) != 0)
        die("connect");
    ends[1] = accept(inet_server, NULL, NULL);
    socklen_t size = sizeof receiver_name.inet;
    receiver_name.inet.sin_family = AF_INET;
    receiver_name.inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    datagrams[0] = made(AF_INET, SOCK_DGRAM);
    datagrams[1] = made(AF_INET, SOCK_DGRAM);
    if (bind(datagrams[1], &receiver_name.any, size) != 0 ||
        getsockname(datagrams[1], &receiver_name.any, &size) != 0 ||
        connect(datagrams[0], &receiver_name.any, size) != 0)
        die("sockets for datagrams");
    putchar('{');
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        int times = count * operations[i].times;
        measure(operations[i].before, operations[i].operation, operations[i].after, BATCH);
        double cost = measure(operations[i].before, operations[i].operation, operations[i].after, times);
        printf("%s\"%s\": %.0f", i ? ", " : "", operations[i].name, cost);
    }
    puts("}");
    unlink("server");
    return 0;
}
