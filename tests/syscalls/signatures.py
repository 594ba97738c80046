"""Parameters of the calls in the table, as the kernel names them.

Recorded on Linux 6.18 from its own tracepoints (``events/syscalls/sys_enter_*/format`` in tracefs), which are
made from the same ``SYSCALL_DEFINE`` lines as the code: a source that depends on
nobody's reading of manuals. Those of 32-bit ABIs alone, which have no tracepoints, are named as in
arch/x86/kernel/sys_ia32.c, kernel/uid16.c, fs/stat.c, fs/readdir.c, fs/namespace.c and net/compat.c.
"""

from __future__ import annotations

SIGNATURES: dict[str, tuple[str, ...]] = {
    line.split()[0]: tuple(line.split()[1:])
    for line in """
access filename mode
acct name
chdir filename
chmod filename mode
chown filename user group
chroot filename
creat pathname mode
execve filename argv envp
execveat fd filename argv envp flags
faccessat dfd filename mode
faccessat2 dfd filename mode flags
fanotify_mark fanotify_fd flags mask dfd pathname
fchdir fd
fchmod fd mode
fchmodat dfd filename mode
fchmodat2 dfd filename mode flags
fchown fd user group
fchownat dfd filename user group flag
file_getattr dfd filename ufattr usize at_flags
file_setattr dfd filename ufattr usize at_flags
fremovexattr fd name
fsconfig fd cmd _key _value aux
fgetxattr fd name value size
flistxattr fd list size
fstat fd statbuf
fstatfs fd buf
fsetxattr fd name value size flags
fsmount fs_fd flags attr_flags
fsopen _fs_name flags
fspick dfd path flags
futimesat dfd filename utimes
getdents fd dirent count
getdents64 fd dirent count
getxattr pathname name value size
getxattrat dfd pathname at_flags name uargs usize
inotify_add_watch fd pathname mask
ioctl fd cmd arg
lchown filename user group
lgetxattr pathname name value size
link oldname newname
linkat olddfd oldname newdfd newname flags
listxattr pathname list size
listxattrat dfd pathname at_flags list size
llistxattr pathname list size
lremovexattr pathname name
lsetxattr pathname name value size flags
lstat filename statbuf
mkdir pathname mode
mkdirat dfd pathname mode
mknod filename mode dev
mknodat dfd filename mode dev
mount dev_name dir_name type flags data
mount_setattr dfd path flags uattr usize
move_mount from_dfd from_pathname to_dfd to_pathname flags
name_to_handle_at dfd name handle mnt_id flag
newfstatat dfd filename statbuf flag
open filename flags mode
open_by_handle_at mountdirfd handle flags
open_tree dfd filename flags
open_tree_attr dfd filename flags uattr usize
openat dfd filename flags mode
openat2 dfd filename how usize
pivot_root new_root put_old
quotactl cmd special id addr
quotactl_fd fd cmd id addr
readlink path buf bufsiz
readlinkat dfd pathname buf bufsiz
removexattr pathname name
removexattrat dfd pathname at_flags name
rename oldname newname
renameat olddfd oldname newdfd newname
renameat2 olddfd oldname newdfd newname flags
rmdir pathname
setxattr pathname name value size flags
setxattrat dfd pathname at_flags name uargs usize
socket family type protocol
socketpair family type protocol usockvec
connect fd uservaddr addrlen
bind fd umyaddr addrlen
listen fd backlog
sendto fd buff len flags addr addr_len
sendmsg fd msg flags
sendmmsg fd mmsg vlen flags
stat filename statbuf
statfs pathname buf
statx dfd filename flags mask buffer
swapoff specialfile
swapon specialfile swap_flags
symlink oldname newname
symlinkat oldname newdfd newname
truncate path length
umount2 name flags
unlink pathname
unlinkat dfd pathname flag
utime filename times
utimensat dfd filename utimes flags
utimes filename utimes
setpriority which who niceval
ioprio_set which who ioprio
sched_setparam pid param
sched_setscheduler pid policy param
sched_setaffinity pid len user_mask_ptr
sched_setattr pid uattr flags
setpgid pid pgid
prlimit64 pid resource new_rlim old_rlim
shmget key size shmflg
semget key nsems semflg
msgget key msgflg
shmat shmid shmaddr shmflg
shmctl shmid cmd buf
semop semid tsops nsops
semtimedop semid tsops nsops timeout
semctl semid semnum cmd arg
msgsnd msqid msgp msgsz msgflg
msgrcv msqid msgp msgsz msgtyp msgflg
msgctl msqid cmd buf
truncate64 filename offset_low offset_high
chown32 filename user group
lchown32 filename user group
fchown32 fd user group
utimensat_time64 dfd filename utimes flags
oldstat filename statbuf
oldlstat filename statbuf
oldfstat fd statbuf
stat64 filename statbuf
lstat64 filename statbuf
fstatat64 dfd filename statbuf flag
fstat64 fd statbuf
fstatfs64 fd sz buf
statfs64 pathname sz buf
readdir fd dirent count
socketcall call args
ipc call first second third ptr fifth
semtimedop_time64 semid tsops nsops timeout
umount name
""".strip().splitlines()
}
