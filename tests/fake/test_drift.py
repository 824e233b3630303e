"""Every kind of difference between a Pi and what setup declares is named by verify, which exits with 2."""

import json
import subprocess
from pathlib import Path
from typing import Any

from deploys.operations.secret_file import NAMES as NAMES_SCRIPT
from deploys.steps import agent_archive, docker

from .scripted import COMMIT, Answer, ConvergedPi, compose_lines, stat_line, unit_lines

OTHER = "2" * 40
STACK = "/opt/loomio-pi-stack"
CLONE = ["head " + COMMIT, "origin https://git.example.org/loomio-pi-stack.git", "state clone"]
LOOK = ("-y", "--json", "--data", "drill=off")


def drift(folder: Path, *answers: Answer, **pi: Any) -> list[str]:
    """What is told of a Pi on which nothing fails; exit code and document agree."""
    done = ConvergedPi(folder, answers=answers, **pi).deploy("verify", *LOOK, module="deploys.console.runner")
    found = json.loads(done.stdout)
    host = found["hosts"]["@fake/loomio"]
    assert host["problems"] == [], done.output
    assert (done.code, found["exit_code"]) == (2 if host["drift"] else 0,) * 2
    lines: list[str] = host["drift"]
    assert all(line in done.output for line in lines)
    return lines


def other_sha1(path: str) -> Answer:
    return (rf"sha1sum {path} ", f"{'0' * 40}  {path}")


def test_nothing(tmp_path: Path) -> None:
    assert drift(tmp_path) == []


def test_everything_at_once(tmp_path: Path) -> None:
    timers = unit_lines()
    behind = timers.index("NeedDaemonReload=no")
    answers: list[Answer] = [
        (r"dpkg -l", [f"ii  {name}  1.0  all  words" for name in ("ca-certificates", "git", "python3")]),
        (r"cat /etc/docker/daemon\.json", '{"data-root": "/mnt/disk", "log-driver": "journald"}'),
        other_sha1("/etc/apt/keyrings/loomio-docker.asc"),
        (r"stat -c .*loomio-docker\.sources", ""),
        (r"--property Id --property UnitFileState", ["Id=docker.service", "UnitFileState=disabled"]),
        (rf"stat -c .*{STACK} 2>", stat_line(STACK, "drwxr-xr-x", "root")),
        (r"git ls-remote", [*CLONE, "wanted " + OTHER]),
        (r"NR == FNR", ["added MY_OWN", "differs SITE_NAME", "missing SMTP_SERVER", "others 2"]),
        (rf"cmp -s - {STACK}/\.env;", "differs"),
        (r"cmp -s - /etc/loomio-backup/credentials/identity;", "absent"),
        (r"cmp -s - /etc/loomio-backup/credentials/signing_key;", "differs"),
        (r"cmp -s - /etc/loomio-backup/operator/pi\.yml;", "same root root 644"),
        (r"config --services", compose_lines(image="")),
        (r"readlink current", ["current 0123456789ab", "version 0123456789ab", "leftover ffff.partial"]),
        (r"stat -c .*/usr/local/bin/loomio-backup", ""),
        (
            r"stat -c .*/etc/loomio-backup/config\.yml",
            stat_line("/etc/loomio-backup/config.yml", "-rw-r--r--"),
        ),
        (r"stat -c .*/var/lib/loomio-backup 2>", ""),
        other_sha1("/etc/systemd/system/loomio-backup-prune.service"),
        (r"loomio-backup probe --due", "local"),
        (
            r"systemctl show --property=Id",
            [*timers[:behind], "NeedDaemonReload=yes", *timers[behind + 1 :]],
        ),
    ]
    found = drift(tmp_path, *answers)
    agent = agent_archive.build().version
    credentials = "/etc/loomio-backup/credentials"
    assert found == [
        "System | Install the packages of the system: not installed: python3-venv, unattended-upgrades",
        "Docker | Configure the engine (daemon.json): /etc/docker/daemon.json: not as declared: "
        "insecure-registries, live-restore, log-driver, log-opts, registry-mirrors",
        f"Docker | Ship the key of Docker's apt repository: {docker.KEYRING} is not as declared",
        f"Docker | Declare Docker's apt repository: {docker.SOURCES} is missing",
        "Docker | Install Docker's packages: not installed: "
        "docker-ce, docker-ce-cli, containerd.io, docker-compose-plugin",
        "Docker | Start the engine, now and at boot: setup would run: systemctl enable docker.service",
        f"Stack | Create the stack's directory: setup would run: chown pi:pi {STACK}",
        f"Stack | Clone the stack's repository at v1.2.3: {STACK} is at 111111111111; v1.2.3 is 222222222222",
        f"Stack | Write the stack's .env: {STACK}/.env is not as declared (differs: SITE_NAME; "
        "missing: SMTP_SERVER; added: MY_OWN; 2 other lines)",
        "Stack | Fetch the images: the image postgres:17 is absent",
        "Stack | Start every service: the configuration (.env, compose files), an image or a container has "
        "changed since the last up",
        f"Agent | Install the agent {agent}: the agent is 0123456789ab; this checkout has {agent}",
        "Agent | Put loomio-backup on the path: setup would run: mkdir -p /usr/local/bin",
        "Agent | Remove old versions of the agent: still there: ffff.partial",
        "Agent | Create /var/lib/loomio-backup: setup would run: mkdir -p /var/lib/loomio-backup",
        "Agent | Write the agent's configuration: setup would run: chmod 640 /etc/loomio-backup/config.yml",
        f"Agent | Write the credential identity: {credentials}/identity is missing",
        "Agent | Write the credential signing_key: "
        f"the content of {credentials}/signing_key is not as declared",
        "Agent | Write the operator's pi.yml for the backups: /etc/loomio-backup/operator/pi.yml is "
        "root root 644 instead of root root 600",
        "Agent | Try out the stores: local: local was not tried out since its settings or credentials "
        "changed",
        "Schedule | Write loomio-backup-prune.service: "
        "/etc/systemd/system/loomio-backup-prune.service is not as declared",
        "Schedule | Make systemd read the units: systemd has not read, or not as it is now: "
        "loomio-backup.service",
    ]


def test_what_an_operation_refuses_to_touch_is_drift_and_the_rest_is_still_looked_at(tmp_path: Path) -> None:
    version = agent_archive.build().version
    found = drift(
        tmp_path,
        (r"cat /etc/docker/daemon\.json", "{"),
        (r"git ls-remote", [*CLONE, "wanted " + COMMIT, "status  M files/stack/docker-compose.yml"]),
        (r"config --services", compose_lines(applied="")),
        (r"readlink current", [f"current {version}", f"leftover {version}"]),
        settings={"backup": {"local": {"path": "/mnt/disk/loomio", "mount_point": "/mnt/disk"}}},
    )
    assert [line.partition(". ")[0] for line in found] == [
        "Docker | Configure the engine (daemon.json): /etc/docker/daemon.json is no JSON object, so Docker "
        "cannot read it either",
        f"Stack | Clone the stack's repository at v1.2.3: files of {STACK} were changed by hand: "
        "files/stack/docker-compose.yml",
        "Stack | Start every service: it is not known from what the containers were brought up",
        f"Agent | Install the agent {version}: files of the agent {version} were changed, or are missing",
    ]


def test_a_token_in_the_address_of_a_clone_is_not_shown(tmp_path: Path) -> None:
    origin = "origin https://me:ghp_secret@git.example.org/fork.git"
    [line] = drift(tmp_path, (r"git ls-remote", [CLONE[0], origin, CLONE[2], "wanted " + COMMIT]))
    assert line.endswith(
        f"{STACK} is a clone of https://git.example.org/fork.git, "
        "not of https://git.example.org/loomio-pi-stack.git"
    )


def test_missing_files_of_the_clone_are_named(tmp_path: Path) -> None:
    deleted = ["status  D files/stack/docker-compose.yml", *CLONE, "wanted " + COMMIT]
    [line] = drift(tmp_path, (r"git ls-remote", deleted))
    assert line.endswith(f"missing from {STACK}: files/stack/docker-compose.yml")


NAMES = """
SITE_NAME=Loomio
SECRET_KEY_BASE=0123456789abcdef
SMTP_SERVER='smtp.example.org'
"""
BY_HAND = """
# SMTP_SERVER='smtp.example.org'
SITE_NAME=Ours
SECRET_KEY_BASE=0123456789abcdef
OUR_OWN="several
MIIEvQIBADANBg==
lines"
"""


def test_the_names_that_differ_are_found_on_the_pi_and_no_part_of_a_value(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(BY_HAND)
    script = NAMES_SCRIPT.replace("%FILE%", str(file))
    found = subprocess.run(["sh", "-c", script], input=NAMES, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == [
        "added OUR_OWN",
        "differs SITE_NAME",
        "missing SMTP_SERVER",
        "others 2",
    ]


def test_of_several_pis_the_worst_counts_and_each_is_told(tmp_path: Path) -> None:
    """The second one's configuration is that of the first, so it is not as declared."""
    done = ConvergedPi(tmp_path, beside=["second"]).deploy("verify", *LOOK, module="deploys.console.runner")
    hosts = json.loads(done.stdout)["hosts"]
    assert done.code == 2, done.output
    assert {name: found["exit_code"] for name, found in hosts.items()} == {
        "@fake/loomio": 0,
        "@fake/second": 2,
    }
    assert hosts["@fake/second"]["drift"] == [
        "Agent | Write the agent's configuration: /etc/loomio-backup/config.yml is not as declared"
    ]
    assert "loomio: all is well." in done.output
    assert "second: not as declared in one point." in done.output


def test_one_that_does_not_answer_is_worse_and_does_not_hide_the_others(tmp_path: Path) -> None:
    pi = ConvergedPi(tmp_path, beside=["second"], one_unreachable=True)
    done = pi.deploy("verify", *LOOK, module="deploys.console.runner")
    hosts = json.loads(done.stdout)["hosts"]
    assert done.code == 1
    assert {name: found["exit_code"] for name, found in hosts.items()} == {
        "@fake/loomio": 0,
        "@fake/second": 2,
        "gone": 1,
    }
    assert "could not log in, and nothing was changed on it" in hosts["gone"]["problems"][0]
