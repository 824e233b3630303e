"""What the system refuses (a full disk, a read-only one, a broken catalogue) is one sentence, never a
traceback; what was there before is whole.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loomio_backup.catalogue.catalogue import Catalogue, Lineage
from loomio_backup.catalogue.lineage import Found, continued
from loomio_backup.catalogue.objects import write_object
from loomio_backup.command.cli import main, told
from loomio_backup.config import AppDataSource, Config, LocalStore, Stores, dump
from loomio_backup.encryption import crypto
from loomio_backup.errors import CatalogueError
from loomio_backup.state import StateDirectory, write_private

from .agent_samples import summary

OWN = Lineage("i" * 32, 1, 5, "loomio_backup_20261123_020000")


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("may not mount a small disk here")
    try:
        yield place
    finally:
        # Lazily: a test that fails with a file open must not leave the disk behind.
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "2m") as place:
        yield place


def _fill(disk: Path) -> Path:
    """Not one block is left; returns the file to remove."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    return filler


def _rows(pack: str, count: int) -> Iterator[tuple[object, ...]]:
    return ((f"storage/{n:09}".encode() * 20, pack, n, n, n, n, "s" * 64) for n in range(count))


def _configuration(tmp_path: Path, state: Path) -> Path:
    config = Config(
        app_data=[AppDataSource(name="storage", directory=tmp_path)],
        stores=Stores(local=LocalStore(path=tmp_path / "backups")),
        recipients=[crypto.recipient_of(crypto.generate_identity())],
        signing_public_key=crypto.generate_signing_key()[1],
        state_directory=state,
        credentials_directory=tmp_path / "credentials",
        schedule="0 * * * *",
        timezone="Etc/UTC",
        host="pi",
    )
    path = tmp_path / "config.yml"
    path.write_text(dump(config))
    return path


def _sentence(printed: str) -> str:
    assert printed.startswith("loomio-backup: "), printed
    assert printed.count("\n") == 1, printed
    assert "Traceback" not in printed
    assert "untouched" in printed
    return printed


# -- catalogue -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [10, 20_000], ids=["at the commit", "in the middle"])
def test_a_full_disk_undoes_the_transaction_and_nothing_else(disk: Path, count: int) -> None:
    with Catalogue(disk / "catalogue.sqlite") as catalogue:
        catalogue.set_lineage(OWN)
        # So small that SQLite spills the transaction early, as a large one does on any Pi.
        catalogue.database.execute("PRAGMA cache_size = 10")
        filler = _fill(disk)
        with pytest.raises(CatalogueError, match=r"full.*untouched.*Make room on its disk"):
            while True:
                with catalogue.transaction():
                    catalogue.add_packed(_rows(os.urandom(8).hex(), count))
        assert not catalogue.database.in_transaction
        filler.unlink()
        assert catalogue.lineage() == OWN
        with catalogue.transaction():
            catalogue.add_packed(_rows("later", 10))
    with Catalogue(disk / "catalogue.sqlite") as catalogue:
        assert catalogue.lineage() == OWN


def test_a_full_disk_in_a_single_statement(disk: Path) -> None:
    with Catalogue(disk / "catalogue.sqlite") as catalogue:
        _fill(disk)
        with pytest.raises(CatalogueError, match="Make room"):
            while True:
                catalogue.add_packed(_rows(os.urandom(8).hex(), 100))


def test_an_error_of_the_caller_undoes_the_transaction(tmp_path: Path) -> None:
    with Catalogue(tmp_path / "catalogue.sqlite") as catalogue:
        with pytest.raises(KeyError), catalogue.transaction():
            catalogue.set_lineage(OWN)
            raise KeyError
        assert catalogue.lineage() is None


def test_a_transaction_that_sqlite_has_ended_itself(tmp_path: Path) -> None:
    """The first error is the one to tell."""
    with (
        Catalogue(tmp_path / "catalogue.sqlite") as catalogue,
        pytest.raises(KeyError),
        catalogue.transaction() as database,
    ):
        database.execute("ROLLBACK")
        raise KeyError


def test_a_lost_catalogue_is_made_anew_and_the_stores_history_goes_on(tmp_path: Path) -> None:
    """As catalogue.py and its sentence about damage promise: moved away, then adopted from the stores."""
    path = tmp_path / "catalogue.sqlite"
    with Catalogue(path) as catalogue:
        catalogue.set_lineage(OWN)
    path.rename(tmp_path / "moved")
    with Catalogue(path) as catalogue:
        known = catalogue.lineage()
        assert known is None
        catalogue.set_lineage(continued(known, [Found("drive", [summary(7, 2)], [])], live_data=True))
        assert catalogue.lineage() == Lineage("i" * 32, 3, 0, "loomio_backup_2_7")


def test_a_damaged_catalogue_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(CatalogueError, match=rf"cannot be used.*untouched\. Move {path} .* away"):
        Catalogue(path)


def test_a_mistake_in_a_statement_stays_a_mistake(tmp_path: Path) -> None:
    with Catalogue(tmp_path / "catalogue.sqlite") as catalogue, pytest.raises(sqlite3.ProgrammingError):
        catalogue.database.execute("SELECT ?", ())


# -- state directory -----------------------------------------------------------------------------------------


def test_a_full_spool_is_told_with_its_place(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = StateDirectory(disk / "state")

    def write() -> int:
        with state.locked("a backup"):
            recipients = [crypto.recipient_of(crypto.generate_identity())]
            write_object(io.BytesIO(os.urandom(4_000_000)), state.spool / "object", recipients)
        return 0

    assert told(write) == 1
    assert str(state.path) in (text := _sentence(capsys.readouterr().err))
    assert "No space left on device" in text
    assert "Make room on that disk, then run the same again." in text
    assert list(state.spool.iterdir()) == []


def test_a_small_file_on_a_full_disk_keeps_its_old_content(disk: Path) -> None:
    path = disk / "journal.json"
    write_private(path, "old")
    _fill(disk)
    with pytest.raises(OSError, match="No space left") as caught:
        write_private(path, "n" * 10_000)
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert sorted(found.name for found in disk.iterdir()) == ["filler", "journal.json"]


# -- the command line ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verb",
    ["run", "list", "restore --newest", "check --store local", "show x", "export /tmp/x", "rotate-key"],
)
@pytest.mark.parametrize("begun", [False, True], ids=["first run", "later run"])
def test_verbs_on_a_full_disk(
    tmp_path: Path, disk: Path, begun: bool, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "signing_key").write_text(crypto.generate_signing_key()[0])
    config = _configuration(tmp_path, disk / "state")
    if begun:
        state = StateDirectory(disk / "state")
        state.catalogue_identity()
        with Catalogue(state.catalogue) as catalogue:
            catalogue.set_lineage(OWN)
    _fill(disk)
    assert main(["--config", str(config), *verb.split()]) == 1
    assert str(disk) in _sentence(capsys.readouterr().err)


def test_a_run_on_a_disk_that_became_read_only(
    tmp_path: Path, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = _configuration(tmp_path, disk / "state")
    StateDirectory(disk / "state")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert main(["--config", str(config), "run"]) == 1
    text = capsys.readouterr().err
    assert "Read-only file system" in text
    assert str(disk / "state") in text
    assert text.count("\n") == 1


def test_a_file_that_is_none_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = _configuration(tmp_path, tmp_path / "state")
    (tmp_path / "state" / "lock").mkdir(parents=True)
    assert main(["--config", str(config), "run"]) == 1
    assert f"{tmp_path / 'state' / 'lock'}: Is a directory. Earlier" in _sentence(capsys.readouterr().err)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written(unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "loomio_backup", "version"],
            cwd=Path(__file__).parents[2] / "files",
            env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert "standard output: No space left on device" in _sentence(done.stderr)


def _raise(error: Exception) -> Callable[[], int]:
    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.EACCES, 0])
def test_whatever_the_system_says(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(_raise(OSError(code, os.strerror(code), b"/some/file"))) == 1
    text = _sentence(capsys.readouterr().err)
    assert f"/some/file: {os.strerror(code)}. Earlier backups are untouched." in text
    assert text.endswith(", then run the same again.\n")


def test_an_error_of_sqlite_outside_the_catalogue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scratch = sqlite3.connect(tmp_path / "scratch")
    try:
        assert told(lambda: len(scratch.execute("SELECT * FROM absent").fetchall())) == 1
    finally:
        scratch.close()
    assert "no such table: absent" in _sentence(capsys.readouterr().err)


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyError("x"), io.UnsupportedOperation("read")])
def test_mistakes_of_ours_are_traced(error: Exception) -> None:
    with pytest.raises(type(error)):
        told(_raise(error))


@pytest.mark.parametrize(
    "verb", ["run", "list", "show", "check", "export", "restore", "rotate-key", "decrypt"]
)
def test_help_explains_the_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main([verb, "--help"])
    assert raised.value.code == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    usage, explanation = printed.out.split("\n\n")[:2]
    assert usage.startswith(f"usage: loomio-backup {verb}")
    assert explanation.endswith(".")
