"""What the agent remembers, and that it can be lost, old or new without harm."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from loomio_backup.catalogue.catalogue import Catalogue, Lineage
from loomio_backup.errors import CatalogueError
from loomio_backup.stores import StoredObject

from .agent_samples import manifest, object_entry, summary


def _stored(name: str, md5: str | None = None, sha256: str | None = None) -> StoredObject:
    return StoredObject(name, 10, md5, sha256, None, datetime.now(UTC))


def test_lineage_and_manifests_survive(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    with Catalogue(path) as catalogue:
        assert catalogue.lineage() is None
        catalogue.set_lineage(Lineage("i", 1, 0, None))
        catalogue.set_lineage(Lineage("i", 2, 3, "before"))
        added = catalogue.add_manifest(manifest(), "sha", "md5")
        catalogue.add_object(object_entry("a"))
        catalogue.add_stored("drive", _stored("a"))
    with Catalogue(path) as catalogue:
        assert catalogue.lineage() == Lineage("i", 2, 3, "before")
        assert catalogue.load(added) == manifest()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_manifest_is_known_by_its_hash_only(tmp_path: Path) -> None:
    with Catalogue(tmp_path / "catalogue.sqlite") as catalogue:
        added = catalogue.add_manifest(manifest(), "sha", "md5")
        name = manifest().manifest_name
        assert catalogue.known_manifest(_stored(name, sha256="sha")) == added
        assert catalogue.known_manifest(_stored(name, md5="md5")) == added
        assert catalogue.known_manifest(_stored(name, md5="md5", sha256="other")) is None
        assert catalogue.known_manifest(_stored(name, md5="other")) is None
        assert catalogue.known_manifest(_stored(name)) is None
        assert catalogue.known_manifest(_stored("other.manifest.age", sha256="sha")) is None


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    with Catalogue(tmp_path / "catalogue.sqlite") as catalogue:
        with pytest.raises(ZeroDivisionError), catalogue.transaction():
            catalogue.set_lineage(Lineage("i", 1, 1, None))
            raise ZeroDivisionError
        assert catalogue.lineage() is None


def test_what_is_no_catalogue_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    with pytest.raises(CatalogueError, match="cannot be used"):
        Catalogue(path)


def test_a_newer_catalogue_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    Catalogue(path).__exit__()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(CatalogueError, match="newer version"):
        Catalogue(path)


def test_a_transaction_within_another_is_a_part_of_it(tmp_path: Path) -> None:
    with Catalogue(tmp_path / "catalogue.sqlite") as catalogue:
        with pytest.raises(ZeroDivisionError), catalogue.transaction():
            catalogue.add_manifest(manifest(), "sha", "md5")
            raise ZeroDivisionError
        assert catalogue.manifest_digest(manifest().manifest_name) is None


def test_threads_do_not_get_into_each_others_transactions(tmp_path: Path) -> None:
    with Catalogue(tmp_path / "catalogue.sqlite") as catalogue:
        begun, written = threading.Event(), threading.Event()

        def other() -> None:
            begun.wait()
            catalogue.set_meta("other", "stays")
            written.set()

        thread = threading.Thread(target=other)
        thread.start()
        with pytest.raises(ZeroDivisionError), catalogue.transaction():
            catalogue.set_meta("ours", "goes")
            begun.set()
            assert not written.wait(0.2)
            raise ZeroDivisionError
        thread.join()
        assert (catalogue.meta("ours"), catalogue.meta("other")) == (None, "stays")


def test_an_object_on_its_way_keeps_the_address_of_its_upload(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    with Catalogue(path) as catalogue:
        session = catalogue.sending("drive", "a", "id-1")
        assert session.recall() is None
        session.remember("https://address")
    with Catalogue(path) as catalogue:
        assert catalogue.sent_to("drive") == {"a": "id-1"}
        assert catalogue.stored_in("drive") == {}
        assert catalogue.sending("drive", "a", "id-1").recall() == "https://address"
        # The address belongs to the id: with another one it would bring the object under the wrong id.
        assert catalogue.sending("drive", "a", "id-2").recall() is None
        catalogue.add_stored("drive", _stored("a"))
        assert (catalogue.sent_to("drive"), catalogue.stored_in("drive")) == ({}, {"a": None})
        catalogue.forget_stored("drive", "a")
        assert catalogue.stored_in("drive") == {}


def test_objects_of_a_verified_manifest_are_known_and_forgotten(tmp_path: Path) -> None:
    with Catalogue(tmp_path / "catalogue.sqlite") as catalogue:
        catalogue.add_manifest(manifest(), "sha", "md5")
        assert catalogue.entry("a") == object_entry("a")
        catalogue.add_packed([(b"path", "a", 1, 2, 3, 4, "hash")])
        catalogue.forget_object("a")
        assert catalogue.entry("a") is None
        assert catalogue.database.execute("SELECT count(*) FROM packed").fetchone() == (0,)
        catalogue.forget_backup(manifest().name)
        with pytest.raises(CatalogueError, match="does not know"):
            catalogue.load(summary(name=manifest().name))


def test_a_run_that_never_ended_was_killed(tmp_path: Path) -> None:
    with Catalogue(tmp_path / "catalogue.sqlite") as catalogue:
        assert catalogue.last_run("run") is None
        first, other = catalogue.begin_run("run"), catalogue.begin_run("verify")
        second = catalogue.begin_run("run")
        outcomes = dict(catalogue.database.execute("SELECT id, outcome FROM runs").fetchall())
        # This process lives, so its other verb still goes on.
        assert outcomes == {first: "failed", other: "running", second: "running"}
        catalogue.end_run(second, "partial", "name", "sentence")
        last = catalogue.last_run("run")
        assert last is not None
        assert (last.outcome, last.backup, last.error) == ("partial", "name", "sentence")
        assert last.finished_at is not None
        with subprocess.Popen(["true"]) as gone:
            pass
        catalogue.database.execute("UPDATE runs SET pid = ? WHERE id = ?", (gone.pid, other))
        catalogue.begin_run("prune")
        verify = catalogue.last_run("verify")
        assert verify is not None
        assert (verify.outcome, verify.error) == ("failed", "it was killed, or the Pi lost its power")


def test_what_a_pack_holds_can_be_forgotten(tmp_path: Path) -> None:
    with Catalogue(tmp_path / "catalogue.sqlite") as catalogue:
        catalogue.add_packed([(b"path", "a", 1, 2, 3, 4, "hash"), (b"path", "b", 1, 2, 3, 4, "hash")])
        catalogue.forget_content("a")
        assert catalogue.database.execute("SELECT pack FROM packed").fetchall() == [("b",)]
