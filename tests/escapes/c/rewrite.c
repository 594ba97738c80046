/* A tracer that changes what its tracee asks the kernel for, after the tracee has asked for something harmless.
 *
 * rewrite number PATH   getppid becomes mkdir(PATH): another number at the entry of the call
 * rewrite path PATH     mkdir("fine") becomes mkdir(PATH): another path at the entry of the call
 * rewrite seccomp PATH  the tracee's own filter says TRACE for getppid, and its tracer then makes it mkdir
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static void filter(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { 4, code };

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
    static char path[256];
    struct user_regs_struct registers;
    int status, options = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP;
    int own = argc > 2 && !strcmp(argv[1], "seccomp");
    pid_t child;

    if (argc < 3)
        return 99;
    strncpy(path, argv[2], sizeof path - 1);
    child = fork();
    if (!child) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0))
            _exit(98);
        if (own)
            filter();
        raise(SIGSTOP);
        if (!strcmp(argv[1], "path"))
            syscall(SYS_mkdir, "fine", 0755);
        else
            syscall(SYS_getppid);
        _exit(0);
    }
    waitpid(child, &status, 0);
    if (!WIFSTOPPED(status) || ptrace(PTRACE_SETOPTIONS, child, 0, options))
        return 97;
    puts("traced");
    fflush(stdout);
    for (;;) {
        if (ptrace(own ? PTRACE_CONT : PTRACE_SYSCALL, child, 0, 0) || waitpid(child, &status, 0) < 0)
            break;
        if (WIFEXITED(status) || WIFSIGNALED(status))
            break;
        if (ptrace(PTRACE_GETREGS, child, 0, &registers))
            break;
        if ((registers.orig_rax == SYS_getppid && registers.rax == (unsigned long long)-ENOSYS)
            || (registers.orig_rax == SYS_mkdir && registers.rax == (unsigned long long)-ENOSYS)) {
            registers.orig_rax = SYS_mkdir;
            registers.rdi = (unsigned long long)path;
            registers.rsi = 0755;
            ptrace(PTRACE_SETREGS, child, 0, &registers);
        }
    }
    return 0;
}
