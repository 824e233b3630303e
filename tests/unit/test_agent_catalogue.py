"""What the agent remembers, and that it can be lost, old or new without harm."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from loomio_backup.catalogue import Catalogue, Lineage
from loomio_backup.errors import CatalogueError
from loomio_backup.stores import StoredObject

from .agent_samples import manifest, object_entry


def _stored(name: str, md5: str | None = None, sha256: str | None = None) -> StoredObject:
    return StoredObject(name, 10, md5, sha256, None, datetime.now(UTC))


def test_lineage_and_manifests_survive(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    with Catalogue(path) as catalogue:
        assert catalogue.lineage() is None
        catalogue.set_lineage(Lineage("i", 1, 0, None))
        catalogue.set_lineage(Lineage("i", 2, 3, "before"))
        summary = catalogue.add_manifest(manifest(), "sha", "md5")
        catalogue.add_object(object_entry("a"))
        catalogue.add_stored("drive", _stored("a"))
    with Catalogue(path) as catalogue:
        assert catalogue.lineage() == Lineage("i", 2, 3, "before")
        assert catalogue.load(summary) == manifest()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_manifest_is_known_by_its_hash_only(tmp_path: Path) -> None:
    with Catalogue(tmp_path / "catalogue.sqlite") as catalogue:
        summary = catalogue.add_manifest(manifest(), "sha", "md5")
        name = manifest().manifest_name
        assert catalogue.known_manifest(_stored(name, sha256="sha")) == summary
        assert catalogue.known_manifest(_stored(name, md5="md5")) == summary
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
