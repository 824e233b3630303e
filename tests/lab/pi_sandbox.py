"""The units' sandboxes, tried out on a simulated Pi: each directive alone, all of them, none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from .pi import Pi

PROGRAM = Path(__file__).with_name("pi_attempts.py")
#: What each directive must refuse by itself: functions of pi_attempts.py.
ATTEMPTS: Mapping[str, Sequence[str]] = {
    "TemporaryFileSystem": ["read_other_credentials"],
    "CapabilityBoundingSet": [
        *("open_raw_socket", "write_others_file", "adjust_clock", "make_device", "mount", "reboot"),
    ],
    "ProtectSystem": ["write_to_etc"],
    "ProtectHome": ["read_home"],
    "InaccessiblePaths": ["talk_to_docker"],
    "PrivateTmp": ["read_shared_tmp"],
    "PrivateDevices": ["make_device", "open_device"],
    "DevicePolicy": ["open_device"],
    "NoNewPrivileges": ["become_root_again"],
    "ProtectProc": ["see_others_processes"],
    "ProcSubset": ["see_the_system"],
    "ProtectKernelTunables": ["set_kernel_tunable"],
    "ProtectKernelModules": ["load_module"],
    "ProtectKernelLogs": ["read_kernel_log"],
    "ProtectControlGroups": ["change_control_groups"],
    "ProtectHostname": ["set_hostname"],
    "RestrictAddressFamilies": ["sniff_packets"],
    "RestrictNamespaces": ["unshare"],
    "RestrictRealtime": ["become_realtime"],
    "RestrictSUIDSGID": ["make_setuid_program"],
    "LockPersonality": ["change_personality"],
    "MemoryDenyWriteExecute": ["write_code"],
    "SystemCallArchitectures": ["call_as_another_architecture"],
    "SystemCallFilter": ["trace", "set_clock", "mount", "reboot", "load_module"],
}
#: What the work needs, and every sandbox must allow.
NEEDED = ("write_state", "ask_clock", "resolve_names", "listen_locally")
#: What comes with others, and refuses nothing by itself: where it may write, and with which error it is told.
_COMPANIONS = ("ReadWritePaths", "SystemCallErrorNumber", "UMask")
#: What the unit does, and for whom it steps aside.
_WORK = (
    *("Type", "ExecStart", "ExecStopPost", "Environment", "EnvironmentFile", "LoadCredential"),
    *("TimeoutStartSec", "Nice", "IOSchedulingClass", "IOSchedulingPriority", "CPUWeight", "IOWeight"),
    *("RuntimeDirectory", "RuntimeDirectoryMode", "RuntimeDirectoryPreserve", "OOMScoreAdjust"),
    *("MemoryHigh", "MemoryMax", "BindPaths", "BindReadOnlyPaths"),
)
_PREPARE = """
mkdir -p /var/lib/loomio-backup /var/backups/loomio /etc/loomio-backup/credentials
chmod 700 /var/lib/loomio-backup
test -e /etc/loomio-backup/credentials/identity || echo secret > /etc/loomio-backup/credentials/identity
echo outside > /tmp/lab-outside
install -o pi -m 0600 /dev/null /srv/lab-of-pi
test -e /opt/lab-console || mknod /opt/lab-console c 5 1
test -S /run/docker.sock || systemd-run --quiet --unit=lab-socket python3 -c '
import socket, time
server = socket.socket(socket.AF_UNIX); server.bind("/run/docker.sock"); server.listen(); time.sleep(10**6)'
until test -S /run/docker.sock; do sleep 0.1; done
"""

Directives = Sequence[tuple[str, str]]


def prepare(pi: Pi) -> None:
    """Give the Pi what the attempts are about."""
    pi.run("sh", "-c", "cat > /opt/attempts.py", input=PROGRAM.read_bytes())
    pi.run("sh", "-ec", _PREPARE)


def directives(unit: str) -> Directives:
    """The [Service] section of a unit file's text, in its order."""
    section = unit.split("[Service]\n", 1)[1].split("\n[", 1)[0]
    lines = [line for line in section.splitlines() if "=" in line and not line.startswith("#")]
    return [(key, value) for key, _, value in (line.partition("=") for line in lines)]


def companions(unit: str) -> Directives:
    """The directives that every trial of this unit has."""
    return [one for one in directives(unit) if one[0] in _COMPANIONS]


def locks(unit: str) -> dict[str, Directives]:
    """The directives of a unit that refuse something, by their name."""
    found: dict[str, list[tuple[str, str]]] = {}
    for key, value in directives(unit):
        if key not in _COMPANIONS and key not in _WORK:
            found.setdefault(key, []).append((key, value))
    return {key: found[key] for key in found}


def attempt(pi: Pi, with_directives: Directives, names: Sequence[str]) -> dict[str, str]:
    """Make attempts in a unit with these directives: name → `done`, or `refused: why`."""
    lines = run(pi, with_directives, "python3", "/opt/attempts.py", *names).splitlines()
    return dict(line.split(" ", 1) for line in lines)


def run(pi: Pi, with_directives: Directives, *command: str) -> str:
    """Run a command in a unit of its own, and return its output. Raises LabError when it fails."""
    options = [f"--property={key}={value}" for key, value in with_directives]
    return pi.run("systemd-run", "--quiet", "--wait", "--pipe", "--collect", *options, *command)
