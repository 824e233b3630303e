"""A simulated Raspberry Pi: a container with systemd as PID 1, reached over real SSH as the user pi."""

from __future__ import annotations

import configparser
import io
import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from . import images
from .docker import LabError, docker, exists, wait_until

Release = Literal["trixie", "bookworm"]
#: systemd and an inner Docker engine need these beyond Docker's default set; --privileged asks for more than
#: some machines may give.
CAPABILITIES = (
    "SYS_ADMIN NET_ADMIN SYS_PTRACE SYS_MODULE SYS_TIME MKNOD SYS_RAWIO IPC_LOCK AUDIT_CONTROL AUDIT_READ "
    "DAC_READ_SEARCH LINUX_IMMUTABLE NET_BROADCAST SYS_BOOT SYS_NICE SYSLOG SYS_TTY_CONFIG LEASE WAKE_ALARM "
    "BLOCK_SUSPEND MAC_ADMIN MAC_OVERRIDE IPC_OWNER SYS_PACCT"
).split()
LEGACY_CGROUP_INIT = "systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"


@dataclass(frozen=True)
class Pi:
    """One simulated Pi. `sudo_password` is None where sudo asks for none."""

    name: str
    release: Release
    ssh_port: int
    sudo_password: str | None

    @property
    def volumes(self) -> tuple[str, str]:
        return (f"{self.name}-docker", f"{self.name}-containerd")

    def run(self, *command: str, input: bytes | None = None, user: str = "root", timeout: float = 600) -> str:
        """Run a command on the Pi, past SSH, and return its output. Raises LabError when it fails."""
        return docker("exec", "-i", "-u", user, self.name, *command, input=input, timeout=timeout)

    def succeeds(self, *command: str) -> bool:
        """Whether a command on the Pi exits with 0."""
        done = subprocess.run(["docker", "exec", self.name, *command], capture_output=True, timeout=120)
        return done.returncode == 0

    @contextmanager
    def stream(self, *command: str, stdin: bool = False) -> Iterator[IO[bytes]]:
        """Run a command on the Pi and hand out its stdout (or its stdin). Raises when it fails."""
        process = subprocess.Popen(
            ["docker", "exec", "-i", self.name, *command],
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if stdin else subprocess.PIPE,
        )
        pipe = process.stdin if stdin else process.stdout
        assert pipe is not None
        try:
            try:
                with pipe:
                    yield pipe
            except BrokenPipeError:
                # The program ended before it had read everything: its exit status says more than this.
                process.wait(timeout=60)
            if process.wait(timeout=600) != 0:
                raise LabError(f"{' '.join(command[:4])} … on {self.name} ended with {process.returncode}")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def database_container(self) -> str:
        """Name of the running container of the stack's database."""
        filters = ["--filter", "label=com.docker.compose.service=db"]
        return self.run("docker", "ps", "--format", "{{.Names}}", *filters)

    def machine_id(self) -> str:
        return self.run("cat", "/etc/machine-id")

    def destroy(self) -> None:
        """The SD card dies: the container and everything that it stored are gone."""
        if exists("container", self.name):
            docker("rm", "-f", "-v", self.name)
        for volume in self.volumes:
            if exists("volume", volume):
                docker("volume", "rm", volume)


def image(release: Release) -> str:
    """The image of a freshly flashed Pi."""
    return images.build(images.HERE / "pi_image", f"pi-{release}", BASE=images.base_image(release))


def start(
    name: str,
    release: Release,
    *,
    network: str,
    label: str,
    key: Path,
    sudo_password: str | None,
    port: int | None = None,
) -> Pi:
    """Boot a fresh Pi on the network and wait until its sshd answers.

    `key` is the operator's public SSH key file. With a `sudo_password`, sudo asks for it, as Raspberry Pi OS
    does since 2026-04. `port` is the SSH port on 127.0.0.1; None takes a free one.
    """
    legacy = docker("info", "--format", "{{.CgroupVersion}}") == "1"
    pi = Pi(name, release, 0, sudo_password)
    arguments = ["--name", name, "--hostname", "loomio", "--label", label, "--network", network]
    arguments += [
        "--publish",
        f"127.0.0.1:{port or ''}:22",
        "--tmpfs",
        "/run",
        "--tmpfs",
        "/run/lock",
        "--tmpfs",
        "/tmp:exec",
    ]
    for volume, place in zip(pi.volumes, ("/var/lib/docker", "/var/lib/containerd"), strict=True):
        docker("volume", "create", "--label", label, volume)
        arguments += ["--volume", f"{volume}:{place}"]
    if legacy:
        arguments += [f"--cap-add={capability}" for capability in CAPABILITIES]
        arguments += [f"--security-opt={kind}=unconfined" for kind in ("seccomp", "apparmor", "systempaths")]
        arguments += ["--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"]
    else:
        arguments += ["--privileged", "--cgroupns=private"]
    # Shared mounts, as on a real machine: without them LoadCredential= of units finds nothing.
    init = f"mount --make-rshared / && exec /sbin/init {LEGACY_CGROUP_INIT if legacy else ''}"
    docker("run", "-d", *arguments, image(release), "sh", "-c", init)
    wait_until(lambda: pi.succeeds("systemctl", "is-active", "-q", "ssh.service"), f"{name}: sshd", 60)
    _give_the_flasher_s_settings(pi, key, sudo_password)
    published = int(docker("port", name, "22/tcp").splitlines()[0].rpartition(":")[2])
    return Pi(name, release, published, sudo_password)


def _give_the_flasher_s_settings(pi: Pi, key: Path, password: str | None) -> None:
    """What Raspberry Pi Imager writes on the card: the user's key, and how sudo behaves."""
    pi.run("install", "-d", "-m", "0700", "/home/pi/.ssh", user="pi")
    pi.run("sh", "-c", "umask 077; cat > /home/pi/.ssh/authorized_keys", input=key.read_bytes(), user="pi")
    if password is None:
        pi.run(
            "sh",
            "-c",
            "umask 337; cat > /etc/sudoers.d/010_pi-nopasswd",
            input=b"pi ALL=(ALL) NOPASSWD: ALL\n",
        )
    else:
        pi.run("chpasswd", input=f"pi:{password}\n".encode())
    _trust_what_this_machine_trusts(pi)


def _trust_what_this_machine_trusts(pi: Pi) -> None:
    """Give pip on the Pi this machine's certificates and index, where they differ from the defaults."""
    bundle = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    settings = configparser.ConfigParser()
    settings["global"] = {"disable-pip-version-check": "true"}
    if bundle and Path(bundle).is_file():
        pi.run("sh", "-c", "cat > /etc/ssl/lab-authorities.pem", input=Path(bundle).read_bytes())
        settings["global"]["cert"] = "/etc/ssl/lab-authorities.pem"
    index = subprocess.run(
        ["python3", "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True
    ).stdout.strip()
    if index:
        settings["global"]["index-url"] = index
    text = io.StringIO()
    settings.write(text)
    pi.run("sh", "-c", "cat > /etc/pip.conf", input=text.getvalue().encode())
