/* landlock DIRECTORY… -- COMMAND [ARGUMENT…]: Landlock and nothing else.
 *
 * Everything may be read and executed; what lies below the directories, and /dev, may be changed too. It is the
 * limit that any sandbox with Landlock underneath can reach.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than some headers: ABI 3 and 5. */
#define TRUNCATE (1ULL << 14)
#define IOCTL_DEV (1ULL << 15)

#define READS (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)

static void die(const char *what)
{
    perror(what);
    exit(125);
}

/* Every right on the file system that the kernel's Landlock knows. */
static uint64_t rights_of(long abi)
{
    if (abi >= 5)
        return IOCTL_DEV * 2 - 1;
    if (abi >= 3)
        return TRUNCATE * 2 - 1;
    return abi == 2 ? LANDLOCK_ACCESS_FS_REFER * 2 - 1 : LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1;
}

static void allow(int ruleset, const char *directory, uint64_t rights)
{
    struct landlock_path_beneath_attr rule = {
        .allowed_access = rights, .parent_fd = open(directory, O_PATH | O_CLOEXEC)};

    if (rule.parent_fd < 0 || syscall(__NR_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
        die(directory);
    close(rule.parent_fd);
}

int main(int argc, char **argv)
{
    long abi = syscall(__NR_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    int i;

    if (abi < 0)
        die("landlock");
    struct landlock_ruleset_attr attributes = {.handled_access_fs = rights_of(abi)};
    int ruleset = (int)syscall(__NR_landlock_create_ruleset, &attributes, sizeof attributes, 0);
    if (ruleset < 0)
        die("landlock_create_ruleset");
    allow(ruleset, "/", READS & attributes.handled_access_fs);
    allow(ruleset, "/dev", attributes.handled_access_fs);
    for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        allow(ruleset, argv[i], attributes.handled_access_fs);
    if (i + 1 >= argc)
        return 125;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(__NR_landlock_restrict_self, ruleset, 0) != 0)
        die("landlock_restrict_self");
    close(ruleset);
    execvp(argv[i + 1], argv + i + 1);
    perror(argv[i + 1]);
    return 127;
}
