"""A pretended Pi whose backups are worth a drill: the app's own schema, attachments, and containers to take
the images of app and Redis from.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from loomio_backup import clock
from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.manifest import Manifest, backup_name, seal
from loomio_backup.config import DriveStore, Verify
from loomio_backup.state import StateDirectory
from loomio_backup.stores.drive import DriveFolder

from .agent_pair import Pair
from .agent_site import Site, site
from .docker import docker
from .drive import DriveEmulator, LabDrive
from .images import HERE, stack_image

LABEL = "org.loomio-pi-stack.drill"
SCHEMA = HERE / "images" / "loomio" / "standin" / "schema.sql"
#: What leads out of the Pi, in the stack's own `.env`.
OUTWARD = {"SMTP_PASSWORD": "smtp-secret-words", "OAUTH_SECRET": "oauth-secret-words"}
ENV = {
    "SECRET_COOKIE_TOKEN": "cookie-token-words",
    "DEVISE_SECRET": "devise-secret-words",
    "CANONICAL_HOST": "loomio.example.org",
    "FORCE_SSL": "1",
    "ASSUME_SSL": "1",
    **OUTWARD,
}
_HEALTH = "curl --fail --silent --output /dev/null http://localhost:3000/api/v1/boot/version || exit 1"
_ROWS = """
INSERT INTO users (id, email, unsubscribe_token, created_at, updated_at)
SELECT i, 'user' || i || '@example.org', i::text, now(), now() FROM generate_series(1, 20) AS i;
INSERT INTO topics (id, topicable_type, topicable_id, created_at, updated_at)
VALUES (1, 'Discussion', 1, now(), now());
INSERT INTO topic_items (topic_id, itemable_type, itemable_id, kind, created_at)
VALUES (1, 'Comment', 1, 'new_comment', '2026-11-20 12:34:56');
"""


def attach(pi: Site, number: int, content: bytes | None) -> str:
    """An attachment as the app would make it; without `content` its file is missing. Returns its key."""
    key = f"attachment{number:018}"
    data = content or b"lost long ago"
    checksum = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    pi.sql(
        "INSERT INTO active_storage_blobs (id, key, filename, service_name, byte_size, checksum, created_at) "
        f"VALUES ({number}, '{key}', 'a file', 'local', {len(data)}, '{checksum}', now())"
    )
    if content is not None:
        pi.attach(key, content)
    return key


def left_behind(pi: Site) -> list[str]:
    """Whatever of a drill is there: containers, helpers, volumes, networks, files."""
    label = f"label={LABEL}={pi.project}"
    found = docker("ps", "-aq", "--filter", label).split()
    helper = f"label=org.loomio-pi-stack.helper={pi.project}.drill"
    found += docker("ps", "-aq", "--filter", helper).split()
    found += docker("volume", "ls", "-q", "--filter", label).split()
    found += docker("network", "ls", "-q", "--filter", label).split()
    directory = pi.root / "state" / "reading-verify"
    return found + ([str(path) for path in directory.iterdir()] if directory.exists() else [])


@contextmanager
def drill_pair(root: Path, project: str, **options: Any) -> Iterator[Pair]:
    """A Pi with a local store and a Drive, filled, and not backed up yet."""
    with DriveEmulator(root / "drive") as emulator:
        lab = LabDrive(emulator.url)
        drive = DriveStore(api_root=emulator.url, token_uri=lab.token_uri)
        secret = json.dumps(lab.register_user())
        disk = root / "disk"
        with site(root / "pi", project, local=disk, drive=drive, drive_secret=secret) as pi:
            pi.write_config(pi.config.model_copy(update={"verify": Verify(**options)}))
            with pi.env.open("a") as file:
                file.writelines(f"{name}={value}\n" for name, value in ENV.items() if name not in _PRESENT)
            pi.env.write_text(pi.env.read_text().replace("=cookie\n", f"={ENV['SECRET_COOKIE_TOKEN']}\n"))
            pi.sql(SCHEMA.read_text())
            pi.sql("SET search_path = public;" + _ROWS)
            pi.fill_files()
            for number in range(1, 4):
                attach(pi, number, b"attachment %d" % number * 1000)
            attach(pi, 4, None)
            _images(pi)
            yield Pair(pi, disk, lab)


_PRESENT = {"SECRET_COOKIE_TOKEN"}


def _images(pi: Site) -> None:
    """Containers that were made and never started: of the live ones, a drill wants the image only."""
    for service, image, more in (
        ("app", "loomio/loomio:3.5", [f"--health-cmd={_HEALTH}"]),
        ("redis", "redis:8", []),
    ):
        docker(
            *("create", "--name", f"{pi.project}-{service}"),
            *("--label", f"com.docker.compose.project={pi.project}"),
            *("--label", f"com.docker.compose.service={service}", *more, stack_image(image)),
        )


def forge(pair: Pair, like: str, **changes: Any) -> str:
    """A manifest that this Pi's key signed, newer than all others, in Drive only: that of the backup `like`
    with changes. Returns the new backup's name.
    """
    pi = pair.pi
    manifest = manifest_of(pair, like)
    moment = clock.now() + timedelta(seconds=len(pair.in_drive()))
    made = manifest.model_copy(
        update={"name": backup_name(moment), "sequence": 100 + len(pair.in_drive())} | changes
    )
    path = pi.root / made.manifest_name
    digests = seal(made, pi.signing_key, pi.config.recipients, path)
    folder(pair).put(path.name, path, digests)
    path.unlink()
    return made.name


def folder(pair: Pair) -> DriveFolder:
    """The Pi's folder in Drive."""
    assert pair.pi.config.stores.drive is not None
    secret = json.loads((pair.pi.root / "credentials" / "drive.json").read_text())
    return DriveFolder(pair.pi.config.stores.drive, secret)


def manifest_of(pair: Pair, name: str) -> Manifest:
    """What the Pi knows of a backup."""
    with Catalogue(StateDirectory(pair.pi.config.state_directory).catalogue) as catalogue:
        found = catalogue.manifest(name)
    assert found is not None
    return found
