"""What a unit that somebody has taken over might try. Runs on the Pi, on nothing but its Python:
`attempts.py NAME …`.

Each attempt is a function, and is made in a process of its own. Prints a line for each: `NAME done`, or
`NAME refused: why`. What an attempt changes when it is let through is harmless, or is put back; where that
cannot be, the kernel is asked for something impossible, and says that it looked at it.
"""

import ctypes
import errno
import mmap
import os
import platform
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path

STATE = Path("/var/lib/loomio-backup")
LIBC = ctypes.CDLL(None, use_errno=True)
REFUSALS = (errno.EPERM, errno.EACCES, errno.EROFS, errno.EAFNOSUPPORT, errno.ENOENT, errno.ECONNREFUSED)
#: Numbers of system calls: x86-64, and what arm64 shares with most others.
REBOOT, CLOCK_SETTIME = {"x86_64": (169, 227)}.get(platform.machine(), (142, 112))
ANYTHING = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC


def call(name: str, *arguments: object, looked_at: Collection[int] = ()) -> None:
    """Call a function of the C library. The errors in `looked_at` come from a kernel that was reached."""
    if getattr(LIBC, name)(*arguments) == -1 and ctypes.get_errno() not in looked_at:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def write_to_etc() -> None:
    path = Path("/etc/lab")
    path.write_text("x")
    path.unlink()


def read_home() -> None:
    Path("/home/pi/.bashrc").read_text()


def read_shared_tmp() -> None:
    Path("/tmp/lab-outside").read_text()


def read_other_credentials() -> None:
    Path("/etc/loomio-backup/credentials/identity").read_text()


def make_device() -> None:
    path = STATE / "device"
    os.mknod(path, 0o20600, os.makedev(1, 3))
    path.unlink()


def open_device() -> None:
    os.close(os.open("/opt/lab-console", os.O_RDWR | os.O_NOCTTY))


def become_root_again() -> None:
    drop = ("setpriv", "--reuid=1000", "--regid=1000", "--init-groups", "sudo", "-n", "true")
    if subprocess.run(drop, capture_output=True).returncode:
        raise PermissionError("sudo refused")


def see_others_processes() -> None:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    Path("/proc/1").stat()


def see_the_system() -> None:
    Path("/proc/meminfo").read_text()


def set_kernel_tunable() -> None:
    path = Path("/proc/sys/net/ipv4/ip_default_ttl")
    path.write_text(path.read_text())


def load_module() -> None:
    # No module at all; a kernel without modules has no such call.
    call("init_module", b"none", 4, b"", looked_at=(errno.ENOEXEC, errno.EBADMSG, errno.ENOSYS))


def read_kernel_log() -> None:
    call("klogctl", 10, None, 0)


def change_control_groups() -> None:
    base = Path("/sys/fs/cgroup")
    directory = (base / "systemd" if (base / "systemd").is_dir() else base) / "lab"
    directory.mkdir()
    directory.rmdir()


def set_hostname() -> None:
    socket.sethostname(socket.gethostname())


def sniff_packets() -> None:
    socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM).close()


def open_raw_socket() -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


def write_others_file() -> None:
    with Path("/srv/lab-of-pi").open("a"):
        pass


def adjust_clock() -> None:
    # struct timex, modes ADJ_TICK: a tick of 0 is refused (EINVAL) after the right to set the clock.
    call("adjtimex", (0x4000).to_bytes(4, sys.byteorder) + bytes(508), looked_at=(errno.EINVAL,))


def set_clock() -> None:
    # There are no negative nanoseconds (EINVAL).
    never = (-1).to_bytes(8, sys.byteorder, signed=True) * 2
    call("syscall", CLOCK_SETTIME, 0, never, looked_at=(errno.EINVAL,))


def unshare() -> None:
    call("unshare", 0x04000000)


def become_realtime() -> None:
    # Without a priority: EINVAL.
    call("sched_setscheduler", 0, os.SCHED_FIFO, bytes(4), looked_at=(errno.EINVAL,))


def make_setuid_program() -> None:
    path = STATE / "suid"
    path.touch()
    try:
        path.chmod(0o4755)
    finally:
        path.unlink()


def change_personality() -> None:
    call("personality", 0x0040000)


def write_code() -> None:
    mmap.mmap(-1, 4096, prot=ANYTHING).close()


def call_as_another_architecture() -> None:
    # getpid as a 32-bit program calls it: mov eax, 20; int 0x80; ret
    page = mmap.mmap(-1, 4096, prot=ANYTHING)
    page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    getpid = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    if getpid() != os.getpid():
        raise PermissionError("refused")


def trace() -> None:
    call("ptrace", 0, 0, None, None)


def mount() -> None:
    call("mount", b"lab", b"/mnt", b"tmpfs", 0, None)
    call("umount", b"/mnt")


def reboot() -> None:
    # With wrong magic numbers: EINVAL.
    call("syscall", REBOOT, 1, 2, 3, looked_at=(errno.EINVAL,))


def talk_to_docker() -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("/run/docker.sock")


def write_state() -> None:
    path = STATE / "written"
    path.write_text("x")
    if path.stat().st_mode & 0o077:
        raise PermissionError("others may read it")
    path.unlink()


def ask_clock() -> None:
    call("adjtimex", bytes(512))


def resolve_names() -> None:
    socket.getaddrinfo("localhost", 80)


def listen_locally() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))


def attempt(name: str) -> str:
    """Make one attempt in a child; what came of it."""
    function: Callable[[], None] = globals()[name]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = "done"
        try:
            function()
        except OSError as error:
            refused = error.errno is None or error.errno in REFUSALS
            said = f"refused: {error}" if refused else f"broken: {error!r}"
        except BaseException as error:  # noqa: BLE001 - told to the one who asked
            said = f"broken: {error!r}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return said or f"refused: {signal.strsignal(-code)}"


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        print(wanted, attempt(wanted), flush=True)
