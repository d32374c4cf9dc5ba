"""Programs that try to get out, or to take the machine down: each prints ESCAPED if it did what it came for.

`{port}`, `{secret}` (a file), `{token}` (in the environment of the tests), `{pid}` (a process of ours) and `{folder}`
(writable for us) are put in. `HARMLESS` ones also run without a jail, where they must succeed.
"""

_LIBC = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.syscall.restype = ctypes.c_long\n"

HARMLESS = {
    "tcp to this machine": "import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)\nprint('ESCAPED')",
    "udp to this machine": (
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.sendto(b'x', ('127.0.0.1', {port}))\nprint('ESCAPED')"
    ),
    "abstract unix socket": (
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0r1-attack-{port}')\nprint('ESCAPED')"
    ),
    "read a secret file": "print('ESCAPED', open({secret!r}).read())",
    "read /etc/passwd": "print('ESCAPED', open('/etc/passwd').read())",
    "list the root": "import os\nif 'etc' in os.listdir('/') and os.listdir('/etc'): print('ESCAPED')",
    "own environment": "import os\nif any({token!r} in v for v in os.environ.values()): print('ESCAPED')",
    "environment from C": _LIBC
    + "libc.getenv.restype = ctypes.c_char_p\nif libc.getenv(b'SECRET_TOKEN'): print('ESCAPED')",
    "environment of others": "if open('/proc/{pid}/environ', 'rb').read(): print('ESCAPED')",
    "own command line": "if open('/proc/self/cmdline').read(): print('ESCAPED')",
    "memory of others": "open('/proc/{pid}/mem', 'rb').close()\nprint('ESCAPED')",
    "fork": "import os\npid = os.fork()\nif pid == 0: os._exit(0)\nos.waitpid(pid, 0)\nprint('ESCAPED')",
    "daemon": (
        "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0: time.sleep(1)\n"
        " os._exit(0)\nprint('ESCAPED')"
    ),
    "multiprocessing": (
        "import multiprocessing as m\nif __name__ == '__main__':\n"
        " p = m.get_context('fork').Process(target=int)\n p.start()\n p.join()\n print('ESCAPED')"
    ),
    "posix_spawn": "import os\nos.waitpid(os.posix_spawn('/bin/true', ['true'], {{}}), 0)\nprint('ESCAPED')",
    "run a shell": "import subprocess\nprint(subprocess.check_output(['/bin/sh', '-c', 'echo ESCAPED'], text=True))",
    "become a shell": "import os\nos.execv('/bin/sh', ['sh', '-c', 'echo ESCAPED'])",
    "memfd": "import os\nf = os.memfd_create('x')\nos.write(f, b'x' * (1 << 20))\nprint('ESCAPED')",
    "fill the disk": "f = open('/tmp/r1-attack-{port}', 'wb')\nf.write(b'x' * (1 << 20))\nf.close()\nprint('ESCAPED')",
    "shared memory file": "open('/dev/shm/r1-attack-{port}', 'wb').write(b'x' * 4096)\nprint('ESCAPED')",
    "write where we can": "open({folder!r} + '/left-behind', 'w').write('x')\nprint('ESCAPED')",
    "temporary file": "import tempfile\ntempfile.NamedTemporaryFile().write(b'x')\nprint('ESCAPED')",
    "signal another process": "import os\nos.kill({pid}, 0)\nprint('ESCAPED')",
    "trace another process": _LIBC + "if libc.ptrace(0x4206, {pid}, 0, 0) == 0: print('ESCAPED')",
    "pidfd of another process": "import os\nos.pidfd_open({pid})\nprint('ESCAPED')",
    "raise the memory limit": (
        "import resource as r\nr.setrlimit(r.RLIMIT_AS, (4 << 30, 4 << 30))\nx = bytearray(1 << 30)\nprint('ESCAPED')"
    ),
    "allocate 1.5 GiB": "x = bytearray(3 << 29)\nprint('ESCAPED')",
    "map 1.5 GiB": "import mmap\nx = mmap.mmap(-1, 3 << 29)\nprint('ESCAPED')",
    "SysV shared memory": _LIBC + "if libc.shmget(0, 4096, 0o1600) >= 0: print('ESCAPED')",
    "limits of another process": "import resource as r\nr.prlimit({pid}, r.RLIMIT_CORE, (0, 0))\nprint('ESCAPED')",
    "priority of another process": "import os\nos.sched_setparam({pid}, os.sched_param(0))\nprint('ESCAPED')",
    "signal by thread id": _LIBC + "if libc.syscall(234, {pid}, {pid}, 0) == 0: print('ESCAPED')",
    "new user namespace": _LIBC + "if libc.unshare(0x10000000) == 0: print('ESCAPED')",
    "many descriptors": "import os\nfor _ in range(60): os.open('/dev/null', 0)\nprint('ESCAPED')",
}

ONLY_JAILED = {
    "kill the parent": "import os\nos.kill(os.getppid(), 9)\nprint('ESCAPED')",
    "kill everything": "import os\nos.kill(-1, 9)\nprint('ESCAPED')",
    "mount": _LIBC + "if libc.mount(b'none', b'/usr', b'tmpfs', 0, None) == 0: print('ESCAPED')",
    "chroot": "import os\nos.chroot('/usr')\nprint('ESCAPED')",
    "io_uring": _LIBC + "if libc.syscall(425, 8, ctypes.create_string_buffer(120)) >= 0: print('ESCAPED')",
    "clone3": _LIBC + "if libc.syscall(435, ctypes.create_string_buffer(88), 88) >= 0: print('ESCAPED')",
    "bpf": _LIBC + "if libc.syscall(321, 0, ctypes.create_string_buffer(120), 120) >= 0: print('ESCAPED')",
    "set the clock": "import time\ntime.clock_settime(time.CLOCK_REALTIME, 0)\nprint('ESCAPED')",
    "change the interpreter": "import os\nopen(os.__file__, 'a').close()\nprint('ESCAPED')",
    "make a device": "import os, stat\nos.mknod('/sda', stat.S_IFBLK | 0o600, os.makedev(8, 0))\nprint('ESCAPED')",
    "open descriptors of ours": (
        "import os, stat\nfor fd in range(7, 256):\n try: os.fstat(fd)\n except OSError: continue\n"
        " print('ESCAPED', fd)\n"
        "for fd in range(7):\n try:\n  if stat.S_ISSOCK(os.fstat(fd).st_mode): print('ESCAPED', fd)\n"
        " except OSError: pass"
    ),
    "another job's code": (
        "import gc\nfor o in gc.get_objects():\n"
        " if isinstance(o, dict) and any('MARK' + 'ER-OF-ANOTHER-JOB' in str(v)[:2000] for v in list(o.values())):\n"
        "  print('ESCAPED')"
    ),
}

# name: (program, the status it must end with)
EXHAUSTING = {
    "endless loop": ("while True: pass", "timeout"),
    "endless sleep": ("import time\ntime.sleep(1000)", "timeout"),
    "a power in C": ("x = 9 ** 9 ** 9", "timeout"),
    "a regular expression that backtracks": ("import re\nre.match('(a+)+$', 'a' * 40 + 'b')", "timeout"),
    "no answer to signals": (
        "import signal\nfor s in (1, 2, 3, 15, 24): signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
        "timeout",
    ),
    "64 MiB of output": ("for _ in range(64): print('x' * (1 << 20))", "output_limit"),
    "64 MiB of errors": ("import sys\nfor _ in range(64): print('x' * (1 << 20), file=sys.stderr)", "output_limit"),
    "flood of the channel": ("import os\nfor _ in range(64): os.write(4, b'x' * (1 << 20))", "output_limit"),
    "a list that grows": ("x = []\nwhile True: x.append(bytes(1 << 20))", "memory"),
    "threads without end": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,)).start()",
        "timeout",
    ),
    "null pointer": ("import ctypes\nctypes.string_at(0)", "runtime_error"),
    "stack overflow": ("import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(): return f()\nf()", None),
    "nested brackets": ("(" * 100_000 + ")" * 100_000, "runtime_error"),
    "a long sum": ("x = " + "+".join(["1"] * 200_000), None),
    "NUL in the code": ("print(1)\0", "runtime_error"),
    "lone surrogate": ("print('\ud800')", "runtime_error"),
}
