/* Swap the address under connect or bind while the call is made, for a bounded time.
 *
 * swap connect PORT PORT    127.0.0.1, the first port good, the second bad
 * swap unix PATH PATH       the same for unix sockets
 * swap bind                 an address that may be bound, and one that may not; says "got" for the second
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_storage shared, good, bad;
static socklen_t size;
static atomic_int ended;

static void *swap(void *unused) {
    (void)unused;
    while (!ended) {
        memcpy(&shared, &good, size);
        for (volatile int i = 0; i < 300; i++);
        memcpy(&shared, &bad, size);
        for (volatile int i = 0; i < 300; i++);
    }
    return NULL;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void inet(struct sockaddr_storage *to, const char *host, int port) {
    struct sockaddr_in *in = (struct sockaddr_in *)to;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    inet_pton(AF_INET, host, &in->sin_addr);
    size = sizeof *in;
}

static void local(struct sockaddr_storage *to, const char *path) {
    struct sockaddr_un *un = (struct sockaddr_un *)to;
    un->sun_family = AF_UNIX;
    strncpy(un->sun_path, path, sizeof un->sun_path - 1);
    size = sizeof *un;
}

int main(int argc, char **argv) {
    const char *seconds = getenv("RACE");
    double end = now() + (seconds ? atof(seconds) : 0.2);
    int binds = argc > 1 && !strcmp(argv[1], "bind");
    pthread_t thread;

    if (binds) {
        inet(&good, "127.0.0.1", 0);
        inet(&bad, "0.0.0.0", 0);
    } else if (argc != 4) {
        return 2;
    } else if (!strcmp(argv[1], "unix")) {
        local(&good, argv[2]);
        local(&bad, argv[3]);
    } else {
        inet(&good, "127.0.0.1", atoi(argv[2]));
        inet(&bad, "127.0.0.1", atoi(argv[3]));
    }
    memcpy(&shared, &good, size);
    pthread_create(&thread, NULL, swap, NULL);
    while (now() < end) {
        int fd = socket(good.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (fd < 0) return perror("socket"), 3;
        if (!binds) {
            connect(fd, (struct sockaddr *)&shared, size);
        } else if (!bind(fd, (struct sockaddr *)&shared, size)) {
            struct sockaddr_in name;
            socklen_t length = sizeof name;
            getsockname(fd, (struct sockaddr *)&name, &length);
            if (!name.sin_addr.s_addr) {
                puts("got");
                end = 0;
            }
        }
        close(fd);
    }
    ended = 1;
    pthread_join(thread, NULL);
    return 0;
}
