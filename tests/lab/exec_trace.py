"""Every program started on this machine, in containers too, with all of its arguments: traced, not sampled.

The kernel's audit subsystem reports each execve; this listens on its read-only multicast group, so that no
daemon is needed. Needs root. Layouts: linux/audit.h (struct audit_rule_data, struct audit_status).
"""

from __future__ import annotations

import os
import platform
import re
import socket
import struct
import threading
import time
from types import TracebackType

from .docker import LabError

NETLINK_AUDIT = 9
READLOG_GROUP = 1
SO_RCVBUFFORCE = 33
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 270, 1
AUDIT_GET, AUDIT_SET, AUDIT_ADD_RULE, AUDIT_DEL_RULE, EXECVE_RECORD = 1000, 1001, 1011, 1012, 1309
MASK_ENABLED, MASK_BACKLOG_LIMIT = 1, 16
#: machine → (AUDIT_ARCH_*, numbers of execve and execveat)
SYSCALLS = {"x86_64": (0xC000003E, (59, 322)), "aarch64": (0xC00000B7, (221, 281))}
ARGUMENT = re.compile(rb' a(\d+)(?:\[(\d+)\])?=("[^"]*"|[0-9A-F]+|\(null\))')
BACKLOG = 65536


class ExecTrace:
    """A context; afterwards `.commands` holds the arguments of every program that was started meanwhile."""

    def __init__(self) -> None:
        self.commands: list[list[bytes]] = []
        self._records: dict[bytes, dict[tuple[int, int], bytes]] = {}
        self._done = threading.Event()

    def __enter__(self) -> ExecTrace:
        self._listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT)
        self._listener.bind((0, 0))
        self._listener.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, READLOG_GROUP)
        self._listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
        self._listener.settimeout(0.2)
        self._before = _status()
        self._lost = self._before[6]
        _request(AUDIT_SET, _settings(MASK_ENABLED | MASK_BACKLOG_LIMIT, 1, BACKLOG))
        _request(AUDIT_ADD_RULE, _rule())
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _request(AUDIT_DEL_RULE, _rule())
        self._done.set()
        self._thread.join()
        self._listener.close()
        lost = _status()[6] - self._lost
        _request(AUDIT_SET, _settings(MASK_ENABLED | MASK_BACKLOG_LIMIT, self._before[1], self._before[5]))
        for arguments in self._records.values():
            words: dict[int, bytes] = {}
            for (number, _part), value in sorted(arguments.items()):
                words[number] = words.get(number, b"") + value
            self.commands.append([words[number] for number in sorted(words)])
        if lost and kind is None:
            raise LabError(f"the kernel dropped {lost} audit records: the trace is not whole")

    def containing(self, needle: bytes) -> list[list[bytes]]:
        """The commands of which an argument contains the needle."""
        return [command for command in self.commands if any(needle in word for word in command)]

    def _listen(self) -> None:
        drained = 0.0
        while not self._done.is_set() or time.monotonic() < drained:
            if not self._done.is_set():
                drained = time.monotonic() + 1
            try:
                record = self._listener.recv(1 << 17)
            except TimeoutError:
                continue
            if struct.unpack_from("=IH", record)[1] == EXECVE_RECORD:
                self._keep(record[16:])

    def _keep(self, text: bytes) -> None:
        serial = text.partition(b"):")[0]
        arguments = self._records.setdefault(serial, {})
        for number, part, value in ARGUMENT.findall(text):
            plain = (
                value[1:-1]
                if value.startswith(b'"')
                else bytes.fromhex(value.decode())
                if value != b"(null)"
                else b""
            )
            arguments[int(number), int(part or 0)] = plain


def _rule() -> bytes:
    arch, numbers = SYSCALLS[platform.machine()]
    mask = [0] * 64
    for number in numbers:
        mask[number // 32] |= 1 << (number % 32)
    fields, values, operators = [0] * 64, [0] * 64, [0] * 64
    fields[0], values[0], operators[0] = 11, arch, 0x40000000  # AUDIT_ARCH, AUDIT_EQUAL
    # exit filter, always; one field; no strings behind it
    return (
        struct.pack("=III", 4, 2, 1)
        + struct.pack("=64I64I64I64I", *mask, *fields, *values, *operators)
        + bytes(4)
    )


def _settings(mask: int, enabled: int, backlog: int) -> bytes:
    return struct.pack("=11I", mask, enabled, 0, 0, 0, backlog, 0, 0, 0, 0, 0)


def _status() -> tuple[int, ...]:
    """mask, enabled, failure, pid, rate_limit, backlog_limit, lost, backlog, …"""
    return struct.unpack_from("=11I", _request(AUDIT_GET, b"", answer=True))


def _request(kind: int, body: bytes, *, answer: bool = False) -> bytes:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT) as channel:
        channel.settimeout(10)
        flags = 0x1 | 0x4  # NLM_F_REQUEST | NLM_F_ACK
        channel.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        found, acknowledged = b"", False
        # The acknowledgement and the answer come in either order.
        while not acknowledged or (answer and not found):
            reply = channel.recv(1 << 17)
            if struct.unpack_from("=IH", reply)[1] != 2:  # not NLMSG_ERROR: the answer itself
                found = reply[16:]
                continue
            error = -struct.unpack_from("=i", reply, 16)[0]
            if error:
                raise OSError(error, f"audit request {kind}: {os.strerror(error)}")
            acknowledged = True
        return found
