/* floor [-d PREFIX] COMMAND [ARGUMENT…]: the least that a supervisor by user notification can cost.
 *
 * The command runs under a filter that notifies of every call that changes the file system by path. For each,
 * the path is read from the caller's memory; one that begins with PREFIX is refused with EACCES, all others are
 * answered with "continue". No resolution, no rules: this is the floor that sydd is measured against, and no
 * access control (the caller can change the path after it was read).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Newer than some headers: Linux 5.19 and 6.6. */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1UL
#endif

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "add the AUDIT_ARCH_ constant of this machine"
#endif

#define ANY_FLAGS (-1)
#define IF_PATH (-2) /* with a null pointer the call is about a descriptor */

/* A call, the register of its path, and that of its open flags if only some opens are of interest. */
struct call {
    int number;
    int path;
    int flags;
};

static const struct call calls[] = {
    {__NR_openat, 1, 2},
    {__NR_mkdirat, 1, ANY_FLAGS},
    {__NR_mknodat, 1, ANY_FLAGS},
    {__NR_unlinkat, 1, ANY_FLAGS},
    {__NR_renameat2, 1, ANY_FLAGS},
    {__NR_linkat, 1, ANY_FLAGS},
    {__NR_symlinkat, 2, ANY_FLAGS},
    {__NR_truncate, 0, ANY_FLAGS},
    {__NR_fchmodat, 1, ANY_FLAGS},
    {__NR_fchownat, 1, ANY_FLAGS},
    {__NR_utimensat, 1, IF_PATH},
    {__NR_setxattr, 0, ANY_FLAGS},
    {__NR_lsetxattr, 0, ANY_FLAGS},
#ifdef __NR_renameat
    {__NR_renameat, 1, ANY_FLAGS},
#endif
#ifdef __NR_open /* the old calls, which newer architectures lack */
    {__NR_open, 0, 1},
    {__NR_creat, 0, ANY_FLAGS},
    {__NR_mkdir, 0, ANY_FLAGS},
    {__NR_mknod, 0, ANY_FLAGS},
    {__NR_rmdir, 0, ANY_FLAGS},
    {__NR_unlink, 0, ANY_FLAGS},
    {__NR_rename, 0, ANY_FLAGS},
    {__NR_link, 0, ANY_FLAGS},
    {__NR_symlink, 1, ANY_FLAGS},
    {__NR_chmod, 0, ANY_FLAGS},
    {__NR_chown, 0, ANY_FLAGS},
    {__NR_lchown, 0, ANY_FLAGS},
    {__NR_utime, 0, ANY_FLAGS},
    {__NR_utimes, 0, ANY_FLAGS},
#endif
};
#define CALLS (sizeof calls / sizeof calls[0])

static void die(const char *what)
{
    perror(what);
    exit(125);
}

#define ARGUMENT(n) (offsetof(struct seccomp_data, args) + 8 * (n)) /* its low half: little endian */

/* Build the filter, load it, and return the listener. */
static int load_filter(void)
{
    static struct sock_filter code[8 + 7 * CALLS];
    const uint32_t writes = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;
    unsigned short n = 0;

#define PUT(...) code[n++] = (struct sock_filter)__VA_ARGS__
    PUT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)));
    PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0));
    PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    PUT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    for (size_t i = 0; i < CALLS; i++) {
        if (calls[i].flags == ANY_FLAGS) {
            PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i].number, 0, 1));
            PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
            continue;
        }
        if (calls[i].flags == IF_PATH) {
            PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i].number, 0, 6));
            PUT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT((unsigned)calls[i].path)));
            PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2));
            PUT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT((unsigned)calls[i].path) + 4));
            PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0));
            PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
            PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
            continue;
        }
        PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i].number, 0, 4));
        PUT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT((unsigned)calls[i].flags)));
        PUT(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, writes, 0, 1));
        PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
        PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    }
    PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));

    struct sock_fprog program = {.len = n, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        die("no_new_privs");
    int listener = (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
                                SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);
    if (listener < 0)
        die("seccomp");
    return listener;
}

union control {
    char space[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

static void send_descriptor(int socket, int descriptor)
{
    char byte = 0;
    union control control = {{0}};
    struct iovec data = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    if (sendmsg(socket, &message, 0) != 1)
        die("sendmsg");
}

static int receive_descriptor(int socket)
{
    char byte;
    int descriptor;
    union control control;
    struct iovec data = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};

    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 || CMSG_FIRSTHDR(&message) == NULL)
        exit(125); /* the child has said why */
    memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    return descriptor;
}

/* Read a string of another process, never across the end of a page, which may be the last one. */
static ssize_t read_path(pid_t tid, uint64_t address, char *path, size_t size)
{
    size_t have = 0;

    while (have < size) {
        size_t part = 4096 - (address + have) % 4096;
        if (part > size - have)
            part = size - have;
        struct iovec local = {path + have, part};
        struct iovec remote = {(void *)(uintptr_t)(address + have), part};
        ssize_t got = process_vm_readv(tid, &local, 1, &remote, 1, 0);
        if (got <= 0)
            return -1;
        if (memchr(path + have, 0, (size_t)got) != NULL)
            return 0;
        have += (size_t)got;
    }
    return -1;
}

static uint64_t path_address(const struct seccomp_data *data)
{
    for (size_t i = 0; i < CALLS; i++)
        if (calls[i].number == data->nr)
            return data->args[calls[i].path];
    return 0;
}

/* Answer until the last process under the filter has gone. */
static void supervise(int listener, const char *refused)
{
    struct pollfd poller = {.fd = listener, .events = POLLIN};

    /* Refused by kernels before 6.6, which then are slower. */
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
    for (;;) {
        struct seccomp_notif request = {0};
        struct seccomp_notif_resp answer = {.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        char path[4096];

        if (poll(&poller, 1, -1) < 0 && errno != EINTR)
            die("poll");
        if (!(poller.revents & POLLIN)) {
            if (poller.revents & POLLHUP)
                return;
            continue;
        }
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0)
            continue; /* the caller was killed meanwhile */
        answer.id = request.id;
        if (read_path((pid_t)request.pid, path_address(&request.data), path, sizeof path) == 0 && refused != NULL &&
            strncmp(path, refused, strlen(refused)) == 0) {
            answer.flags = 0;
            answer.error = -EACCES;
        }
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

int main(int argc, char **argv)
{
    const char *refused = NULL;
    int sockets[2], option, status;

    while ((option = getopt(argc, argv, "+d:")) != -1) {
        if (option != 'd')
            return 125;
        refused = optarg;
    }
    if (optind == argc)
        return 125;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
        die("socketpair");
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        close(sockets[0]);
        int listener = load_filter();
        send_descriptor(sockets[1], listener);
        close(listener);
        execvp(argv[optind], argv + optind);
        perror(argv[optind]);
        _exit(127);
    }
    close(sockets[1]);
    supervise(receive_descriptor(sockets[0]), refused);
    if (waitpid(child, &status, 0) != child)
        die("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
