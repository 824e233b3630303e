"""A Pi made of scripted answers, and the deploys run against it by the real pyinfra, hermetically.

Answers are (regular expression over the command, what it prints) in order, the first match counts. What no
answer fits succeeds and prints nothing: so is a Pi on which nothing was ever installed.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deploys.facts.compose import ComposeState, Container
from deploys.facts.machine import Machine
from deploys.steps import agent_archive, agent_config, docker, hourly, monitoring, schedule, system
from deploys.steps.paths import (
    AGENT_COMMAND,
    AGENT_SETTINGS,
    DEPLOY_KEY,
    GIT_KNOWN_HOSTS,
    METRICS_FILE,
    NETDATA,
    RESTORE_SERVICE,
    SETTLE_PATH,
    STACK_SETTINGS,
)
from deploys.steps.preflight import Target
from inventories import git_server
from inventories.secrets import Secrets, checked
from inventories.settings import Settings, load_settings
from loomio_backup import config as agent_model
from tests.unit import deploys_desk as desk

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "1" * 40
PRIVATE = "/run/user/1000/loomio-pi-fake"
Answer = tuple[str, str | list[str] | dict[str, Any]]

FRESH = Machine(
    uid=1000,
    user="pi",
    group="pi",
    home="/home/pi",
    runtime="/run/user/1000",
    architecture="arm64",
    os="debian",
    codename="trixie",
    pretty="Debian GNU/Linux 13 (trixie)",
    init="systemd",
    memory_mib=4096,
    disk_free_mib=20000,
    sudo="free",
    docker_packages=frozenset(),
)
ALL_SERVICES = ("app", "db", "hocuspocus", "redis", "worker")


@dataclass(frozen=True)
class Finished:
    """What a run came to: exit code, everything printed, and with pyinfra's --json the operations that would
    change.
    """

    code: int
    output: str
    planned: list[str]
    operations: list[str]
    stdout: str = ""


@dataclass
class ScriptedPi:
    """`machine` and `answers` are what it says; settings and secrets are what it is meant to be."""

    folder: Path
    machine: Machine = FRESH
    settings: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict)
    answers: Sequence[Answer] = ()
    #: Seconds that every command takes.
    delay: float = 0
    #: Names of more Pis that answer the same, and whether there is one (gone) that does not answer at all.
    beside: Sequence[str] = ()
    one_unreachable: bool = False

    def deploy(self, name: str, *options: str, module: str = "pyinfra") -> Finished:
        """Run `deploys/NAME.py --dry --json` (or with other options) and return what came of it."""
        process = self.start(name, *(options or ("--dry", "--json")), module=module)
        stdout, stderr = process.communicate(timeout=120)
        plan = json.loads(stdout).get("plan", []) if stdout.startswith("{") else []
        planned = [one["name"] for one in plan if one["hosts_with_change"]]
        return Finished(process.returncode, stdout + stderr, planned, [one["name"] for one in plan], stdout)

    def start(self, name: str, *options: str, module: str) -> subprocess.Popen[str]:
        """Start a run of `deploys/NAME.py` in the root of the checkout."""
        command = [sys.executable, "-m", module, "tests/fake/inventory.py", f"deploys/{name}.py", *options]
        environment = {**os.environ, "FAKE_PI": str(self.script()), "PYINFRA_PROGRESS": "off"}
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**environment, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def script(self) -> Path:
        """Write the file that the inventory reads."""
        settings_file = desk.write_settings(self.folder, **self.settings)
        settings_file.with_name("secrets.yml.age").write_text("-----BEGIN AGE ENCRYPTED FILE-----\n")
        secrets = desk.secrets_text(**self.secrets)
        answers = [
            *self.answers,
            *self.converged(load_settings(settings_file), checked(secrets, "secrets.yml")),
            (r"docker_packages=", machine_lines(self.machine)),
            # Else every run would wait for its clock.
            (r"cloud-init status", ["clock=right"]),
            (r"loomio-backup probe --due", ["local"]),
            (r"mktemp -d", PRIVATE),
            (r"cmp -s -", "absent"),
        ]
        file = self.folder / "pi.json"
        content = {
            "settings_file": str(settings_file),
            "secrets": secrets,
            "answers": answers,
            "delay": self.delay,
            "beside": list(self.beside),
            "one_unreachable": self.one_unreachable,
        }
        file.write_text(json.dumps(content))
        return file

    def converged(self, settings: Settings, secrets: Secrets) -> list[Answer]:
        """More answers, for a Pi that is no longer fresh."""
        return []


class ConvergedPi(ScriptedPi):
    """A Pi on which setup has done its work."""

    def converged(self, settings: Settings, secrets: Secrets) -> list[Answer]:
        target = Target("loomio", settings, secrets, self.machine, {})
        version = agent_archive.build().version
        stack = settings.stack.directory
        contents = {
            f"{AGENT_SETTINGS}/config.yml": agent_model.dump(agent_config.build(settings, secrets, "loomio")),
            **{f"/etc/systemd/system/{name}": text for name, text in schedule.contents(target).items()},
        }
        if settings.docker.source == "docker":
            contents[docker.KEYRING] = settings.docker.apt_key.read_text()
            contents[docker.SOURCES] = docker.sources(target)
        if server := git_server.over_ssh(settings.stack.repository):
            contents[GIT_KNOWN_HOSTS] = git_server.known_hosts(server, settings.stack.host_keys)
        chores = hourly.contents(settings) if hourly.needed(settings) else {}
        contents |= {f"/etc/systemd/system/{name}": text for name, text in chores.items()}
        if agent_config.wants_netdata(settings):
            for path, (name, _) in monitoring.NETDATA_FILES.items():
                contents[path] = (NETDATA / name).read_text()
            contents[monitoring.NETDATA_PATH] = f"{METRICS_FILE}\n"
        files: list[Answer] = []
        for path, text in contents.items():
            mode = "-rw-r-----" if path.endswith("config.yml") else "-rw-r--r--"
            mode = "-rwxr-xr-x" if path.endswith(".plugin") else mode
            files += [(rf"stat -c .*{re.escape(path)}( |$)", stat_line(path, mode)), sha1_answer(path, text)]
        directories = {
            stack: ("pi", "755"),
            "/opt/loomio-backup": ("root", "755"),
            "/etc/apt/keyrings": ("root", "755"),
            AGENT_SETTINGS: ("root", "755"),
            STACK_SETTINGS: ("root", "755"),
            METRICS_FILE.rpartition("/")[0]: ("root", "755"),
            **{path.rpartition("/")[0]: ("root", "755") for path in monitoring.NETDATA_FILES},
            monitoring.NETDATA_SETTINGS: ("root", "755"),
        }
        for path in (
            "/var/lib/loomio-backup",
            "/var/backups/loomio",
            f"{AGENT_SETTINGS}/credentials",
            f"{AGENT_SETTINGS}/operator",
        ):
            directories[path] = ("root", "700")
        for path, (owner, mode) in directories.items():
            letters = "drwxr-xr-x" if mode == "755" else "drwx------"
            files.append((rf"stat -c .*{re.escape(path)} 2>", stat_line(path, letters, owner)))
        packages = [*system.packages_of(settings.system), *docker.packages_of(settings.docker)]
        link = f"user=root group=root mode=lrwxrwxrwx atime=1 mtime=1 ctime=1 size=9 '{AGENT_COMMAND}' -> "
        return [
            *system_answers(settings),
            # The comparison of secret files happens on the Pi, so equal is all that it says.
            (r"cmp -s - /opt/loomio-pi-stack/\.env;", "same pi pi 600"),
            (rf"cmp -s - {DEPLOY_KEY};", "same pi pi 600"),
            (r"cmp -s -", "same root root 600"),
            (r"cat /etc/docker/daemon\.json", json.dumps(docker.daemon_settings(settings.docker))),
            (r"dpkg -l", [f"ii  {name}  1.0  all  words" for name in packages]),
            (
                r"git ls-remote",
                ["head " + COMMIT, f"origin {settings.stack.repository}", "state clone", "wanted " + COMMIT],
            ),
            (r"readlink current", [f"current {version}", f"version {version}"]),
            (rf"stat -c .*{AGENT_COMMAND}", f"{link}'/opt/loomio-backup/current/bin/loomio-backup'"),
            *files,
            (r"--property Id --property SubState", ["Id=docker.service", "SubState=running"]),
            (r"--property Id --property UnitFileState", ["Id=docker.service", "UnitFileState=enabled"]),
            (r"systemctl show --property=Id", unit_lines(more=tuple(chores))),
            (r"config --services", compose_lines()),
            (r"docker volume inspect", "rows 44"),
            (r"/api/v1/boot/version", "200"),
            (r"loomio-backup probe --due", ""),
            (r"loomio-backup check", json.dumps({"ok": True, "complete": True, "problems": []})),
            (r"date -u \+%s", "1795435200"),
            (r"systemctl start --no-block loomio-backup-verify", "It has ended: success"),
            (r"loomio-backup status --json", drill_lines()),
        ]


def machine_lines(machine: Machine) -> list[str]:
    """What the machine's answers look like on the wire."""
    packages = "".join(f"{name} installed," for name in sorted(machine.docker_packages))
    return [
        f"uid={machine.uid}",
        f"user={machine.user}",
        f"group={machine.group}",
        f"home={machine.home}",
        f"runtime={machine.runtime}",
        f"architecture={machine.architecture}",
        f"os={machine.os}",
        f"codename={machine.codename}",
        f"pretty={machine.pretty}",
        f"init={machine.init}",
        f"memory_kib={machine.memory_mib * 1024}",
        f"disk_kib={machine.disk_free_mib * 1024}",
        f"sudo={machine.sudo}",
        f"docker_packages={packages}",
    ]


def system_answers(settings: Settings) -> list[Answer]:
    """The system as it was declared, as far as that is on by default."""
    contents = {path: content for _what, path, content in system.upgrade_files()}
    contents[system.JOURNAL] = system.journal(settings.system.journal) or ""
    return [
        (r"cloud-init status", system_lines(timezone=settings.timezone)),
        *((rf"cat {re.escape(path)} ", text.splitlines()) for path, text in contents.items()),
    ]


def system_lines(**more: str) -> list[str]:
    """What the system says of itself."""
    said = {"cloud_init": "done", "clock": "right", "now": "1795435200", "timezone": "Etc/UTC", **more}
    return [f"{key}={value}" for key, value in said.items()]


def installed(machine: Machine, *packages: str) -> Machine:
    """The machine with these packages of Docker's or Debian's on it."""
    return replace(machine, docker_packages=frozenset(packages))


def stat_line(path: str, mode: str, owner: str = "root") -> str:
    return f"user={owner} group={owner} mode={mode} atime=1 mtime=1 ctime=1 size=9 '{path}'"


def sha1_answer(path: str, text: str) -> Answer:
    digest = hashlib.sha1(text.encode()).hexdigest()
    return (rf"sha1sum {re.escape(path)} ", f"{digest}  {path}")


def compose_lines(
    services: Sequence[str] = ALL_SERVICES,
    unhealthy: Sequence[str] = (),
    *,
    config: str = "c" * 64,
    image: str = "sha256:2",
    applied: str | None = None,
) -> list[str]:
    """The stack as it was brought up, unless an argument says otherwise; `applied` "" is a lost record."""
    images = {"loomio/loomio:3.5": "sha256:1", "postgres:17": image, "redis:8": "sha256:3"}
    upped = ComposeState(
        ALL_SERVICES,
        {**images, "postgres:17": "sha256:2"},
        tuple(Container(name, "running", "healthy", "h" * 64, "sha256:1") for name in ALL_SERVICES),
        "c" * 64,
    )
    health = {name: "unhealthy" if name in unhealthy else "healthy" for name in services}
    return [
        *(f"service {name}" for name in ALL_SERVICES),
        *(f"image {reference} {identity}" for reference, identity in images.items()),
        *(f"container {name} running {health[name]} {'h' * 64} sha256:1" for name in services),
        f"config {config}",
        f"applied {upped.fingerprint() if applied is None else applied}",
    ]


def unit_lines(
    *,
    timer: str = "active",
    enabled: str = "enabled",
    restore: str = "inactive",
    service: str = "inactive",
    which: str = "",
    more: Sequence[str] = (),
) -> list[str]:
    """The units as systemd shows them. What is said of timer and service is true of the backup's, or of the
    ones with `which` in their names (-prune, -watch). `more`: units that are there beside them.
    """
    lines = []
    for name in (*schedule.LOADED, *more):
        meant = name.partition(".")[0] == f"loomio-backup{which}"
        active, state = "inactive", "static"
        if name.endswith(".timer"):
            active, state = (timer, enabled) if meant else ("active", "enabled")
        elif name == SETTLE_PATH:
            active, state = "active", "enabled"
        elif name == RESTORE_SERVICE:
            active = restore
        elif meant:
            active = service
        lines += [f"Id={name}", "LoadState=loaded", f"ActiveState={active}", "NeedDaemonReload=no"]
        lines += ["Result=success", "InvocationID=", f"Enabled={state}", ""]
    return lines


def drill_lines(store: str = "local", **more: Any) -> list[str]:
    """What the agent says after a drill."""
    drill = {
        "store": store,
        "backup": "loomio_backup_20261123_120000",
        "snapshot_at": "2026-11-23T12:00:00Z",
        "started_at": "2026-11-23T12:10:00Z",
        "finished_at": "2026-11-23T12:14:00Z",
        "scope": "whole",
        "passed": True,
        "problems": [],
        "phases": {"fetch": 20.0, "database": 40.0},
        "tables": 44,
        "rows": 1200,
        "files": 31,
        "attachments": 12,
        **more,
    }
    outlook = {"text": "If this Pi dies now: 14 min of work lost."}
    status = {"stores": [{"store": store, "drills": {"last": drill}}], "outlook": outlook}
    return [json.dumps(status)]
