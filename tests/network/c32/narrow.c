/* Messages by the calls of 32-bit programs, the direct ones and those by socketcall.
 *
 * narrow PORT PORT
 *
 * Each form sends to the first port of 127.0.0.1, and then to the second; tells what came of both. At last a descriptor
 * is passed on, with credentials, and what comes through it is told.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYS_CALL_SOCKET 102
enum { SENDTO = 11, SENDMSG = 16, SENDMMSG = 20 };

static char text[] = "text";
static struct iovec parts[2] = {{text, 2}, {text + 2, 2}};

static struct sockaddr_in name(const char *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    inet_pton(AF_INET, "127.0.0.1", &in.sin_addr);
    return in;
}

static long told(long result)
{
    return result < 0 ? -errno : result;
}

static long message(int form, int fd, struct sockaddr_in *to)
{
    struct mmsghdr all[2] = {};
    for (int i = 0; i < 2; i++)
        all[i].msg_hdr = (struct msghdr){.msg_name = to, .msg_namelen = sizeof *to, .msg_iov = parts, .msg_iovlen = 2};
    long words[6] = {fd, (long)text, 4, 0, (long)to, sizeof *to}, single[3] = {fd, (long)&all[0].msg_hdr, 0},
         many[4] = {fd, (long)all, 2, 0}, result;
    switch (form) {
    case 0: return told(syscall(SYS_sendto, fd, text, 4, 0, to, sizeof *to));
    case 1: return told(syscall(SYS_sendmsg, fd, &all[0].msg_hdr, 0));
    case 2:
        result = told(syscall(SYS_sendmmsg, fd, all, 2, 0));
        return result < 0 ? result : result * 100 + all[0].msg_len * 10 + all[1].msg_len;
    case 3: return told(syscall(SYS_CALL_SOCKET, SENDTO, words));
    case 4: return told(syscall(SYS_CALL_SOCKET, SENDMSG, single));
    case 5:
        result = told(syscall(SYS_CALL_SOCKET, SENDMMSG, many));
        return result < 0 ? result : result * 100 + all[0].msg_len * 10 + all[1].msg_len;
    case 6: return told(syscall(SYS_CALL_SOCKET, SENDTO, (void *)16));
    case 7: return told(syscall(SYS_sendmsg, fd, (void *)16, 0));
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    struct sockaddr_in good = name(argv[1]), bad = name(argv[2]);
    int fd = syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0);
    if (fd < 0)
        return perror("socket"), 3;
    for (int form = 0; form < 8; form++) {
        long first = message(form, fd, &good);
        printf("%d %ld %ld\n", form, first, message(form, fd, &bad));
    }
    int pair[2], ends[2];
    if (syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, pair) < 0 || pipe(ends) < 0)
        return perror("socketpair"), 3;
    char control[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))] = {};
    struct msghdr header = {
        .msg_iov = parts, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *item = CMSG_FIRSTHDR(&header);
    struct ucred me = {getpid(), getuid(), getgid()};
    *item = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(item), &ends[1], sizeof(int));
    item = CMSG_NXTHDR(&header, item);
    *item = (struct cmsghdr){CMSG_LEN(sizeof me), SOL_SOCKET, SCM_CREDENTIALS};
    memcpy(CMSG_DATA(item), &me, sizeof me);
    printf("%ld\n", told(sendmsg(pair[0], &header, 0)));
    header.msg_controllen = 13;
    printf("%ld\n", told(sendmsg(pair[0], &header, 0)));
    header.msg_controllen = sizeof control;
    char got[8] = {};
    struct iovec room = {got, sizeof got};
    header.msg_iov = &room;
    header.msg_iovlen = 1;
    printf("%ld\n", told(recvmsg(pair[1], &header, 0)));
    int through = -1;
    memcpy(&through, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof through);
    if (write(through, "way", 3) == 3 && read(ends[0], got, 3) == 3)
        printf("%.3s\n", got);
    return 0;
}
