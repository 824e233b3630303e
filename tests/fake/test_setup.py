"""setup.py against scripted Pis: what it plans on a fresh one, in which order; a finished one is left
alone. The real pyinfra prepares every operation; nothing is executed.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from deploys.steps import docker, system
from inventories.settings import DockerSettings

from .scripted import (
    ALL_SERVICES,
    FRESH,
    Answer,
    ConvergedPi,
    ScriptedPi,
    compose_lines,
    system_lines,
    unit_lines,
)

PLAN = [
    "System | Wait for the right time",
    "System | Install the packages of the system",
    "System | Set the time zone",
    "System | Limit the journal",
    "System | Write when to upgrade, and what",
    "System | Write the guard that no upgrade comes into a backup or restore",
    "Docker | Configure the engine (daemon.json)",
    "Docker | Ship the key of Docker's apt repository",
    "Docker | Declare Docker's apt repository",
    "Docker | Install Docker's packages",
    "Docker | Start the engine, now and at boot",
    "Stack | Create the stack's directory",
    "Stack | Clone the stack's repository at v1.2.3",
    "Stack | Write the stack's .env",
    "Docker | Ask whether the images exist for this Pi",
    "Stack | Fetch the images",
    "Stack | Start every service",
    "Stack | Wait until healthy: every service",
    "Agent | Create the agent's directory",
    "Agent | Install the agent",
    "Agent | Put loomio-backup on the path",
    "Agent | Create /etc/loomio-backup",
    "Agent | Create /var/lib/loomio-backup",
    "Agent | Create /etc/loomio-backup/credentials",
    "Agent | Create /etc/loomio-backup/operator",
    "Agent | Create /var/backups/loomio",
    "Agent | Write the agent's configuration",
    "Agent | Write the credential identity",
    "Agent | Write the credential signing_key",
    "Agent | Write the operator's pi.yml for the backups",
    "Agent | Write the operator's secrets.yml.age for the backups",
    "Agent | Try out the stores: local",
    "Schedule | Write loomio-backup.service",
    "Schedule | Write loomio-backup@.service",
    "Schedule | Write loomio-backup.timer",
    "Schedule | Write loomio-backup-prune.service",
    "Schedule | Write loomio-backup-prune.timer",
    "Schedule | Write loomio-backup-watch.service",
    "Schedule | Write loomio-backup-watch.timer",
    "Schedule | Write loomio-backup-verify.service",
    "Schedule | Write loomio-backup-verify.timer",
    "Schedule | Write loomio-backup-verify-sample.service",
    "Schedule | Write loomio-backup-verify-sample.timer",
    "Schedule | Write loomio-restore.service",
    "Schedule | Write loomio-update.service",
    "Schedule | Write loomio-restore-settle.service",
    "Schedule | Write loomio-restore-settle.path",
    "Schedule | Make systemd read the units",
    "Schedule | Enable loomio-restore-settle.path",
    "Schedule | Enable the timers but for that of the backups",
    "Schedule | Enable loomio-backup.timer",
]
PASSWORD = {"hosts": {"loomio": {"sudo_password": "open sesame"}}}


def without_version(names: list[str]) -> list[str]:
    return [
        name.rsplit(" ", 1)[0] if name.startswith("Agent | Install the agent") else name for name in names
    ]


def test_a_fresh_pi_gets_everything_in_this_order(tmp_path: Path) -> None:
    done = ScriptedPi(tmp_path, answers=[(r"cloud-init status", ["clock="])]).deploy("setup")
    assert done.code == 0, done.output
    assert without_version(done.planned) == PLAN


def test_a_finished_pi_is_left_alone(tmp_path: Path) -> None:
    done = ConvergedPi(tmp_path).deploy("setup")
    assert done.code == 0, done.output
    assert done.planned == []
    assert len(done.operations) > 25


def test_a_finished_pi_with_a_sudo_password_is_left_alone(tmp_path: Path) -> None:
    pi = ConvergedPi(tmp_path, machine=replace(FRESH, sudo=""), secrets=PASSWORD)
    done = pi.deploy("setup")
    assert done.code == 0, done.output
    assert done.planned == []


def test_debians_packages_without_dockers_repository(tmp_path: Path) -> None:
    done = ScriptedPi(tmp_path, settings={"docker": {"source": "debian"}}).deploy("setup")
    assert done.code == 0, done.output
    assert not [name for name in done.operations if "apt repository" in name]
    assert "Docker | Install Docker's packages" in done.planned


@pytest.mark.parametrize(
    ("answer", "changes"),
    [
        ((r"cat /etc/docker/daemon\.json", ""), ["Docker | Configure the engine (daemon.json)"]),
        ((r"cmp -s - /opt/loomio-pi-stack/\.env;", "differs"), ["Stack | Write the stack's .env"]),
        ((r"cmp -s - .*identity;", "same root root 644"), ["Agent | Write the credential identity"]),
        ((r"config --services", compose_lines(config="d" * 64)), ["Stack | Start every service"]),
        ((r"config --services", compose_lines(image="sha256:9")), ["Stack | Start every service"]),
        ((r"config --services", compose_lines(applied="")), ["Stack | Start every service"]),
        (
            (r"config --services", compose_lines([*ALL_SERVICES, "orphan"])),
            ["Stack | Start every service"],
        ),
        (
            (r"config --services", compose_lines(ALL_SERVICES[1:])),
            ["Stack | Start every service", "Stack | Wait until healthy: every service"],
        ),
        (
            (r"systemctl show --property=Id", unit_lines(enabled="disabled")),
            ["Schedule | Enable loomio-backup.timer"],
        ),
        (
            (r"systemctl show --property=Id", unit_lines(timer="inactive")),
            ["Schedule | Enable loomio-backup.timer"],
        ),
        (
            (r"systemctl show --property=Id", unit_lines(timer="inactive", which="-watch")),
            ["Schedule | Enable the timers but for that of the backups"],
        ),
        ((r"stat -c .*loomio-backup\.timer", ""), ["Schedule | Write loomio-backup.timer"]),
        ((r"loomio-backup probe --due", ["local"]), ["Agent | Try out the stores: local"]),
        (
            (r"sha1sum /etc/loomio-backup/config\.yml", "0" * 40 + "  /etc/loomio-backup/config.yml"),
            ["Agent | Write the agent's configuration"],
        ),
    ],
    ids=[
        *("daemon.json", "env", "mode", "compose configuration", "newer image", "no record", "orphan"),
        *("container gone", "disabled", "stopped", "watch stopped", "unit", "probe"),
        "config",
    ],
)
def test_one_difference_is_one_operation(tmp_path: Path, answer: Answer, changes: list[str]) -> None:
    done = ConvergedPi(tmp_path, answers=[answer]).deploy("setup")
    assert done.code == 0, done.output
    assert done.planned == changes


def test_what_somebody_else_set_in_daemon_json_is_kept(tmp_path: Path) -> None:
    settings = docker.daemon_settings(DockerSettings()) | {"data-root": "/mnt/ssd/docker"}
    done = ConvergedPi(tmp_path, answers=[(r"cat /etc/docker/daemon\.json", json.dumps(settings))]).deploy(
        "setup"
    )
    assert done.planned == []


def test_a_daemon_json_that_is_none_is_left_alone(tmp_path: Path) -> None:
    done = ConvergedPi(tmp_path, answers=[(r"cat /etc/docker/daemon\.json", "{oops")]).deploy("setup")
    assert done.code == 1
    assert "/etc/docker/daemon.json is no JSON object" in done.output
    assert "Traceback" not in done.output


def test_a_deleted_file_of_the_clone_is_brought_back(tmp_path: Path) -> None:
    commit = "1" * 40
    url = "https://git.example.org/loomio-pi-stack.git"
    status = [
        "status  D files/stack/docker-compose.yml",
        f"head {commit}",
        f"origin {url}",
        "state clone",
        f"wanted {commit}",
    ]
    done = ConvergedPi(tmp_path, answers=[(r"git ls-remote", status)]).deploy("setup")
    assert done.planned == ["Stack | Clone the stack's repository at v1.2.3"]


@pytest.mark.parametrize(
    "options", [("--dry", "-vvv", "--debug", "--diff"), ("--dry", "--json", "-vvv", "--diff")]
)
def test_no_secret_is_ever_printed(tmp_path: Path, options: tuple[str, ...]) -> None:
    pi = ScriptedPi(tmp_path, machine=replace(FRESH, sudo=""), secrets=PASSWORD)
    done = pi.deploy("setup", *options)
    assert done.code == 0, done.output
    written = yaml.safe_load(Path(tmp_path / "pi.json").read_text())["secrets"]
    secrets = yaml.safe_load(written)
    values = [*secrets["app"].values(), *secrets["encryption"].values(), "open sesame"]
    hidden = [value for value in values if value and value != secrets["app"]["vapid_public_key"]]
    assert len(hidden) >= 8
    for value in hidden:
        assert value not in done.output
    # The search finds what is there: the operations themselves are printed.
    assert "cmp -s -" in done.output or "--json" in options


def test_a_store_that_does_not_work_fails_setup_with_its_own_sentence_before_timers(tmp_path: Path) -> None:
    sentence = "loomio-backup: nothing is mounted at /mnt/usb"
    answers: list[Answer] = [
        (r"loomio-backup probe --due", ["local"]),
        (r"loomio-backup probe --store", {"success": False, "stderr": sentence}),
        (r"systemctl show --property=Id", unit_lines(enabled="disabled", timer="inactive")),
    ]
    done = ConvergedPi(tmp_path, answers=answers).deploy("setup", "-y")
    assert done.code == 1
    assert sentence in done.output
    assert "Try out the stores: local" in done.output
    assert "Enable loomio-backup.timer" not in done.output
    well = ConvergedPi(tmp_path, answers=[answers[0], answers[2]]).deploy("setup", "-y")
    assert well.code == 0, well.output
    assert "Enable loomio-backup.timer" in well.output


@pytest.mark.parametrize(
    ("state", "made"), [("absent", True), ("present", False), ("unmounted", False)], ids=str
)
def test_a_folder_is_made_on_a_disk_only_while_it_is_mounted(tmp_path: Path, state: str, made: bool) -> None:
    local = {"path": "/mnt/usb/loomio", "mount_point": "/mnt/usb"}
    pi = ScriptedPi(
        tmp_path, settings={"backup": {"local": local}}, answers=[(r"mountpoint -q /mnt/usb", state)]
    )
    done = pi.deploy("setup")
    assert done.code == 0, done.output
    assert ("Agent | Create /mnt/usb/loomio on its disk" in done.planned) == made
    assert "Agent | Create /mnt/usb/loomio" not in done.operations


def test_with_an_offline_key_nothing_on_the_pi_opens_a_backup(tmp_path: Path) -> None:
    pi = ConvergedPi(
        tmp_path, settings={"encryption": {"offline_key": True}}, answers=[(r"cmp -s -", "absent")]
    )
    done = pi.deploy("setup")
    assert done.code == 0, done.output
    assert "Agent | Write the operator's secrets.yml for the backups" in done.planned
    for gone in ("Remove the credential identity", "Remove the operator's secrets.yml.age for the backups"):
        assert f"Agent | {gone}" in done.operations
    for never in ("credential identity", "credential legacy_passphrase", "operator's secrets.yml.age"):
        assert not [name for name in done.operations if name.startswith(f"Agent | Write the {never}")]


def test_dockers_packages_take_the_place_of_debians(tmp_path: Path) -> None:
    present = ("docker.io", "docker-cli", "docker-compose", *system.NEEDED, "unattended-upgrades")
    answers: list[Answer] = [(r"dpkg -l", [f"ii  {name}  1.0  all  words" for name in present])]
    done = ConvergedPi(tmp_path, answers=answers).deploy("setup")
    assert done.planned == ["Docker | Install Docker's packages"]


PINNED = {"docker": {"source": "debian", "version": "26.1.5"}}
RIGHT = ("docker.io  26.1.5+dfsg1-9", "docker-cli  26.1.5+dfsg1-9", "docker-compose  2.26")


@pytest.mark.parametrize(
    ("packages", "held", "planned"),
    [
        (RIGHT, ["held docker.io", "held docker-cli"], False),
        (RIGHT, ["held docker.io"], True),
        (("docker.io  26.1.50-1", *RIGHT[1:]), ["held docker.io", "held docker-cli"], True),
        (RIGHT, ["held docker.io", "held docker-cli", "interrupted"], True),
    ],
    ids=["as declared", "not held", "another version", "interrupted"],
)
def test_one_version_of_docker_is_kept_to(
    tmp_path: Path, packages: tuple[str, ...], held: list[str], planned: bool
) -> None:
    rest = [f"{name}  1.0" for name in (*system.NEEDED, "unattended-upgrades")]
    wanted = docker.preferences(DockerSettings(source="debian", version="26.1.5")) or ""
    answers: list[Answer] = [
        (r"dpkg -l", [f"ii  {one}  all  words" for one in (*packages, *rest)]),
        (r"apt-mark showhold", held),
        (rf"cat {docker.PREFERENCES} ", wanted.splitlines()),
    ]
    done = ConvergedPi(tmp_path, settings=PINNED, answers=answers).deploy("setup")
    assert done.planned == (["Docker | Install Docker's packages"] if planned else [])


EVERYTHING = {
    "system": {
        "hostname": "loomio",
        "locale": "en_GB.UTF-8",
        "swap": {"size": "1 GB"},
        "firewall": {"allow": [443]},
        "ssh_keys_only": True,
    },
    "docker": {"data": {"path": "/mnt/ssd/loomio", "mount_point": "/mnt/ssd"}},
}
#: A Raspberry Pi as it comes: what decides is what the kernel was started with.
NO_LIMITS = [
    "file=/boot/firmware/cmdline.txt",
    "line=root=x rootwait",
    "running=cgroup_disable=memory root=x",
]
OPTIONAL = [
    "System | Set the host name",
    "System | Set the locale",
    "System | Have limits of memory enforced",
    "System | Swap to a file",
    "System | Close the Pi to the network but for SSH and what is allowed",
    "System | Log in by SSH with keys only",
    "Docker | Keep Docker's data in /mnt/ssd/loomio",
]


def test_every_optional_part_of_the_system_can_be_switched_on(tmp_path: Path) -> None:
    answers: list[Answer] = [(r"cmdline\.txt", NO_LIMITS), (r"mountpoint -q /mnt/ssd", ["mounted", "here"])]
    done = ScriptedPi(tmp_path, settings=EVERYTHING, answers=answers).deploy("setup")
    assert done.code == 0, done.output
    assert [name for name in done.planned if name in OPTIONAL] == OPTIONAL


def test_what_is_on_by_default_can_be_switched_off(tmp_path: Path) -> None:
    off = {
        "wait_for_cloud_init_seconds": 0,
        "wait_for_clock_seconds": 0,
        "set_timezone": False,
        "unattended_upgrades": False,
        "journal": False,
        "memory_limits": False,
    }
    pi = ScriptedPi(
        tmp_path,
        settings={"system": off, "docker": {"check_images": False}},
        answers=[(r"cmdline\.txt", NO_LIMITS)],
    )
    done = pi.deploy("setup")
    assert done.code == 0, done.output
    assert [name for name in done.planned if name.startswith("System")] == PLAN[1:2]
    assert "Docker | Ask whether the images exist for this Pi" not in done.operations


@pytest.mark.parametrize(
    ("settings", "answer", "sentence"),
    [
        (
            {},
            (r"cmdline\.txt", ["running=quiet"]),
            "the kernel does not enforce limits of memory, and there is no cmdline.txt",
        ),
        (
            {},
            (r"cmdline\.txt", [*NO_LIMITS[:2], "running=cgroup_disable=memory root=x cgroup_enable=memory"]),
            "The Pi was not restarted again",
        ),
        (EVERYTHING, (r"mountpoint -q /mnt/ssd", "configured"), "nothing is mounted at /mnt/ssd"),
        (
            EVERYTHING,
            (r"mountpoint -q /mnt/ssd", ["mounted", "configured", "here", "there"]),
            "both /var/lib/docker and /mnt/ssd/loomio/docker hold containers or volumes",
        ),
        (
            EVERYTHING,
            (r"mountpoint -q /mnt/ssd", ["mounted", "configured /srv/docker", "here"]),
            "Docker's data is in /srv/docker by now",
        ),
    ],
    ids=["no cmdline", "restarted", "no disk", "two places", "elsewhere"],
)
def test_what_the_pi_cannot_do_is_said_and_stops(
    tmp_path: Path, settings: dict[str, object], answer: Answer, sentence: str
) -> None:
    done = ScriptedPi(tmp_path, settings=settings, answers=[answer]).deploy("setup")
    assert done.code == 1
    assert sentence in done.output
    assert "Traceback" not in done.output


def test_a_clock_that_stays_wrong_stops_setup_before_anything_is_downloaded(tmp_path: Path) -> None:
    answers: list[Answer] = [(r"cloud-init status", system_lines(clock="", now="86400"))]
    settings = {"system": {"wait_for_clock_seconds": 1}}
    done = ConvergedPi(tmp_path, settings=settings, answers=answers).deploy("setup", "-y")
    assert done.code == 1
    assert "it thinks that it is 1970-01-02 00:00:00 UTC" in done.output
    assert "Install git" not in done.output.partition("no right time")[2]
