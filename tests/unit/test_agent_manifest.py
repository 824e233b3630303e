"""Manifests: sealed, opened, refused when signature, key, version or name are not right."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from loomio_backup.catalogue.manifest import backup_name, is_manifest, parse, payload_of, seal, unseal
from loomio_backup.catalogue.objects import write_sealed
from loomio_backup.encryption import crypto
from loomio_backup.errors import DamagedObject, ManifestError, SignatureError, WrongKey

from .agent_samples import MOMENT, manifest

IDENTITY = crypto.generate_identity()
OWN = crypto.generate_identity()
RECIPIENTS = [crypto.recipient_of(IDENTITY), crypto.recipient_of(OWN)]
SIGNING_KEY, PUBLIC_KEY = crypto.generate_signing_key()


def test_sealed_manifest_opens_with_each_key_and_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "m.manifest.age"
    digests = seal(manifest(), SIGNING_KEY, RECIPIENTS, path)
    assert path.read_bytes().startswith(b"age-encryption.org/v1\n")
    assert path.stat().st_size == digests.stored_size
    for identity in (IDENTITY, OWN):
        assert unseal(path, crypto.parse_identities(identity), PUBLIC_KEY) == manifest()


def test_format_is_readable_with_age_and_json(tmp_path: Path) -> None:
    """What RECOVERY.md promises: `age -d`, then the payload is JSON text in a JSON document."""
    path, key = tmp_path / "m.age", tmp_path / "key.txt"
    seal(manifest(), SIGNING_KEY, RECIPIENTS, path)
    key.write_text(IDENTITY + "\n")
    plain = subprocess.run(["age", "-d", "-i", str(key), str(path)], capture_output=True, check=True).stdout
    document = json.loads(plain)
    assert document["format"] == "loomio-backup-manifest"
    assert document["version"] == 1
    payload = json.loads(document["payload"])
    assert payload["sequence"] == 1
    assert payload["snapshot_at"] == "2026-11-23T02:00:00Z"
    crypto.verify(PUBLIC_KEY, document["payload"].encode(), document["signature"])


def test_wrong_key_and_wrong_signature_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "m.manifest.age"
    seal(manifest(), SIGNING_KEY, RECIPIENTS, path)
    with pytest.raises(WrongKey):
        unseal(path, crypto.parse_identities(crypto.generate_identity()), PUBLIC_KEY)
    with pytest.raises(SignatureError):
        unseal(path, crypto.parse_identities(IDENTITY), crypto.generate_signing_key()[1])


def test_any_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "m.manifest.age"
    seal(manifest(), SIGNING_KEY, RECIPIENTS, path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises((DamagedObject, WrongKey)):
        unseal(path, crypto.parse_identities(IDENTITY), PUBLIC_KEY)


def _sealed(tmp_path: Path, document: object) -> Path:
    path = tmp_path / "odd.manifest.age"
    write_sealed(json.dumps(document).encode(), path, RECIPIENTS)
    return path


def test_other_documents_and_versions_are_refused(tmp_path: Path) -> None:
    identities = crypto.parse_identities(IDENTITY)
    payload = payload_of(manifest())
    good: dict[str, object] = {
        "format": "loomio-backup-manifest",
        "version": 1,
        "payload": payload,
        "signature": crypto.sign(SIGNING_KEY, payload.encode()),
    }
    assert unseal(_sealed(tmp_path, good), identities, PUBLIC_KEY) == manifest()
    changes: list[dict[str, object]] = [{"version": 2}, {"format": "other"}, {"payload": None}]
    for number, change in enumerate(changes):
        directory = tmp_path / str(number)
        directory.mkdir()
        with pytest.raises((ManifestError, SignatureError)):
            unseal(_sealed(directory, good | change), identities, PUBLIC_KEY)
    (tmp_path / "list").mkdir()
    with pytest.raises(ManifestError, match="not a manifest"):
        unseal(_sealed(tmp_path / "list", [1, 2]), identities, PUBLIC_KEY)


def test_a_payload_that_contradicts_the_format_names_the_place() -> None:
    document = json.loads(payload_of(manifest()))
    document["database"]["tables"] = "many"
    with pytest.raises(ManifestError, match=r"database\.tables"):
        parse(json.dumps(document), "x")


def test_fields_of_later_programs_are_no_error() -> None:
    document = json.loads(payload_of(manifest())) | {"something_new": 1}
    assert parse(json.dumps(document), "x") == manifest()


def test_names() -> None:
    assert backup_name(MOMENT) == "loomio_backup_20261123_020000"
    assert is_manifest("loomio_backup_20261123_020000.manifest.age")
    assert not is_manifest("loomio_backup_20261123_020000.dump.zst.age")
    assert not is_manifest("RECOVERY.md")
