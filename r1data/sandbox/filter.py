"""The seccomp filter of a job: no sockets, processes, signals, mounts, shared memory or tracing; threads stay.

What is refused returns EPERM, so that ordinary code sees an ordinary `PermissionError`.
"""

import errno
import tempfile
from functools import lru_cache

from r1data.errors import CheckFailed

REFUSED = """
socket socketpair connect bind listen accept accept4 sendto sendmsg recvmsg ptrace process_vm_readv process_vm_writev
process_madvise pidfd_open pidfd_getfd pidfd_send_signal kcmp kill tkill rt_sigqueueinfo rt_tgsigqueueinfo tgkill
setrlimit sched_setparam fork vfork execve execveat mount umount2 pivot_root chroot setns unshare fsopen fsmount
fsconfig fspick move_mount open_tree mount_setattr bpf perf_event_open keyctl add_key request_key io_uring_setup
io_uring_enter io_uring_register io_setup userfaultfd kexec_load kexec_file_load init_module finit_module
delete_module personality swapon swapoff reboot syslog quotactl acct settimeofday clock_settime clock_adjtime adjtimex
open_by_handle_at name_to_handle_at memfd_create memfd_secret move_pages migrate_pages mbind set_mempolicy setpriority
sched_setscheduler sched_setattr sched_setaffinity ioprio_set mknod mknodat shmget shmat msgget semget mq_open
inotify_init inotify_init1 fanotify_init timer_create timerfd_create eventfd eventfd2 signalfd signalfd4
landlock_create_ruleset splice tee vmsplice setsid setpgid modify_ldt lookup_dcookie iopl ioperm vhangup chmod fchmod
fchmodat chown fchown lchown fchownat
"""
_CLONE_THREAD = 0x10000
_PID, _NEW_LIMITS = 0, 2  # arguments of prlimit64
_SIGNAL_COMMANDS = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX
_SET_PDEATHSIG = 1


@lru_cache(maxsize=1)
def seccomp_program() -> bytes:
    """The filter as BPF instructions; raises `CheckFailed` where libseccomp is missing."""
    try:
        import pyseccomp as seccomp
    except (ImportError, RuntimeError, OSError) as e:
        raise CheckFailed(f"no libseccomp: {e}", "install it; on Debian: apt-get install libseccomp2") from e
    made = seccomp.SyscallFilter(seccomp.ALLOW)
    for name in REFUSED.split():
        if seccomp.resolve_syscall(seccomp.system_arch(), name) >= 0:  # not every machine has every call
            made.add_rule(seccomp.ERRNO(errno.EPERM), name)
    made.add_rule(seccomp.ERRNO(errno.EPERM), "clone", seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE_THREAD, 0))
    for place in (_PID, _NEW_LIMITS):  # limits may be read, of oneself
        made.add_rule(seccomp.ERRNO(errno.EPERM), "prlimit64", seccomp.Arg(place, seccomp.NE, 0))
    for command in _SIGNAL_COMMANDS:
        made.add_rule(seccomp.ERRNO(errno.EPERM), "fcntl", seccomp.Arg(1, seccomp.EQ, command))
    made.add_rule(seccomp.ERRNO(errno.EPERM), "prctl", seccomp.Arg(0, seccomp.EQ, _SET_PDEATHSIG))
    made.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")  # its flags are out of a filter's sight; glibc then uses clone
    with tempfile.TemporaryFile() as file:
        made.export_bpf(file)
        file.seek(0)
        return file.read()
