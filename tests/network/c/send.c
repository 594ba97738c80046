/* Change what a message is sent to, or by, while the call is made, for a bounded time.
 *
 * send name PORT PORT        the address under sendto; 127.0.0.1, the first port good, the second bad
 * send connect PORT PORT     under connect of a datagram socket, by which is then sent
 * send header PORT PORT      the pointer to the address in a struct msghdr, under sendmsg
 * send many PORT PORT        the same of the second message, under sendmmsg
 * send descriptor PORT PORT  the descriptor, between a pair of packets, which takes no address, and UDP
 * send path PATH PATH        the path of a unix socket, under sendmsg
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_storage good, bad;
static volatile char shared[sizeof(struct sockaddr_storage)];
static socklen_t size;
static struct mmsghdr messages[2];
static atomic_int ended, began;
static int number = -1, packets = -1, datagrams = -1;
static char text[] = "text";
static struct iovec content = {text, 4};

static void rest(void)
{
    for (volatile int i = 0; i < 300; i++)
        ;
}

static void put(const struct sockaddr_storage *name)
{
    for (socklen_t i = 0; i < size; i++)
        shared[i] = ((const char *)name)[i];
}

static void *swap_address(void *unused)
{
    (void)unused;
    while (!ended) {
        put(&good);
        rest();
        put(&bad);
        rest();
        began = 1;
    }
    return NULL;
}

static void *swap_pointer(void *which)
{
    volatile struct msghdr *header = which;
    while (!ended) {
        header->msg_name = &good;
        rest();
        header->msg_name = &bad;
        rest();
        began = 1;
    }
    return NULL;
}

static void *swap_descriptor(void *unused)
{
    (void)unused;
    while (!ended) {
        dup2(packets, number);
        rest();
        dup2(datagrams, number);
        rest();
        began = 1;
    }
    return NULL;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void name(struct sockaddr_storage *to, const char *given)
{
    if (given[0] == '/') {
        struct sockaddr_un *un = (struct sockaddr_un *)to;
        un->sun_family = AF_UNIX;
        strncpy(un->sun_path, given, sizeof un->sun_path - 1);
        size = sizeof *un;
        return;
    }
    struct sockaddr_in *in = (struct sockaddr_in *)to;
    in->sin_family = AF_INET;
    in->sin_port = htons(atoi(given));
    inet_pton(AF_INET, "127.0.0.1", &in->sin_addr);
    size = sizeof *in;
}

int main(int argc, char **argv)
{
    const char *seconds = getenv("RACE");
    pthread_t thread;
    if (argc != 4)
        return 2;
    const char *way = argv[1];
    name(&good, argv[2]);
    name(&bad, argv[3]);
    put(&good);
    for (int i = 0; i < 2; i++) {
        struct msghdr *header = &messages[i].msg_hdr;
        header->msg_name = &good;
        header->msg_namelen = size;
        header->msg_iov = &content;
        header->msg_iovlen = 1;
    }
    datagrams = socket(good.ss_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (datagrams < 0)
        return perror("socket"), 3;
    number = datagrams;
    void *(*swap)(void *) = swap_address;
    void *which = NULL;
    if (!strcmp(way, "header") || !strcmp(way, "many")) {
        swap = swap_pointer;
        which = &messages[way[0] == 'm'].msg_hdr;
    } else if (!strcmp(way, "path")) {
        messages[0].msg_hdr.msg_name = (void *)shared;
    } else if (!strcmp(way, "descriptor")) {
        int pair[2];
        swap = swap_descriptor;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) < 0)
            return perror("socketpair"), 3;
        packets = pair[0];
        number = dup(packets);
        messages[0].msg_hdr.msg_name = &bad;
    }
    pthread_create(&thread, NULL, swap, which);
    while (!began)
        sched_yield();
    double end = now() + (seconds ? atof(seconds) : 0.2);
    /* On a busy machine the other thread is stopped at another place each time that this one gives way. */
    for (int round = 0; now() < end || round < 50; round++) {
        sched_yield();
        if (!strcmp(way, "name")) {
            sendto(number, text, 4, 0, (struct sockaddr *)shared, size);
        } else if (!strcmp(way, "connect")) {
            if (!connect(number, (struct sockaddr *)shared, size))
                send(number, text, 4, 0);
        } else if (!strcmp(way, "many")) {
            sendmmsg(number, messages, 2, 0);
        } else {
            sendmsg(number, &messages[0].msg_hdr, 0);
        }
    }
    ended = 1;
    pthread_join(thread, NULL);
    return 0;
}
