/* Raw system calls as a script on stdin says them; what they gave, on stdout. Each case has a process of its own.
 *
 *   case ID            a new process; everything up to the next `case` belongs to it
 *   end                runs the case now, and tells "ID done" after it: for who waits for the answer
 *   do NR ARGUMENT…    a call that prepares; told only when it fails, as "ID prepare ERRNO"
 *   call NR ARGUMENT…  the call in question, told as "ID call RESULT ERRNO"; a result below 0 is -1
 *   fd                 tells of the descriptor that it gave: number, flags, type, content, whether it can be written to
 *   out                tells the bytes of the call's buffer, as many as its result says, or all when that is 0
 *   cwd                tells the working directory
 *   name               tells what /proc calls the descriptor that `call` gave
 *   fork do …          the same in a process of its own, which then ends
 *   ids NAME           tells user and group of a new file NAME, made by this thread and then by another one
 *
 * Arguments: #N a number; =HEX a string; &HEX bytes; ~ a bad pointer; >HEX a string whose end is the last byte before
 * an unmapped page; !HEX one that runs into that page; @N a buffer of N bytes to be filled; $ the result of the last
 * `do`; *HEX,FLAGS a struct xattr_args about these bytes; |HEX a string that lies across two pages;
 * %HEX,HEX,HEX a struct mmsghdr with this name, content and ancillary data.
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef SYS_fstat64
#define NR_FSTAT SYS_fstat64
#else
#define NR_FSTAT SYS_fstat
#endif

static const char *identity;
static long result, prepared;
static unsigned char *buffer;
static size_t buffer_size;

static size_t unhex(const char *text, unsigned char *to)
{
    size_t size = 0;
    unsigned byte;
    for (; text[0] && text[0] != ',' && sscanf(text, "%2x", &byte) == 1; text += 2)
        to[size++] = (unsigned char)byte;
    return size;
}

/* So many bytes, the last of which is followed by a page that is not there. */
static unsigned char *at_the_edge(size_t size)
{
    size_t page = 4096, room = (size + page - 1) / page * page;
    unsigned char *map = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(map + room, page);
    return map + room - size;
}

static uint64_t argument(const char *word)
{
    unsigned char *bytes = calloc(1, strlen(word) + 64), *place;
    size_t size;
    switch (word[0]) {
    case '#':
        return strtoull(word + 1, NULL, 0);
    case '$':
        return (uint64_t)prepared;
    case '~':
        return 0xdead000;
    case '=':
    case '&':
        unhex(word + 1, bytes);
        return (uintptr_t)bytes;
    case '>':
    case '!':
        size = unhex(word + 1, bytes) + (word[0] == '>');
        place = at_the_edge(size);
        memcpy(place, bytes, size);
        return (uintptr_t)place;
    case '|':
        size = unhex(word + 1, bytes) + 1;
        place = at_the_edge(4096 + size / 2) + 4096 - size + size / 2;
        memcpy(place, bytes, size);
        return (uintptr_t)place;
    case '@':
        buffer_size = strtoul(word + 1, NULL, 0);
        buffer = calloc(1, buffer_size + 1);
        if (buffer_size >= 8)
            buffer[0] = (unsigned char)(buffer_size - 8); /* handle_bytes of struct file_handle */
        return (uintptr_t)buffer;
    case '*': {
        struct { uint64_t value; uint32_t size, flags; } *arguments = calloc(1, sizeof *arguments);
        arguments->size = (uint32_t)unhex(word + 1, bytes);
        arguments->value = (uintptr_t)bytes;
        arguments->flags = (uint32_t)strtoul(strchr(word, ',') + 1, NULL, 0);
        return (uintptr_t)arguments;
    }
    case '%': {
        struct mmsghdr *message = calloc(1, sizeof *message);
        struct iovec *vector = calloc(1, sizeof *vector);
        const char *content = strchr(word, ',') + 1, *control = strchr(content, ',') + 1;
        message->msg_hdr.msg_name = calloc(1, strlen(word));
        message->msg_hdr.msg_namelen = (socklen_t)unhex(word + 1, message->msg_hdr.msg_name);
        message->msg_hdr.msg_iov = vector;
        message->msg_hdr.msg_iovlen = 1;
        vector->iov_base = calloc(1, strlen(word));
        vector->iov_len = unhex(content, vector->iov_base);
        message->msg_hdr.msg_control = calloc(1, strlen(word));
        message->msg_hdr.msg_controllen = unhex(control, message->msg_hdr.msg_control);
        return (uintptr_t)message;
    }
    }
    fprintf(stderr, "call: what is %s?\n", word);
    exit(2);
}

static long do_call(char *words)
{
    uint64_t a[7] = {0};
    int count = 0;
    char *rest, *word = strtok_r(words, " ", &rest);
    a[count++] = strtoull(word, NULL, 0);
    while (count < 7 && (word = strtok_r(NULL, " ", &rest)))
        a[count++] = argument(word);
    errno = 0;
    return syscall((long)a[0], (long)a[1], (long)a[2], (long)a[3], (long)a[4], (long)a[5], (long)a[6]);
}

static void tell_bytes(const unsigned char *bytes, long size)
{
    for (long i = 0; i < size; i++)
        printf("%02x", bytes[i]);
    putchar('\n');
}

static void tell_descriptor(int fd)
{
    struct stat about;
    unsigned char content[64];
    if (fd < 0)
        return;
    int flags = fcntl(fd, F_GETFL), fdflags = fcntl(fd, F_GETFD);
    /* Not by newfstatat(2), as the C library does it: a policy may have something to say about that. */
    if (syscall(NR_FSTAT, fd, &about) < 0)
        memset(&about, 0, sizeof about);
    /* O_NOFOLLOW stays among the flags of a file, where it means nothing any more; O_LARGEFILE, to 32-bit programs,
     * is what opened it: a supervisor of 64 bits. */
    printf("%s fd %d flags %o cloexec %d mode %o nlink %ld position %ld\n", identity, fd,
           flags & ~(O_NOFOLLOW | O_LARGEFILE), fdflags, about.st_mode, (long)about.st_nlink, (long)lseek(fd, 0, SEEK_CUR));
    if ((flags & O_ACCMODE) != O_WRONLY && S_ISREG(about.st_mode)) {
        ssize_t size = read(fd, content, sizeof content);
        printf("%s content %zd ", identity, size < 0 ? -errno : size);
        tell_bytes(content, size < 0 ? 0 : size);
    }
    if (S_ISREG(about.st_mode))
        printf("%s written %zd position %ld\n", identity, write(fd, "W", 1), (long)lseek(fd, 0, SEEK_CUR));
}

static void tell_name(int fd)
{
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = fd < 0 ? 0 : readlink(link, name, sizeof name);
    printf("%s name %.*s\n", identity, (int)(size < 0 ? 0 : size), name);
}

static pthread_barrier_t barrier;

static void *other_thread(void *path)
{
    char name[4096];
    struct stat about;
    snprintf(name, sizeof name, "%s-other", (char *)path);
    pthread_barrier_wait(&barrier); /* the main thread has changed its user by now */
    int fd = (int)syscall(SYS_openat, AT_FDCWD, name, O_CREAT | O_WRONLY, 0666);
    printf("%s other %d errno %d", identity, fd < 0 ? -1 : 0, fd < 0 ? errno : 0);
    if (fd >= 0 && !syscall(NR_FSTAT, fd, &about))
        printf(" owner %u group %u", about.st_uid, about.st_gid);
    putchar('\n');
    return NULL;
}

/* This thread alone gives its privileges up; then both make a file. */
static void tell_identities(char *words)
{
    struct stat about;
    char *name = strtok(words, " ");
    char path[8192] = {0};
    unhex(name, (unsigned char *)path);
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, other_thread, path);
    syscall(SYS_setgroups, 0, NULL);
    long changed = syscall(SYS_setresgid, 65534, 65534, 65534) | syscall(SYS_setresuid, 65534, 65534, 65534);
    printf("%s changed %ld\n", identity, changed);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_WRONLY, 0666);
    printf("%s own %d errno %d", identity, fd < 0 ? -1 : 0, fd < 0 ? errno : 0);
    if (fd >= 0 && !syscall(NR_FSTAT, fd, &about))
        printf(" owner %u group %u", about.st_uid, about.st_gid);
    putchar('\n');
    fflush(stdout);
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
}

static void run_case(char *script)
{
    char *rest, *line;
    alarm(10);
    for (line = strtok_r(script, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (!strncmp(line, "do ", 3)) {
            prepared = do_call(line + 3);
            if (prepared < 0)
                printf("%s prepare %d\n", identity, errno);
        } else if (!strncmp(line, "fork do ", 8)) {
            fflush(stdout);
            if (!fork()) {
                do_call(line + 8);
                _exit(0);
            }
        } else if (!strncmp(line, "call ", 5)) {
            fflush(stdout);
            result = do_call(line + 5);
            int number = result < 0 ? errno : 0;
            printf("%s call %ld %d\n", identity, result < 0 ? -1 : result, number);
        } else if (!strcmp(line, "fd")) {
            tell_descriptor((int)result);
        } else if (!strcmp(line, "out")) {
            if (result >= 0) {
                printf("%s out ", identity);
                tell_bytes(buffer, result ? result : (long)buffer_size);
            }
        } else if (!strcmp(line, "name")) {
            tell_name((int)result);
        } else if (!strcmp(line, "cwd")) {
            char *where = getcwd(NULL, 0);
            printf("%s cwd %s\n", identity, where ? where : strerror(errno));
        } else if (!strncmp(line, "ids ", 4)) {
            tell_identities(line + 4);
        }
    }
    fflush(stdout);
    _exit(0);
}

static void start_case(char *script)
{
    char *end = strchr(script, '\n');
    if (strncmp(script, "case ", 5) || !end)
        return;
    *end = 0;
    identity = script + 5;
    pid_t child = fork();
    if (!child)
        run_case(end + 1);
    int status;
    waitpid(child, &status, 0);
    if (status)
        printf("%s ended %d\n", identity, status);
    fflush(stdout);
}

int main(void)
{
    char *line = NULL, *script = NULL;
    size_t room = 0, line_room = 0, size = 0;
    ssize_t got;
    while ((got = getline(&line, &line_room, stdin)) > 0) {
        int ends = !strcmp(line, "end\n");
        if (size && (ends || !strncmp(line, "case ", 5))) {
            start_case(script);
            size = 0;
        }
        if (ends) {
            printf("%s done\n", identity);
            fflush(stdout);
            continue;
        }
        if (size + (size_t)got >= room)
            script = realloc(script, room = 2 * (size + (size_t)got) + 1);
        memcpy(script + size, line, (size_t)got + 1);
        size += (size_t)got;
    }
    if (size)
        start_case(script);
    return 0;
}
