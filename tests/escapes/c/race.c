/* Swap a path under a call while the call is made, for a bounded time.
 *
 * race WAY CALL GOOD BAD [OTHER]
 *   WAY   string: a second thread writes GOOD and BAD to one buffer in turns
 *         link:   a second thread makes `link` in the working directory lead to GOOD and to BAD in turns
 *         dir:    a second thread exchanges two directories
 *         fd:     a second thread puts descriptors of GOOD and BAD on one number in turns
 *         page:   a second thread maps and unmaps the page on which BAD is written
 * Ends with 0 when the call was seen to reach BAD, which only helps to end early: the test looks itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static char shared[4096];
static struct open_how how;
static atomic_int ended;
static const char *good, *bad, *other;
static int number = -1, good_fd = -1, bad_fd = -1;
static const char *secret = "the-private-key";

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void *swap_string(void *unused) {
    (void)unused;
    size_t one = strlen(good) + 1, two = strlen(bad) + 1;
    while (!ended) {
        memcpy(shared, good, one);
        for (volatile int i = 0; i < 300; i++);
        memcpy(shared, bad, two);
        for (volatile int i = 0; i < 300; i++);
    }
    return NULL;
}

static void *swap_how(void *unused) {
    (void)unused;
    while (!ended) {
        how.flags = O_RDONLY;
        for (volatile int i = 0; i < 300; i++);
        how.flags = O_WRONLY | O_TRUNC;
        for (volatile int i = 0; i < 300; i++);
    }
    return NULL;
}

static void *swap_link(void *unused) {
    (void)unused;
    while (!ended) {
        unlink("link.new");
        if (!symlink(good, "link.new")) rename("link.new", "link");
        unlink("link.new");
        if (!symlink(bad, "link.new")) rename("link.new", "link");
    }
    return NULL;
}

static void *swap_directories(void *unused) {
    (void)unused;
    while (!ended) syscall(SYS_renameat2, AT_FDCWD, good, AT_FDCWD, bad, 2 /* EXCHANGE */);
    return NULL;
}

static void *swap_fd(void *unused) {
    (void)unused;
    while (!ended) {
        dup2(good_fd, number);
        dup2(bad_fd, number);
    }
    return NULL;
}

static char *page;
static int page_fd = -1;

static void *swap_page(void *unused) {
    (void)unused;
    while (!ended) {
        mmap(page, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, page_fd, 0);
        for (volatile int i = 0; i < 300; i++);
        munmap(page, 4096);
        for (volatile int i = 0; i < 300; i++);
    }
    return NULL;
}

static int reads_secret(int fd) {
    char text[256] = "";
    if (fd < 0) return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got > 0 && strstr(text, secret)) {
        write(1, text, got);
        return 1;
    }
    return 0;
}

static int found(void) {
    write(1, secret, strlen(secret));
    return 1;
}

/* Looking up what must not be seen: it has more than five bytes, a mode, a target, attributes, or is there at all.
 * Below 0 when it is no such call. */
static int looked_up(const char *call, const char *path) {
    struct stat s = {0};
    struct statx x = {0};
    char text[256] = "";
    if (!strcmp(call, "stat")) return !stat(path, &s) && s.st_size > 5 && found();
    if (!strcmp(call, "lstat")) return !lstat(path, &s) && s.st_size > 5 && found();
    if (!strcmp(call, "statx")) return !statx(AT_FDCWD, path, 0, STATX_SIZE, &x) && x.stx_size > 5 && found();
    if (!strcmp(call, "access")) return !access(path, X_OK) && found();
    if (!strcmp(call, "faccessat2")) return !syscall(439, AT_FDCWD, path, X_OK, AT_EACCESS) && found();
    if (!strcmp(call, "exists")) return !access(path, F_OK) && found();
    if (!strcmp(call, "readlink")) return readlink(path, text, sizeof text - 1) > 0 && strstr(text, secret) && found();
    if (!strcmp(call, "getxattr")) return getxattr(path, "user.kept", text, sizeof text) > 0 && found();
    if (!strcmp(call, "listxattr")) return listxattr(path, text, sizeof text) > 0 && found();
    if (!strcmp(call, "handle")) {
        struct file_handle *handle = (struct file_handle *)text;
        int mount;
        handle->handle_bytes = 128;
        return !name_to_handle_at(AT_FDCWD, path, handle, &mount, 0) && found();
    }
    if (!strcmp(call, "held")) { /* an O_PATH descriptor, looked at */
        int fd = open(path, O_PATH);
        if (fd < 0) return 0;
        int reached = !fstat(fd, &s) && s.st_size > 5; /* by newfstatat(2) in older C libraries */
#ifdef __LP64__
        reached = reached || (!syscall(SYS_fstat, fd, &s) && s.st_size > 5);
#endif
        close(fd);
        return reached && found();
    }
    return -1;
}

static int once(const char *call, const char *path) {
    if (!strcmp(call, "open")) {
        int fd = open(path, O_WRONLY);
        if (fd < 0) return 0;
        struct stat one, two;
        fstat(fd, &one);
        int reached = other && !stat(other, &two) && one.st_ino == two.st_ino;
        if (reached) write(fd, "changed", 7);
        close(fd);
        return reached;
    }
    if (!strcmp(call, "creat")) { int fd = open(path, O_WRONLY | O_CREAT, 0600); if (fd >= 0) close(fd); return 0; }
    if (!strcmp(call, "read")) return reads_secret(open(path, O_RDONLY));
    if (!strcmp(call, "openat2")) {
        struct open_how fixed = {.flags = O_WRONLY | O_CREAT, .mode = 0600};
        int fd = syscall(SYS_openat2, AT_FDCWD, path, &fixed, sizeof fixed);
        if (fd >= 0) close(fd);
        return 0;
    }
    if (!strcmp(call, "how")) {
        int fd = syscall(SYS_openat2, AT_FDCWD, bad, &how, sizeof how);
        if (fd >= 0) close(fd);
        return 0;
    }
    if (!strcmp(call, "truncate")) return truncate(path, 1), 0;
    if (!strcmp(call, "unlink")) return unlink(path), 0;
    if (!strcmp(call, "mkdir")) return mkdir(path, 0700), 0;
    if (!strcmp(call, "mknod")) return mknod(path, S_IFIFO | 0600, 0), 0;
    if (!strcmp(call, "symlink")) return symlink("x", path), 0;
    if (!strcmp(call, "chmod")) return chmod(path, 0777), 0;
    if (!strcmp(call, "fchmod")) return fchmod(number, 0777), 0;
    if (!strcmp(call, "futimens")) { struct timespec t[2] = {{1, 0}, {1, 0}}; return futimens(number, t), 0; }
    if (!strcmp(call, "fsetxattr")) return fsetxattr(number, "user.sydd", "x", 1, 0), 0;
    if (!strcmp(call, "utimes")) { struct timeval t[2] = {{1, 0}, {1, 0}}; return utimes(path, t), 0; }
    if (!strcmp(call, "setxattr")) return setxattr(path, "user.sydd", "x", 1, 0), 0;
    if (!strcmp(call, "rename")) { /* whatever is there becomes a name in the working directory */
        if (!rename(path, "taken")) { struct stat s; return !stat("taken", &s) && s.st_size > 5; }
        return 0;
    }
    if (!strcmp(call, "take")) { /* whatever is there becomes `n`, and again what it was when it is no directory with it */
        if (rename(path, "n")) return 0;
        if (reads_secret(open("n/kept", O_RDONLY))) return 1;
        return rename("n", path), 0;
    }
    if (!strcmp(call, "renamedir")) { /* the same with a directory, known by what is in it */
        mkdir(good, 0700);
        if (rename(path, "taken")) return 0;
        return !access("taken/mark", F_OK) || (rmdir("taken"), 0);
    }
    if (!strcmp(call, "link")) { /* keep it when it is the big one */
        struct stat s;
        unlink("taken");
        return !link(path, "taken") && !stat("taken", &s) && s.st_size > 5;
    }
    if (!strcmp(call, "renameto")) { /* a file of one's own becomes whatever name is there */
        int fd = open("own", O_WRONLY | O_CREAT, 0600);
        if (fd >= 0) close(fd);
        return rename("own", path), 0;
    }
    if (!strcmp(call, "dirfd")) return reads_secret(openat(number, "id", O_RDONLY));
    if (!strcmp(call, "dirunlink")) return unlinkat(number, "victim", 0), 0;
    if (!strcmp(call, "dircreate")) { int fd = openat(number, "planted", O_WRONLY | O_CREAT, 0600); if (fd >= 0) close(fd); return 0; }
    if (!strcmp(call, "list")) {
        char names[4096];
        lseek(number, 0, SEEK_SET);
        long got = syscall(SYS_getdents64, number, names, sizeof names);
        for (long i = 0; i + 15 < got; i++)
            if (!memcmp(names + i, secret, 15)) return write(1, secret, 15), 1;
        return 0;
    }
    int looked = looked_up(call, path);
    if (looked >= 0) return looked;
    fprintf(stderr, "race: no such call: %s\n", call);
    exit(2);
}

int main(int argc, char **argv) {
    if (argc < 5) return 2;
    const char *way = argv[1], *call = argv[2];
    good = argv[3], bad = argv[4], other = argc > 5 ? argv[5] : argv[4];
    double seconds = getenv("RACE") ? atof(getenv("RACE")) : 0.5;
    pthread_t thread;
    void *(*swapper)(void *) = NULL;
    const char *path = shared;
    if (!strcmp(way, "string")) { strcpy(shared, good); swapper = swap_string; }
    if (!strcmp(way, "how")) swapper = swap_how;
    if (!strcmp(way, "link")) { symlink(good, "link"); path = "link"; swapper = swap_link; }
    if (!strcmp(way, "dir")) { path = argv[6]; swapper = swap_directories; }
    if (!strcmp(way, "fd")) {
        int directory = !strncmp(call, "dir", 3) || !strcmp(call, "list");
        good_fd = open(good, O_RDONLY | (directory && strcmp(call, "list") ? O_PATH : 0));
        bad_fd = open(bad, O_RDONLY | (directory && strcmp(call, "list") ? O_PATH : 0));
        if (good_fd < 0 || bad_fd < 0) return perror("race: open"), 3;
        number = dup(good_fd);
        swapper = swap_fd;
    }
    if (!strcmp(way, "page")) {
        page_fd = memfd_create("page", 0);
        if (page_fd < 0 || ftruncate(page_fd, 4096) || pwrite(page_fd, bad, strlen(bad), 0) < 0) return 3;
        page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, page_fd, 0);
        if (page == MAP_FAILED) return perror("race: mmap"), 3;
        path = page;
        swapper = swap_page;
    }
    if (!swapper) return 2;
    pthread_create(&thread, NULL, swapper, NULL);
    double end = now() + seconds;
    int reached = 0;
    while (!reached && now() < end)
        for (int i = 0; i < 50 && !reached; i++) reached = once(call, path);
    ended = 1;
    pthread_join(thread, NULL);
    return reached ? 0 : 1;
}
