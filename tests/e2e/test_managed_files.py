"""Whatever of setup's files goes missing, the next setup puts back: just that, nothing else changes."""

from __future__ import annotations

import json
from fnmatch import fnmatch

import pytest

from deploys.steps import schedule
from deploys.steps.paths import BACKUP_TIMER, LABELLED_BACKUP, SETTLE_PATH, TIMERS
from deploys.steps.system import UPGRADES_GUARD
from tests.lab.drill.fingerprint import MANAGED, WALK, Fingerprint
from tests.lab.pi import Pi

from .conftest import Drill

pytestmark = [pytest.mark.lab, pytest.mark.drill, pytest.mark.long]

RELOAD = "Schedule | Make systemd read the units"
#: Managed file (a pattern) → the operations that its loss must set going.
OPERATIONS = {
    UPGRADES_GUARD: {"System | Write the guard that no upgrade comes into a backup or restore"},
    "/etc/docker/daemon.json": {"Docker | Configure the engine (daemon.json)"},
    "/etc/apt/keyrings/*": {"Docker | *key*"},
    "/etc/apt/sources.list.d/*": {"Docker | *repository*"},
    "/etc/loomio-pi-stack/tunnel_token": {"Stack | Write the tunnel's token"},
    "/opt/loomio-pi-stack/.env": {"Stack | Write the stack's .env"},
    "/opt/loomio-pi-stack/files/stack/docker-compose.yml": {"Stack | Clone the stack's repository at lab"},
    "/var/lib/loomio-pi-stack/compose-applied": {"Stack | Start every service"},
    "/opt/loomio-backup/versions/*": {"Agent | Install the agent *"},
    "/opt/loomio-backup/current": {"Agent | Install the agent *"},
    "/usr/local/bin/loomio-backup": {"Agent | Put loomio-backup on the path"},
    "/etc/loomio-backup/config.yml": {"Agent | Write the agent's configuration"},
    "/etc/loomio-backup/credentials/identity": {"Agent | Write the credential identity"},
    "/etc/loomio-backup/credentials/signing_key": {"Agent | Write the credential signing_key"},
    "/etc/loomio-backup/credentials/drive.json": {"Agent | Write the credential drive.json"},
    "/etc/loomio-backup/credentials/alerts.json": {"Agent | Write the credential alerts.json"},
    "/etc/loomio-backup/operator/pi.yml": {"Agent | Write the operator's pi.yml for the backups"},
    "/etc/loomio-backup/operator/secrets.yml.age": {
        "Agent | Write the operator's secrets.yml.age for the backups"
    },
    **{f"/etc/systemd/system/{unit}": {f"Schedule | Write {unit}", RELOAD} for unit in schedule.LOADED},
    f"/etc/systemd/system/{LABELLED_BACKUP}": {f"Schedule | Write {LABELLED_BACKUP}"},
    **{
        f"/etc/systemd/system/timers.target.wants/{timer}": {
            f"Schedule | Enable {timer}"
            if timer == BACKUP_TIMER
            else "Schedule | Enable the timers but for that of the backups"
        }
        for timer in TIMERS
    },
    f"/etc/systemd/system/multi-user.target.wants/{SETTLE_PATH}": {f"Schedule | Enable {SETTLE_PATH}"},
}
#: After a restart of the engine health is asked for anew, and setup may have to wait: no change, but pyinfra
#: counts what takes time as one.
MAY_FOLLOW = {"/etc/docker/daemon.json": "Stack | Wait until healthy: every service"}
#: Putting these back restarts the engine, or has systemd read its units before ours are there again.
ALONE = MAY_FOLLOW.keys() | {UPGRADES_GUARD}
#: What Debian's packages put below the managed folders is theirs, not setup's.
OF_PACKAGES = (
    "/etc/systemd/system/*docker*",
    "/etc/systemd/system/*containerd*",
    "/etc/docker/key.json",
    "/etc/systemd/system/*unattended-upgrades*",
)
#: Of the agent's thousands of files and of the clone's, these stand for all.
SAMPLES = ("*/bin/loomio-backup", "*/loomio_backup/backup/backup.py", "*/site-packages/yaml/__init__.py")


def files(pi: Pi) -> set[str]:
    """Paths below the managed folders, the agent's libraries included."""
    walk = WALK.replace('"site-packages", ', "")
    return set(json.loads(pi.run("python3", "-", *MANAGED, input=walk.encode())))


def managed_files(drill: Drill) -> list[str]:
    """What setup brought to the Pi; samples stand for the agent's tree and for the clone."""
    fresh = drill.rehearsal.lab.new_pi()
    try:
        brought = files(drill.rehearsal.pi) - files(fresh)
    finally:
        fresh.destroy()
    tree = {path for path in brought if path.startswith("/opt/loomio-backup/versions/")}
    clone = {
        path for path in brought if path.startswith("/opt/loomio-pi-stack/") and not path.endswith("/.env")
    }
    samples = {path for path in tree if any(fnmatch(path, sample) for sample in SAMPLES)}
    samples |= clone & OPERATIONS.keys()
    packages = {path for path in brought for pattern in OF_PACKAGES if fnmatch(path, pattern)}
    return sorted((brought - tree - clone - packages) | samples)


def expected(path: str) -> set[str]:
    found = [operations for pattern, operations in OPERATIONS.items() if fnmatch(path, pattern)]
    assert found, f"setup brings {path}, and no operation is known for it"
    return found[0]


def apart(paths: list[str]) -> list[list[str]]:
    """Groups of files whose operations have no name in common, RELOAD aside: what a setup changes then says
    of which file it was, so that a group takes one setup and not one for each of its files.
    """
    groups: list[list[str]] = []
    for path in paths:
        wishes = expected(path) - {RELOAD}
        for group in groups:
            if not any(wishes & expected(other) or ALONE & {path, other} for other in group):
                group.append(path)
                break
        else:
            groups.append([path])
    return groups


def repair(drill: Drill, groups: list[list[str]]) -> None:
    """Delete each group's files, run setup, and hold what changed against what should have."""
    rehearsal = drill.rehearsal
    pi = rehearsal.pi
    before = Fingerprint.of(pi)
    wrong = []
    for group in groups:
        lost = {path: _content_and_rights(pi, path) for path in group}
        pi.run("rm", *group)
        finished = rehearsal.operator.deploy("setup")
        assert finished.code == 0, finished.output[-3000:]
        wishes = {wish for path in group for wish in expected(path)}
        follow = {MAY_FOLLOW.get(path) for path in group}
        changed = [name for name in finished.changed() if name not in follow]
        unmatched = [name for name in changed if not any(fnmatch(name, wish) for wish in wishes)]
        missing = [wish for wish in wishes if not any(fnmatch(name, wish) for name in changed)]
        if unmatched or missing:
            wrong.append(f"without {group}: unexpected {unmatched}, missing {missing}")
        assert lost == {path: _content_and_rights(pi, path) for path in group}
    assert not wrong, "\n".join(wrong)
    assert Fingerprint.of(pi).containers == before.containers


def _content_and_rights(pi: Pi, path: str) -> tuple[str, str]:
    content = pi.run("sh", "-c", f"test -L '{path}' && readlink '{path}' || sha256sum < '{path}'")
    return content, pi.run("stat", "-c", "%a %u:%g", path)


@pytest.mark.timeout(1800)
def test_each_missing_file_is_put_back_by_its_own_operations(trixie: Drill) -> None:
    paths = managed_files(trixie)
    # Every row but the two of Docker's own repository; the one of the agent's tree has several samples.
    assert len(paths) == len(OPERATIONS) - 2 - 1 + len(SAMPLES), paths
    repair(trixie, apart(paths))


def test_so_are_those_of_dockers_own_repository(bookworm: Drill) -> None:
    paths = [path for path in managed_files(bookworm) if path.startswith("/etc/apt/")]
    assert len(paths) == 2, paths
    repair(bookworm, apart(paths))
