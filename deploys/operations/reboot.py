"""Restart the Pi in the middle of a deploy, and go on as if nothing had happened."""

import logging
import time
from typing import Any

from paramiko import SSHException
from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host

from .run import complain

#: Under this name a connection keeps a function that makes its private directory again, which lives in
#: memory.
RENEWAL = "loomio_renewal"
#: What is new after every start of the kernel and of its first process.
_START = "cat /proc/sys/kernel/random/boot_id; cut -d ' ' -f 22 /proc/1/stat"
#: A backup or restore that runs is let finish first. Detached, so that the connection is not waited for.
_RESTART = """
lock=/var/lib/loomio-backup/lock
if test -e "$lock"; then flock --timeout 3600 "$lock" true || exit 1; fi
( sleep 1; systemctl reboot ) > /dev/null 2>&1 < /dev/null &
"""


def rebooted(host: Host, why: str, *, seconds: float = 600, **arguments: Any) -> bool:
    """Restart the Pi, wait until it answers again (`seconds` at most), and be able to use sudo again."""
    before = _start(host)
    logger.info(f"{host.print_prefix}Restarting the Pi {why}; this takes a minute or two.")
    done, _output = host.run_shell_command(StringCommand(_RESTART), **arguments)
    if not done:
        return complain(
            host, "A backup or restore runs for more than an hour; the Pi was not restarted. Run this again."
        )
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        # Before the first look, too: what restarts the Pi is a child of the connection that a look closes.
        time.sleep(2)
        now = _start(host) if _connected(host) else None
        if now and now != before:
            if renew := host.connector_data.get(RENEWAL):
                renew()
            logger.info(f"{host.print_prefix}It is back.")
            return True
    return complain(
        host,
        f"the Pi was restarted {why}, and did not answer within {seconds:.0f} s. Look at it: are the "
        "lights on? Switch it off and on. When it can be logged in to, run the same command again.",
    )


def _start(host: Host) -> list[str] | None:
    try:
        done, output = host.run_shell_command(StringCommand(_START), _timeout=20)
    except (OSError, EOFError, SSHException):
        return None
    return output.stdout_lines if done else None


def _connected(host: Host) -> bool:
    """Connect anew. Not by pyinfra's own way, which would tell each attempt that fails as the end of
    everything.
    """
    client = getattr(host.connector, "client", None)
    if client is not None:
        client.close()
    host.connector.disconnect()
    # It prints the whole story of each connection that breaks off, and some will.
    told = logging.getLogger("paramiko.transport")
    level = told.level
    told.setLevel(logging.CRITICAL + 1)
    try:
        host.connector.connect()
    except ConnectError:
        return False
    finally:
        told.setLevel(level)
    return True
