"""Every row of the syscall table, against the kernel's own answer."""
