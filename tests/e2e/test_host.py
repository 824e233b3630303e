"""What the system and Docker steps declare, looked at on a Pi: with everything switched on, changed, and
switched off again. One Pi lives through all of it, test by test, in this order.
"""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploys.operations import firewall, image_platforms, ssh
from deploys.steps import docker as docker_step
from deploys.steps import system
from tests.lab import cloud, images
from tests.lab.docker import docker, wait_until
from tests.lab.drill import operator as desk
from tests.lab.drill.operator import Finished, Operator
from tests.lab.lab import Lab
from tests.lab.pi import Pi
from tests.unit.deploys_desk import merged

pytestmark = pytest.mark.lab

#: The root of a simulated Pi is an overlay, which cannot be swapped to: this is a real file system.
SWAP = "/var/lib/containerd/swapfile"
DISK = "/mnt/ssd"
VERSION = "26.1.5"
#: Says that it works for the first calls, as on a card that was just flashed.
CLOUD_INIT = """#!/bin/sh
calls=$(($(cat /var/tmp/calls 2>/dev/null || echo 0) + 1))
echo $calls > /var/tmp/calls
if test $calls -le 2; then echo 'status: running'; else echo 'status: done'; fi
"""


class HostLab(Lab):
    """A lab with no more than these tests need: one small image, no stack."""

    def __enter__(self) -> HostLab:
        try:
            self._make_ssh_key()
            self._make_network()
            self.cloud = cloud.start(f"{self.name}-cloud", network=self.name, label=self.label)
            self.apt = cloud.start_apt(
                f"{self.name}-apt", self.release, network=self.name, label=self.label, folder=self.folder
            )
            self.cloud.push(images.stack_image("redis:8"), "redis:8")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self


@dataclass
class Bench:
    """The Pi, and its operator."""

    lab: HostLab
    pi: Pi
    operator: Operator

    def settings(self, **more: Any) -> None:
        """Lay these settings over what was there."""
        file = self.operator.settings_file
        file.write_text(yaml.safe_dump(merged(yaml.safe_load(file.read_text()), more), sort_keys=False))

    def deploy(self, *options: str) -> Finished:
        command = ("pyinfra", "inventories/pi.py", "tests/e2e/host_setup.py", "--json", *options)
        number = len(list(self.operator.folder.glob("host-*.log")))
        return self.operator.type(*command, log=f"host-{number}.log")

    def deployed(self) -> list[str]:
        """Deploy, and deploy again: the second time changes nothing. Names of what the first one changed."""
        first = self.deploy("-y")
        assert first.code == 0, first.output[-4000:]
        again = self.deploy("--dry")
        assert again.code == 0, again.output[-4000:]
        plan = json.loads(again.stdout)["plan"]
        assert [one["name"] for one in plan if one["hosts_with_change"]] == []
        return first.changed()

    def reaches(self, port: int) -> bool:
        """Whether another machine of the network can connect to the Pi's port."""
        address = docker(
            "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", self.pi.name
        )
        script = f"import socket; socket.create_connection(({address!r}, {port}), 3)"
        return (
            subprocess.run(
                ["docker", "exec", self.lab.cloud.name, "python3", "-c", script], capture_output=True
            ).returncode
            == 0
        )

    def swaps(self) -> str:
        return self.pi.run("cat", "/proc/swaps")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with HostLab(tmp_path_factory.mktemp("host"), "trixie", sudo_password=True) as lab:
        pi = lab.new_pi(port=_free_port())
        # A restart of the Pi is one of its container.
        docker("update", "--restart=always", pi.name)
        operator = desk.prepare(lab, port=pi.ssh_port, drive_credentials=lab.cloud.drive.register_user())
        bench = Bench(lab, pi, operator)
        bench.settings(
            docker={
                "source": "docker",
                "apt_url": lab.apt.url,
                "apt_key": str(lab.apt.key),
                "apt_key_fingerprint": lab.apt.fingerprint,
            }
        )
        try:
            yield bench
        finally:
            subprocess.run(["docker", "exec", pi.name, "swapoff", SWAP], capture_output=True)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_a_fresh_card_is_waited_for_and_restarted_once_for_limits_of_memory(bench: Bench) -> None:
    pi = bench.pi
    pi.run(
        "sh", "-c", "cat > /usr/bin/cloud-init && chmod 755 /usr/bin/cloud-init", input=CLOUD_INIT.encode()
    )
    line = "console=serial0,115200 root=PARTUUID=0 rootwait cgroup_disable=memory"
    pi.run("mkdir", "-p", "/boot/firmware")
    pi.run("sh", "-c", "cat > /boot/firmware/cmdline.txt", input=f"{line}\n".encode())
    # As the kernel of a Raspberry Pi says it; gone with the restart.
    pi.run(
        "sh",
        "-c",
        "sed 's/^memory\\(.*\\)1$/memory\\10/' /proc/cgroups > /run/cgroups; mount --bind "
        "/run/cgroups /proc/cgroups",
    )
    bench.settings(
        timezone="Europe/Berlin",
        system={"locale": "en_GB.UTF-8", "journal": {"storage": "volatile", "max_size": "50 MB"}},
    )
    started = pi.run("stat", "-c", "%Y", "/proc/1")
    changed = bench.deployed()
    assert pi.run("stat", "-c", "%Y", "/proc/1") != started
    assert "System | Wait until the card has set itself up" in changed
    assert "System | Have limits of memory enforced" in changed
    cmdline = pi.run("cat", "/boot/firmware/cmdline.txt")
    assert cmdline == "console=serial0,115200 root=PARTUUID=0 rootwait cgroup_enable=memory"
    assert pi.run("cat", "/boot/firmware/cmdline.txt.before-loomio-pi") == line
    assert pi.run("date", "+%Z") in ("CET", "CEST")
    assert pi.run(
        "bash", "-lc", ". /etc/default/locale; LANG=$LANG locale -k LC_TIME | head -1; echo $LANG"
    ).endswith("en_GB.UTF-8")
    assert "en_GB.utf8" in pi.run("locale", "-a").splitlines()
    assert "Runtime Journal" in pi.run("journalctl", "-u", "systemd-journald", "--no-pager", "-n", "20")


def test_upgrades_are_on_and_keep_out_of_backups_and_restores(bench: Bench) -> None:
    pi = bench.pi
    told = pi.run("apt-config", "dump")
    for words in ('Unattended-Upgrade "1"', 'Automatic-Reboot "false"', "Raspberry Pi Foundation"):
        assert words in told
    shown = pi.run("systemctl", "show", "apt-daily-upgrade.service", "--property=ExecStart,NeedDaemonReload")
    assert "NeedDaemonReload=no" in shown
    assert f"--close {system.LOCK} /usr/lib/apt/apt.systemd.daily install" in shown
    # What the guard does, with something quicker than an upgrade in its place.
    guard = f"flock --timeout 1 --conflict-exit-code 0 --close {system.LOCK}"
    pi.run("mkdir", "-p", "/var/lib/loomio-backup")
    script = (
        f"{guard} touch /run/upgraded; test -e /run/upgraded && rm /run/upgraded; "
        f"( flock {system.LOCK} sleep 30 & echo $! > /run/holder; wait ) > /dev/null 2>&1 & "
        f"until test -e /run/holder && ! flock -n {system.LOCK} true; do :; done; "
        f"{guard} touch /run/upgraded; echo $?; test ! -e /run/upgraded && echo kept out; kill $(cat "
        "/run/holder)"
    )
    assert pi.run("bash", "-c", script).splitlines() == ["0", "kept out"]


def start_container(bench: Bench) -> None:
    bench.pi.run("docker", "pull", "-q", "redis:8")
    published = ("-p", "8080:6379", "-p", "8081:6379")
    bench.pi.run(
        *("docker", "run", "-d", "--name", "keeper", "--restart", "unless-stopped", "-v", "kept:/data"),
        *published,
        "redis:8",
    )
    bench.pi.run("docker", "exec", "keeper", "sh", "-c", "echo precious > /data/note")


def kept(bench: Bench) -> bool:
    """Whether the container of before runs, and has its data."""
    running = bench.pi.run("docker", "ps", "--format", "{{.Names}}").split()
    return "keeper" in running and bench.pi.run("docker", "exec", "keeper", "cat", "/data/note") == "precious"


def test_docker_comes_from_its_own_repository_and_goes_to_debians_with_its_data(bench: Bench) -> None:
    pi = bench.pi
    assert "docker-ce" in pi.run("dpkg-query", "-W", "-f", "${Package} ", "docker-ce")
    start_container(bench)
    # Docker of this machine keeps these two to itself.
    for path in ("/etc/hostname", "/etc/hosts"):
        pi.run("sh", "-c", f"cat {path} > /run/one; umount {path}; cat /run/one > {path}")
    pi.run("mkdir", "-p", DISK)
    pi.run("mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", DISK)
    bench.settings(
        system={
            "hostname": "loomio-two",
            "firewall": {"allow": [8080]},
            "ssh_keys_only": True,
            "swap": {"size": "20 MB", "path": SWAP},
        },
        docker={
            "source": "debian",
            "version": VERSION,
            "log_files": 2,
            "data": {"path": f"{DISK}/loomio", "mount_point": DISK},
        },
    )
    bench.deployed()
    assert kept(bench)
    assert pi.run("docker", "info", "--format", "{{.DockerRootDir}}") == f"{DISK}/loomio/docker"
    arguments = pi.run("sh", "-c", "tr '\\0' ' ' < /proc/$(pidof containerd)/cmdline")
    assert f"--root {DISK}/loomio/containerd" in arguments
    assert pi.run("apt-mark", "showhold").split() == ["docker-cli", "docker.io"]
    for path in (docker_step.SOURCES, docker_step.KEYRING):
        assert not pi.succeeds("test", "-e", path)
    assert pi.run("hostname") == "loomio-two"
    assert SWAP in bench.swaps()


def test_the_firewall_closes_what_is_published_but_not_what_is_allowed(bench: Bench) -> None:
    assert bench.reaches(22)
    assert bench.reaches(8080)
    assert not bench.reaches(8081)
    # The Pi itself, and containers on their way out, are not held up.
    assert bench.pi.succeeds(
        "python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 8081), 3)"
    )
    assert bench.pi.run("systemctl", "is-enabled", firewall.SERVICE) == "enabled"
    assert not bench.pi.succeeds("systemctl", "is-active", "loomio-pi-undo-firewall.timer")


def test_ssh_takes_keys_only(bench: Bench) -> None:
    told = bench.pi.run("sshd", "-T").splitlines()
    assert {"passwordauthentication no", "kbdinteractiveauthentication no"} <= set(told)
    assert not bench.pi.succeeds("systemctl", "is-active", "loomio-pi-undo-ssh.timer")


def test_an_operator_who_would_be_locked_out_is_not(bench: Bench) -> None:
    """Somebody has broken the server's configuration for the next reload: with it no key is accepted."""
    pi = bench.pi
    pi.run("rm", ssh.PATH)
    pi.run("systemctl", "reload", "ssh")
    broken = "/etc/ssh/sshd_config.d/00-broken.conf"
    pi.run("sh", "-c", f"echo AuthorizedKeysFile /nowhere > {broken}")
    done = bench.deploy("-y")
    pi.run("rm", broken)
    pi.run("systemctl", "reload", "ssh")
    assert done.code == 1
    assert "SSH with keys only was undone" in done.output
    assert not pi.succeeds("test", "-e", ssh.PATH)
    assert not pi.succeeds("systemctl", "is-active", "loomio-pi-undo-ssh.timer")
    assert "passwordauthentication yes" in pi.run("sshd", "-T").splitlines()


def test_without_its_disk_docker_does_not_start_and_setup_says_why(bench: Bench) -> None:
    pi = bench.pi
    pi.run("sh", "-c", "docker stop keeper; systemctl stop docker.socket docker containerd")
    # Kept by another mount of it, so that what is there is not lost with the last one.
    pi.run("mkdir", "/srv/aside")
    pi.run("mount", "--bind", DISK, "/srv/aside")
    pi.run("umount", DISK)
    assert not pi.succeeds("systemctl", "start", "docker")
    assert not pi.succeeds("test", "-e", f"{DISK}/loomio")
    done = bench.deploy("-y")
    assert done.code == 1
    assert f"nothing is mounted at {DISK}. Nothing was changed" in done.output
    pi.run("mount", "--bind", "/srv/aside", DISK)
    pi.run("systemctl", "start", "docker")
    pi.run("docker", "start", "keeper")


def rotate_key(lab: HostLab, folder: Path) -> tuple[Path, str]:
    """The repository is signed by another key from now on."""
    script = """
set -e
export GNUPGHOME=$(mktemp -d)
gpg --batch --quiet --passphrase '' --quick-generate-key 'The next key <lab@example.org>' rsa3072 sign never
gpg --batch --quiet --armor --export > /srv/key.asc
cd /srv/dists/trixie && gpg --batch --quiet --yes --clearsign -o InRelease Release
gpg --batch --with-colons --fingerprint | awk -F: '/^fpr/{print $10; exit}'
"""
    name = f"{lab.name}-apt"
    fingerprint = docker("exec", name, "sh", "-c", script).splitlines()[-1]
    key = folder / f"rotated-{secrets.token_hex(2)}.asc"
    docker("cp", f"{name}:/srv/key.asc", str(key))
    return key, fingerprint


def test_everything_goes_back_with_a_key_that_was_replaced(bench: Bench) -> None:
    pi = bench.pi
    key, fingerprint = rotate_key(bench.lab, bench.operator.folder)
    bench.settings(
        system={
            "firewall": False,
            "ssh_keys_only": False,
            "swap": False,
            "unattended_upgrades": False,
            "journal": False,
        },
        docker={
            "source": "docker",
            "version": None,
            "data": False,
            "apt_key": str(key),
            "apt_key_fingerprint": fingerprint,
        },
    )
    changed = bench.deployed()
    assert "Docker | Install Docker's packages" in changed
    wait_until(lambda: kept(bench) or None, "the container of before", 60)
    assert pi.run("apt-mark", "showhold") == ""
    # The data stays where it is: nothing moves back by itself.
    assert pi.run("docker", "info", "--format", "{{.DockerRootDir}}") == f"{DISK}/loomio/docker"
    assert SWAP not in bench.swaps()
    assert bench.reaches(8081)
    for path in (
        system.JOURNAL,
        system.UPGRADES,
        system.UPGRADES_GUARD,
        firewall.RULES,
        firewall.UNIT,
        ssh.PATH,
    ):
        assert not pi.succeeds("test", "-e", path), path


def test_a_version_that_is_not_to_be_had_changes_nothing(bench: Bench) -> None:
    bench.settings(docker={"version": "99.9"})
    done = bench.deploy("-y")
    bench.settings(docker={"version": None})
    assert done.code == 1
    assert "there is no version 99.9 of docker-ce" in done.output
    assert kept(bench)


def test_the_pi_itself_asks_the_registry_for_which_processors_an_image_is(bench: Bench) -> None:
    asked = {"images": ["redis:8", "redis:none"], "mirrors": [cloud.REGISTRY_URL], "insecure": []}
    program = Path(image_platforms.__file__).read_bytes()
    said = bench.pi.run("python3", "-", json.dumps(asked), input=program)
    known, unknown = (json.loads(line) for line in said.splitlines())
    assert known["architectures"] == [bench.pi.run("dpkg", "--print-architecture")]
    assert f"{cloud.REGISTRY_URL} does not have it" in unknown["problem"]
