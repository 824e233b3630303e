"""Keys that change, and a key that is not on the Pi: backups go on, and everything old comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from loomio_backup.config import DriveStore
from loomio_backup.encryption import crypto, keyring

from .agent_keys import rotate
from .agent_site import Site, site
from .drive import DriveEmulator, LabDrive
from .test_agent_faults import _fails

pytestmark = pytest.mark.lab


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[dict[str, object]]:
    with DriveEmulator(tmp_path / "drive") as emulator:
        lab = LabDrive(emulator.url)
        yield {
            "drive": DriveStore(api_root=emulator.url, token_uri=lab.token_uri),
            "drive_secret": json.dumps(lab.register_user()),
        }


def change_keys(pi: Site) -> None:
    """What the setup deploy brings after a change of identity and signing key."""
    rotate(pi)
    before = [pi.config.signing_public_key, *pi.config.old_signing_public_keys]
    pi.signing_key, public = crypto.generate_signing_key()
    (pi.root / "credentials" / "signing_key").write_text(pi.signing_key + "\n")
    changes = {"signing_public_key": public, "old_signing_public_keys": before}
    pi.write_config(pi.config.model_copy(update=changes))


def _fresh(root: Path, project: str, old: Site, **options: object) -> Site:
    """A new Pi that has the keys in use, and nothing of those before."""
    new = Site(root, project, keys=old, **options)  # type: ignore[arg-type]
    before = old.config.old_signing_public_keys
    new.write_config(new.config.model_copy(update={"old_signing_public_keys": before}))
    new.start_database()
    return new


def _names(disk: Path) -> set[str]:
    return {path.name for path in disk.iterdir()}


def _kinds(names: set[str]) -> list[str]:
    """`dump`, `config`, `index` … of objects that came."""
    ends = {
        ".dump.zst.age": "dump",
        ".config.tar.zst.age": "config",
        ".manifest.age": "manifest",
        ".ndjson.zst.age": "index",
    }
    found = [kind for name in names for end, kind in ends.items() if name.endswith(end)]
    return sorted([*found, *("pack" for name in names if name.startswith("app-data_"))])


def test_with_the_new_key_alone_every_backup_comes_back(tmp_path: Path, drive: dict[str, object]) -> None:
    disk = tmp_path / "disk"
    with site(tmp_path / "pi", "agent-keys", local=disk, **drive) as pi:
        pi.fill()
        pi.must("run")
        first = pi.database_text(), pi.files_text()
        change_keys(pi)
        # The next backup brings the keyring by itself.
        pi.sql("INSERT INTO other.things VALUES (3)")
        (pi.uploads / "later").write_text("later")
        before = _names(disk)
        pi.must("run")
        came = _names(disk) - before
        assert [name for name in came if keyring.is_keyring(name)] != []
        assert _kinds(came) == ["config", "dump", "index", "manifest", "pack"]
        change_keys(pi)
        said = pi.must("rotate-key")
        assert "2 backups still need it" in said
        assert "1 backups still need it" in said
        assert len(list(disk.glob("keyring_*"))) == 1
        _, oldest = json.loads(pi.must("list", "--json"))
        second = pi.database_text(), pi.files_text()

        new = _fresh(tmp_path / "fresh", "agent-keys2", pi, **drive)
        try:
            new.must("restore", "--backup", oldest["name"], "--unattended")
            assert (new.database_text(), new.files_text()) == first
            new.lose_database()
            new.must("restore", "--newest", "--unattended")
            assert (new.database_text(), new.files_text()) == second
            new.must("check", "--store", "drive", "--read-data")
            new.must("run")
        finally:
            new.stop()


def test_repacked_backups_need_no_earlier_key(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with site(tmp_path / "pi", "agent-keys3", local=disk) as pi:
        pi.fill()
        pi.must("run")
        before = _names(disk)
        change_keys(pi)
        assert "packs" in pi.must("rotate-key", "--repack")
        pi.must("run")
        assert _kinds(_names(disk) - before) == ["config", "dump", "index", "manifest", "pack"]
        newest = json.loads(pi.must("list", "--json"))[0]["name"]
        [ring] = disk.glob("keyring_*")
        ring.unlink()
        new = _fresh(tmp_path / "fresh", "agent-keys4", pi, local=disk)
        try:
            new.must("restore", "--backup", newest, "--unattended")
            assert (new.database_text(), new.files_text()) == (pi.database_text(), pi.files_text())
        finally:
            new.stop()


def test_without_the_keyring_a_closed_backup_says_which_key_it_needs(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with site(tmp_path / "pi", "agent-keys5", local=disk) as pi:
        pi.must("run")
        old = crypto.fingerprint(pi.config.recipients[0])
        change_keys(pi)
        credentials = pi.root / "credentials"
        (credentials / "identity").write_text(pi.identity)
        (credentials / "keyring.age").unlink()
        [backup] = json.loads(pi.must("list", "--json"))
        said = _fails(pi, "restore", "--backup", backup["name"], "--unattended")
        assert f"needs one of the keys {old}" in said
        assert f"needs one of the keys {old}" in _fails(pi, "export", str(tmp_path / "export"))


def test_after_a_restore_the_files_do_not_travel_again(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with site(tmp_path / "pi", "agent-keys6", local=disk) as pi:
        pi.fill()
        pi.must("run")
        (pi.uploads / "later").write_text("later")
        pi.must("run")
        before = _names(disk)
        new = _fresh(tmp_path / "fresh", "agent-keys7", pi, local=disk)
        try:
            new.must("restore", "--newest", "--unattended")
            new.must("run")
            # The index is written anew, because it is for the new Pi's own key, too.
            assert _kinds(_names(disk) - before) == ["config", "dump", "index", "manifest"]
            before = _names(disk)
            new.lose_database()
            new.must("restore", "--newest", "--unattended")
            new.must("run")
            assert _kinds(_names(disk) - before) == ["config", "dump", "manifest"]
        finally:
            new.stop()


def test_a_pi_without_an_identity(tmp_path: Path, drive: dict[str, object]) -> None:
    disk = tmp_path / "disk"
    with site(tmp_path / "pi", "agent-offline", local=disk, **drive) as pi:
        identity = pi.root / "credentials" / "identity"
        identity.unlink()
        pi.fill()
        pi.must("run")
        (pi.uploads / "later").write_text("later")
        pi.must("run")
        newest, _ = json.loads(pi.must("list", "--json"))
        for verb in (
            ("check",),
            ("check", "--all"),
            ("check", "--read-data"),
            ("prune", "--dry-run"),
            ("prune",),
            ("show", newest["name"]),
            ("pin", newest["name"]),
            ("unpin", newest["name"]),
        ):
            pi.must(*verb)
        assert "not on this Pi" in pi.must("show", newest["name"])
        # What it stored, it knows again when its catalogue is lost.
        before = _names(disk)
        for path in (pi.root / "state").glob("catalogue.sqlite*"):
            path.unlink()
        pi.must("run")
        assert _kinds(_names(disk) - before) == ["config", "dump", "manifest"]
        assert "holds no identity" in _fails(pi, "restore", "--newest", "--unattended", "--replace-live-data")
        assert "holds no identity" in _fails(pi, "export", str(tmp_path / "export"))

        new = _fresh(tmp_path / "fresh", "agent-offline2", pi, local=disk, **drive)
        try:
            new.must("restore", "--newest", "--unattended")
            assert (new.database_text(), new.files_text()) == (pi.database_text(), pi.files_text())
            # The key was lent for the restore only.
            (new.root / "credentials" / "identity").unlink()
            before = _names(disk)
            new.must("run")
            assert _kinds(_names(disk) - before) == ["config", "dump", "index", "manifest"]
            new.must("check", "--read-data")
        finally:
            new.stop()
