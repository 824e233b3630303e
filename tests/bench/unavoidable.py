"""What a recovery cannot do without, each part done by the plain command that a person would type for it.

On a freshly flashed Pi of its own, beside the recovery that is held against it: the same packages, images and
objects, from the same places. What lies between the parts (decryption, an empty database server) is done and
not counted.
"""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from deploys.steps.preflight import DEBIAN_PACKAGES
from deploys.steps.system import NEEDED
from inventories.secrets import Secrets, load_secrets
from tests.lab import cloud, images
from tests.lab.drill.operator import Operator
from tests.lab.lab import Lab
from tests.lab.pi import Pi

_APT = "DEBIAN_FRONTEND=noninteractive apt-get -y -q"
_DATABASE, _USER = "loomio_production", "loomio"
_WORK = "/var/lib/docker/bench"


@dataclass(frozen=True)
class Unavoidable:
    """Seconds of each part; `objects` and `object_bytes`: what was downloaded."""

    apt: float
    pull: float
    download: float
    pg_restore: float
    tar: float
    objects: int
    object_bytes: int

    @property
    def sum(self) -> float:
        """What any recovery on this machine takes that does one thing after the other."""
        return round(self.apt + self.pull + self.download + self.pg_restore + self.tar, 1)


def needed(pi: Pi, backup: str) -> list[str]:
    """Names of the objects of a backup, as the agent on a Pi knows them."""
    shown = json.loads(pi.run("loomio-backup", "show", backup, "--json"))
    return [f"{backup}.manifest.age", *(entry["name"] for entry in shown["objects"])]


def measure_unavoidable(lab: Lab, operator: Operator, names: Sequence[str]) -> Unavoidable:
    """Do it all on a new Pi of the lab, which is gone afterwards."""
    passphrase = (operator.folder / "passphrase").read_text().strip()
    secrets = load_secrets(operator.folder / "secrets.yml.age", passphrase)
    pi = lab.new_pi()
    try:
        mirror = json.dumps({"registry-mirrors": [cloud.REGISTRY_URL]}).encode()
        pi.run("sh", "-c", "mkdir -p /etc/docker && cat > /etc/docker/daemon.json", input=mirror)
        packages = " ".join((*NEEDED, *DEBIAN_PACKAGES))
        apt = _timed(pi, f"{_APT} update && {_APT} install --no-install-recommends {packages}")
        pull = sum(_timed(pi, f"docker pull --quiet {image}") for image in images.STACK_IMAGES)
        _timed(pi, f"mkdir -p {_WORK}/objects {_WORK}/plain {_WORK}/files")
        download, size = _download(pi, lab, secrets, names)
        _decrypt(pi, secrets)
        return Unavoidable(
            apt=apt,
            pull=round(pull, 1),
            download=download,
            pg_restore=_pg_restore(pi),
            tar=_timed(pi, f'cd {_WORK} && for pack in plain/app-data_*; do tar -xpf "$pack" -C files; done'),
            objects=len(names),
            object_bytes=size,
        )
    finally:
        pi.destroy()


def _timed(pi: Pi, script: str, input: bytes | None = None) -> float:
    began = time.monotonic()
    pi.run("sh", "-ec", script, input=input)
    return round(time.monotonic() - began, 1)


def _download(pi: Pi, lab: Lab, secrets: Secrets, names: Sequence[str]) -> tuple[float, int]:
    """All objects with one curl, as one stream; its configuration has the token, and comes by pipe."""
    stored = lab.cloud.stored()
    lines = [f'header = "Authorization: Bearer {_token(lab, secrets)}"', "fail", "silent", "show-error"]
    for name in names:
        address = f"{cloud.DRIVE_URL}drive/v3/files/{stored[name]['id']}?alt=media"
        lines += [f'url = "{address}"', f'output = "{_WORK}/objects/{name}"']
    seconds = _timed(pi, "curl --config -", input="\n".join(lines).encode())
    return seconds, sum(int(stored[name]["size"]) for name in names)


def _token(lab: Lab, secrets: Secrets) -> str:
    credentials = secrets.drive.credentials
    assert credentials is not None
    keys = ("client_id", "client_secret", "refresh_token")
    form = {"grant_type": "refresh_token", **{key: credentials[key] for key in keys}}
    body = urllib.parse.urlencode(form).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(lab.cloud.drive.token_uri, body, timeout=60) as answer:
        return str(json.load(answer)["access_token"])


def _decrypt(pi: Pi, secrets: Secrets) -> None:
    pi.run("sh", "-ec", f"{_APT} install --no-install-recommends age zstd")
    identity = secrets.encryption.identity.get_secret_value().encode()
    pi.run("sh", "-ec", "umask 077; cat > /root/key", input=identity)
    for kind in ("*.dump", "app-data_*.tar"):
        pi.run(
            *("sh", "-ec"),
            f"cd {_WORK}/objects; for object in {kind}.zst.age; do "
            f'age -d -i /root/key "$object" | zstd -dq > ../plain/"${{object%.zst.age}}"; rm "$object"; done',
        )


def _pg_restore(pi: Pi) -> float:
    """Into an empty database of the stack's own image, with as many jobs as there are cores."""
    pi.run(
        *("docker", "run", "-d", "--name", "bench", "-e", f"POSTGRES_USER={_USER}"),
        *("-e", f"POSTGRES_DB={_DATABASE}", "-e", "POSTGRES_HOST_AUTH_METHOD=trust"),
        *("-v", f"{_WORK}/plain:/plain:ro", next(iter(images.STACK_IMAGES))),
    )
    ready = f"until docker exec bench pg_isready -q -h 127.0.0.1 -d {_DATABASE}; do sleep 0.2; done"
    pi.run("timeout", "60", "sh", "-c", ready)
    restore = f'pg_restore --exit-on-error -j "$(nproc)" -U {_USER} -d {_DATABASE} /plain/*.dump'
    seconds = _timed(pi, f"docker exec bench sh -c '{restore}'")
    pi.run("docker", "rm", "-f", "-v", "bench")
    return seconds
