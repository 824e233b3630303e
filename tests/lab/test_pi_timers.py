"""The units on a simulated Pi, with a program in the agent's place that only notes when it runs: what was
missed is caught up, delays are random and bounded, a restore comes first, the watch follows every end.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from deploys.steps import schedule
from deploys.steps.paths import BACKUP_TIMER, PRUNE_TIMER, SAMPLE_TIMER, TIMERS, WATCH_TIMER
from deploys.steps.preflight import Target
from tests.fake.scripted import FRESH
from tests.unit import deploys_desk as desk

from .docker import docker, wait_until
from .lab import LABEL
from .pi import Pi, Release, start

pytestmark = pytest.mark.lab
#: Notes its start and its end; as long and as well as /run/lab-VERB says (`sleep 3`, `false` …).
PROGRAM = r"""#!/bin/sh
echo "$(date +%s.%N) begin $*" >> /var/lib/loomio-backup/log
sh -c "$(cat /run/lab-$1 2>/dev/null)"
code=$?
echo "$(date +%s.%N) end $*" >> /var/lib/loomio-backup/log
exit $code
"""
JITTER = 3


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def pi(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pi]:
    """A Pi with our units, daily at 3:17 (hours away), and timers that are on."""
    release: Release = request.param
    key = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    name = f"loomio-lab-timers-{release}-{key.stat().st_mtime_ns % 10**6}"
    made = Pi(name, release, 0, None)
    hours = (datetime.now(UTC).hour + 12) % 24
    daily = f"17 {hours} * * *"
    settings = desk.settings(
        key.parent,
        backup={
            "schedule": daily,
            "prune_schedule": daily,
            "watch_schedule": daily,
            "verify_schedule": daily,
            "verify_sample_schedule": False,
            "jitter_seconds": JITTER,
        },
    )
    units = schedule.contents(Target(desk.HOST, settings, desk.secrets(), FRESH, {}))
    # What stands in for Docker, and for the restore's command line.
    units["docker.service"] = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
    try:
        options = {"network": "bridge", "label": f"{LABEL}={name}", "sudo_password": None}
        made = start(name, release, key=key.with_suffix(".pub"), **options)  # type: ignore[arg-type]
        made.run("sh", "-c", "cat > /usr/local/bin/loomio-backup", input=PROGRAM.encode())
        made.run("sh", "-ec", _PREPARE)
        for unit, content in units.items():
            made.run("sh", "-c", f"cat > /etc/systemd/system/{unit}", input=content.encode())
        made.run("systemctl", "daemon-reload")
        made.run("systemctl", "enable", "--now", *TIMERS)
        yield made
    finally:
        made.destroy()


_PREPARE = """
chmod 755 /usr/local/bin/loomio-backup
mkdir -p /var/lib/loomio-backup /var/backups/loomio /etc/loomio-backup/credentials
for name in identity signing_key; do echo secret > /etc/loomio-backup/credentials/$name; done
"""


@pytest.fixture(autouse=True)
def fresh(pi: Pi) -> None:
    """Nothing noted, nothing special to do, nothing running."""
    pi.run("sh", "-c", "systemctl stop 'loomio-*.service'; systemctl reset-failed; rm -f /run/lab-*")
    pi.run("sh", "-c", ": > /var/lib/loomio-backup/log")


def log(pi: Pi) -> list[tuple[float, str]]:
    """What was noted: second, text."""
    lines = [line.split(" ", 1) for line in pi.run("cat", "/var/lib/loomio-backup/log").splitlines()]
    return [(float(second), text) for second, text in lines]


def texts(pi: Pi) -> list[str]:
    return [text for _, text in log(pi)]


def when(pi: Pi, verb: str, text: str) -> None:
    """What the program does for a verb."""
    pi.run("sh", "-c", f"cat > /run/lab-{verb}", input=text.encode())


def restart(pi: Pi) -> None:
    """Power off, and on again."""
    docker("stop", "-t", "20", pi.name)
    docker("start", pi.name)
    wait_until(lambda: pi.succeeds("systemctl", "is-active", "-q", "timers.target"), "the Pi is up again", 60)


def test_what_was_missed_while_the_power_was_off_is_caught_up_once(pi: Pi) -> None:
    restart(pi)
    time.sleep(JITTER + 2)
    assert texts(pi) == []
    # Off for two days: each timer has missed two runs.
    for timer in TIMERS:
        pi.run("touch", "-d", "2 days ago", f"/var/lib/systemd/timers/stamp-{timer}")
    restart(pi)
    ends = {"end run --wait", "end prune --wait", "end verify --wait"}
    wait_until(lambda: ends <= set(texts(pi)), "caught up", JITTER + 30)
    time.sleep(JITTER + 1)
    assert sorted(text for text in texts(pi) if text.startswith("begin") and "watch" not in text) == [
        "begin prune --wait",
        "begin run --wait",
        "begin verify --wait",
    ]
    assert "begin watch" in texts(pi)


def next_elapse(pi: Pi, timer: str) -> datetime:
    bus = "org.freedesktop.systemd1"
    path = "/org/freedesktop/systemd1/unit/" + timer.replace("-", "_2d").replace(".", "_2e")
    shown = pi.run("busctl", "get-property", bus, path, f"{bus}.Timer", "NextElapseUSecRealtime")
    return datetime.fromtimestamp(int(shown.split()[1]) / 1e6, UTC)


def test_the_delay_is_random_and_bounded(pi: Pi) -> None:
    seen = set()
    for _ in range(4):
        pi.run("systemctl", "restart", BACKUP_TIMER)
        seen.add(next_elapse(pi, BACKUP_TIMER))
    assert {moment.minute for moment in seen} == {17}
    assert len(seen) == 4
    assert all(moment.second <= JITTER for moment in seen)
    assert next_elapse(pi, PRUNE_TIMER).minute == next_elapse(pi, WATCH_TIMER).minute == 17


def test_what_is_off_stays_off_and_is_no_error(pi: Pi) -> None:
    assert pi.run("systemctl", "is-active", SAMPLE_TIMER) == "active"
    assert not [text for text in texts(pi) if "--sample" in text]
    assert "bad" not in pi.run("systemctl", "show", "-p", "LoadState", SAMPLE_TIMER)


@pytest.mark.parametrize("verb", ["run", "prune", "verify"])
@pytest.mark.parametrize("end", ["true", "false", "kill -KILL $PPID"])
def test_the_watch_follows_every_end(pi: Pi, verb: str, end: str) -> None:
    when(pi, verb, end)
    unit = {
        "run": "loomio-backup.service",
        "prune": "loomio-backup-prune.service",
        "verify": "loomio-backup-verify.service",
    }[verb]
    assert pi.succeeds("systemctl", "start", unit) == (end == "true")
    wait_until(lambda: "end watch" in texts(pi), "the watch", 20)
    assert texts(pi)[0].startswith(f"begin {verb}")


def test_a_backup_that_falls_due_during_a_restore_waits_for_its_end(pi: Pi) -> None:
    when(pi, "restore", "sleep 4")
    pi.run("systemctl", "start", "--no-block", "loomio-restore.service")
    wait_until(lambda: any("begin restore" in text for text in texts(pi)), "the restore", 20)
    due = ("loomio-backup.service", "loomio-backup@before-update.service", "loomio-backup-prune.service")
    for unit in due:
        pi.run("systemctl", "start", "--no-block", unit)
    wait_until(lambda: sum(text.startswith("end") for text in texts(pi)) >= 5, "all of them", 30)
    found = texts(pi)
    restored = next(position for position, text in enumerate(found) if text.startswith("end restore"))
    assert restored == 1
    labelled = "run --wait --label before-update --pin"
    assert {f"begin {one}" for one in ("run --wait", labelled, "prune --wait", "watch")} <= set(found[2:])


def test_each_unit_gets_its_own_secrets_and_no_others(pi: Pi) -> None:
    look = "ls $CREDENTIALS_DIRECTORY /etc/loomio-backup/credentials | tr '\\n' ' '"
    for verb in ("run", "prune", "watch"):
        # One echo, one write: the watch, which follows every end, writes to the same log meanwhile.
        when(pi, verb, f'echo "0 {verb}: $({look})" >> /var/lib/loomio-backup/log')
    pi.run("systemctl", "start", "loomio-backup.service")
    pi.run("systemctl", "start", "loomio-backup-prune.service", "loomio-backup-watch.service")
    found = {text.split(":")[0]: text for text in texts(pi) if ":" in text}
    empty = "/etc/loomio-backup/credentials:"
    assert found["run"].split()[1:] == [
        empty,
        "/run/credentials/loomio-backup.service:",
        "identity",
        "signing_key",
    ]
    # Neither Drive nor alerts are configured here: nothing is lent, nothing can be read.
    assert found["prune"].split()[1:] == []
    assert found["watch"].split()[1:] == []
