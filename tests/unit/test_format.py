"""docs/format.md is enough to write another reader: this is one, written from the page, with age, zstd, tar,
JSON and Ed25519 alone and nothing of the agent. It reads the backups that earlier versions of the program
made.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pyrage
import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel

from loomio_backup.catalogue.manifest import Manifest
from tests import handbook
from tests.lab.docker import REPOSITORY

PAGE = (handbook.DOCS / "format.md").read_text()
KEPT = REPOSITORY / "tests" / "data" / "older_backups"


@dataclass(frozen=True)
class AnotherReader:
    """Reads one folder; `identity` and `signing_key` as a person has them."""

    folder: Path
    identity: str
    signing_key: str

    def opened(self, name: str) -> bytes:
        """An object without its encryption."""
        data = (self.folder / name).read_bytes()
        return bytes(pyrage.decrypt(data, [pyrage.x25519.Identity.from_str(self.identity)]))

    def content(self, name: str) -> bytes:
        """An object's content."""
        return zstandard.ZstdDecompressor().decompressobj().decompress(self.opened(name))

    def manifest(self) -> dict[str, Any]:
        """The newest backup's, verified."""
        found = [self._verified(path.name) for path in self.folder.glob("loomio_backup_*.manifest.age")]
        return max(found, key=lambda one: (one["generation"], one["sequence"]))

    def _verified(self, name: str) -> dict[str, Any]:
        document = json.loads(self.opened(name))
        assert (document["format"], document["version"]) == ("loomio-backup-manifest", 1)
        private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(self.signing_key))
        private.public_key().verify(base64.b64decode(document["signature"]), document["payload"].encode())
        manifest: dict[str, Any] = json.loads(document["payload"])
        assert manifest["name"] + ".manifest.age" == name
        return manifest


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _path(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("made_by", sorted(path.name for path in KEPT.iterdir()))
def test_another_reader_reads_a_backup(made_by: str) -> None:
    reader = AnotherReader(KEPT / made_by / "store", **json.loads((KEPT / made_by / "keys.json").read_text()))
    manifest = reader.manifest()
    recipient = str(pyrage.x25519.Identity.from_str(reader.identity).to_public())
    plain: dict[str, bytes] = {}
    for entry in manifest["objects"]:
        stored = (reader.folder / entry["name"]).read_bytes()
        assert (len(stored), _sha256(stored)) == (entry["stored_size"], entry["stored_sha256"])
        assert hashlib.md5(stored, usedforsecurity=False).hexdigest() == entry["stored_md5"]
        assert _sha256(recipient.encode())[:16] in entry["key_fingerprints"]
        data = plain[entry["name"]] = reader.content(entry["name"])
        assert (len(data), _sha256(data)) == (entry["plain_size"], entry["plain_sha256"])
    by_kind = {entry["kind"]: plain[entry["name"]] for entry in manifest["objects"]}

    assert by_kind["database"].startswith(b"PGDMP")
    with tarfile.open(fileobj=io.BytesIO(by_kind["config"])) as tar:
        names = set(tar.getnames())
    assert {"stack.json", "postgres/database.json", "postgres/roles.json", "postgres/roles.sql"} <= names

    lines = [json.loads(line) for line in by_kind["index"].splitlines()]
    assert [_path(line["path"]) for line in lines] == sorted(_path(line["path"]) for line in lines)
    counts = [sum(line["type"] == kind for line in lines) for kind in ("file", "dir", "symlink")]
    content = manifest["app_data"]
    assert counts == [content["files"], content["directories"], content["symlinks"]]
    assert counts[0] > 0
    for line in lines:
        if line["type"] == "file":
            with tarfile.open(
                fileobj=io.BytesIO(plain[line["pack"]]), encoding="utf-8", errors="surrogateescape"
            ) as tar:
                same = [member for member in tar if member.name == line["path"]]
                read = [tar.extractfile(member).read() for member in same]  # type: ignore[union-attr]
            assert line["sha256"] in [_sha256(one) for one in read]
            assert line["size"] in [len(one) for one in read]


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every field of a manifest as the page names it; what is in lists and mappings by itself."""
    for name, field in model.model_fields.items():
        one = field.annotation
        if isinstance(one, type) and issubclass(one, BaseModel):
            yield from _fields(one, f"{prefix}{name}.")
            continue
        yield prefix + name
        for part in get_args(one):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _fields(part)


def test_the_page_names_every_field_of_a_manifest() -> None:
    named = set(handbook.inline_code(PAGE))
    assert [name for name in _fields(Manifest) if name not in named] == []
