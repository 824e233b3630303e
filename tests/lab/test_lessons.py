"""What went wrong for others with real databases, and has no test elsewhere (docs/lessons.md)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from loomio_backup.catalogue.manifest import seal, unseal
from loomio_backup.encryption import crypto

from .agent_site import Site, site
from .docker import docker
from .images import stack_image

pytestmark = pytest.mark.lab
IMAGE = "loomio-lab/another-postgres:17.99"


@pytest.fixture(scope="module")
def pi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A Pi whose database runs an image of its own, as after an update of the stack."""
    folder = tmp_path_factory.mktemp("lessons")
    label = 'LABEL is="not what the name postgres:17 means here"'
    docker("build", "-q", "-t", IMAGE, "-", input=f"FROM {stack_image('postgres:17')}\n{label}\n".encode())
    with site(folder / "pi", "agent-lessons", local=folder / "disk", image=IMAGE) as made:
        made.fill()
        made.must("run")
        yield made


def _images_of_helpers(pi: Site, since: float) -> set[str]:
    """What the helper containers were made from that ran since then."""
    events = docker(
        *(
            "events",
            "--since",
            f"{since:.3f}",
            "--until",
            f"{time.time():.3f}",
            "--format",
            "{{json .Actor}}",
        ),
        *("--filter", "event=create", "--filter", f"label=org.loomio-pi-stack.helper={pi.project}"),
    )
    return {json.loads(line)["Attributes"]["image"] for line in events.splitlines()}


def test_the_servers_own_programs_dump_and_restore(pi: Site) -> None:
    own = docker("inspect", "-f", "{{.Image}}", pi.container)
    for verb in (["run"], ["restore", "--newest", "--unattended", "--replace-live-data"]):
        since = time.time()
        pi.must(*verb)
        assert _images_of_helpers(pi, since) == {own}, verb


def test_what_a_migration_needs_to_know_is_in_every_backup(pi: Site) -> None:
    newest = json.loads(pi.must("list", "--json"))[0]["name"]
    shown = json.loads(pi.must("show", newest, "--json"))
    assert shown["stack"]["images"]["db"]["reference"] == IMAGE
    assert shown["stack"]["images"]["db"]["id"] == docker("inspect", "-f", "{{.Image}}", pi.container)
    assert shown["database"]["schema_migration"] == "20261101000000"
    assert shown["database"]["postgresql_version"].startswith("17")


def test_a_restore_removes_no_backup(pi: Site) -> None:
    disk = pi.root.parent / "disk"
    before = {path.name: path.read_bytes() for path in disk.iterdir() if path.name != "RECOVERY.md"}
    pi.must("restore", "--newest", "--unattended", "--replace-live-data")
    assert before.items() <= {path.name: path.read_bytes() for path in disk.iterdir()}.items()


def test_a_row_that_is_missing_after_loading_is_noticed(pi: Site) -> None:
    listed = json.loads(pi.must("list", "--json"))
    newest, before, *_ = (backup["name"] for backup in listed if backup["label"] is None)
    path = pi.root.parent / "disk" / f"{newest}.manifest.age"
    kept = path.read_bytes()
    manifest = unseal(path, crypto.parse_identities(pi.identity), pi.config.signing_public_key)
    rows = manifest.database.tables["public.users"]
    tables = {**manifest.database.tables, "public.users": rows + 1}
    database = manifest.database.model_copy(update={"tables": tables})
    path.unlink()
    seal(manifest.model_copy(update={"database": database}), pi.signing_key, pi.config.recipients, path)
    said = pi.must("restore", "--newest", "--unattended", "--replace-live-data")
    assert f"public.users has {rows} rows instead of {rows + 1}" in said
    assert f"{before} is restored" in said
    path.write_bytes(kept)
