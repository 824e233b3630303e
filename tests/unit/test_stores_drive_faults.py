"""The Drive store when the network and Google misbehave: nothing lost, nothing twice, nothing half."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loomio_backup.errors import StoreDamaged, StoreUnavailable
from loomio_backup.stores.drive import DriveFolder
from loomio_backup.stores.drive_upload import CHUNK
from loomio_backup.stores.patience import Backoff
from tests.lab.drive import DriveEmulator, LabDrive

from .stores_bench import DriveBench, sample

SIZE = 2 * CHUNK + 12_345  # three chunks
CHUNKS = {"operation": "upload.chunk"}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DriveBench]:
    with DriveEmulator(tmp_path / "drive") as emulator:
        yield DriveBench(emulator, LabDrive(emulator.url))


@pytest.fixture
def store(bench: DriveBench) -> DriveFolder:
    return bench.user_store()


def _assert_all_struck(bench: DriveBench) -> None:
    idle = [rule for rule in bench.lab.faults() if not rule["struck"]]
    assert not idle, f"these rules never struck, so the test proves nothing: {idle}"


UPLOAD_FAULTS: dict[str, list[dict[str, Any]]] = {
    "start refused": [{"kind": "status", "status": 503, "match": {"operation": "upload.start"}, "times": 2}],
    "start lost": [{"kind": "drop-before-commit", "match": {"operation": "upload.start"}, "times": 3}],
    "answer to the start lost": [
        {"kind": "drop-after-commit", "match": {"operation": "upload.start"}, "times": 3}
    ],
    "dropped within a chunk": [
        {"kind": "drop-before-commit", "after_bytes": 1_000_000, "match": CHUNKS, "skip": 1}
    ],
    "dropped within every first try": [
        {"kind": "drop-before-commit", "after_bytes": 3_000_000, "match": CHUNKS, "skip": skip, "times": 2}
        for skip in (0, 3)
    ],
    "answer to a chunk lost": [{"kind": "drop-after-commit", "match": CHUNKS, "times": 3}],
    "answer to the last chunk lost": [{"kind": "drop-after-commit", "match": CHUNKS, "skip": 2, "times": 3}],
    "chunk refused": [{"kind": "status", "status": 500, "match": CHUNKS, "skip": 1, "times": 3}],
    "stored, then 500": [{"kind": "commit-then-status", "match": CHUNKS, "skip": 2, "times": 2}],
    "chunk kept in part": [{"kind": "partial", "keep": 300_000, "match": CHUNKS, "times": 2}],
    "chunk not kept": [{"kind": "missing-range", "match": CHUNKS, "skip": 1}],
    "session expired": [{"kind": "expired-session", "match": CHUNKS, "skip": 1}],
    "session expired after the file was stored": [
        {"kind": "commit-then-status", "match": CHUNKS, "skip": 2},
        {"kind": "expired-session", "match": CHUNKS, "skip": 3},
    ],
    "token expired on the way": [{"kind": "unauthorized", "match": CHUNKS, "skip": 1}],
    "token expired at the start": [{"kind": "unauthorized", "match": {"operation": "upload.start"}}],
    "one byte flipped": [{"kind": "corrupt", "match": CHUNKS, "skip": 1}],
    "rate limited": [
        {"kind": "status", "status": 403, "reason": "userRateLimitExceeded", "match": CHUNKS},
        {"kind": "status", "status": 429, "match": {"operation": "files.list"}, "times": 2},
        {"kind": "status", "status": 408, "match": {"operation": "upload.start"}},
    ],
    "token endpoint stumbles": [
        {"kind": "status", "status": 503, "match": {"operation": "token"}, "times": 2}
    ],
    "everything dropped once": [{"kind": "drop-before-commit", "times": 2}],
    "folder made, answer lost": [
        {"kind": "drop-after-commit", "match": {"operation": "files.create"}, "times": 3}
    ],
    "lists lag behind": [{"kind": "hide", "seconds": 3600, "match": {"upload": True}}],
}


@pytest.mark.parametrize("case", UPLOAD_FAULTS)
def test_an_upload_survives(bench: DriveBench, store: DriveFolder, tmp_path: Path, case: str) -> None:
    for rule in UPLOAD_FAULTS[case]:
        bench.lab.post("faults", rule)
    made = sample(tmp_path, SIZE)
    stored = store.put("object", made.path, made.digests, object_id=store.reserve_id())
    assert stored.matches(made.digests)
    _assert_all_struck(bench)
    bench.lab.clear_faults()
    assert bench.names() == ["object"]
    folders = [file for file in bench.lab.files() if "md5" not in file]
    assert [folder["name"] for folder in folders] == ["Loomio backups"]
    store.get(stored, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == made.content


NONSENSE = ["empty-json", "empty-array", "empty", "html", "latin-1", "wrong-types"]
# What a Drive store asks for, and nonsense of each sort; `make faults` tries every kind at every request.
NONSENSE_CASES = [
    (operation, kind)
    for operation in (
        "token",
        "files.list",
        "files.generateIds",
        "files.create",
        "files.get",
        "upload.start",
        "upload.chunk",
        "download",
        "files.delete",
    )
    for kind in (NONSENSE if operation == "files.list" else ("empty", "html", "wrong-types"))
]


def _life(store: DriveFolder, folder: Path) -> None:
    """Everything that a store is asked to do, with one object."""
    made, other = sample(folder, 1000, 1), sample(folder, 1000, 2)
    stored = store.put("object", made.path, made.digests)
    assert store.stat("object") == stored
    store.get(stored, folder / "fetched")
    assert (folder / "fetched").read_bytes() == made.content
    assert store.replace("object", other.path, other.digests).matches(other.digests)
    assert [found.name for found in store.list()] == ["object"]
    store.delete(stored)
    assert list(store.list()) == []


def _prepare(bench: DriveBench, operation: str) -> DriveFolder:
    """A store that will use this operation."""
    secret = bench.lab.register_user()
    store = bench.store(secret)
    if operation != "files.get":
        return store
    store.verify_access()  # makes the folder; only a folder known by its id is read by id
    folder = next(file["id"] for file in bench.lab.files() if "md5" not in file)
    return bench.store(secret, folder_id=folder)


@pytest.mark.parametrize(("operation", "kind"), NONSENSE_CASES)
def test_an_answer_that_is_not_drives_is_asked_for_again(
    bench: DriveBench, tmp_path: Path, operation: str, kind: str
) -> None:
    store = _prepare(bench, operation)
    bench.lab.fault(kind, times=3, match={"operation": operation})
    _life(store, tmp_path)
    _assert_all_struck(bench)
    assert bench.names() == []


@pytest.mark.parametrize(("operation", "kind"), NONSENSE_CASES)
def test_answers_that_are_never_drives_are_told_as_such(
    bench: DriveBench, tmp_path: Path, operation: str, kind: str
) -> None:
    store = _prepare(bench, operation)
    bench.lab.fault(kind, times=None, match={"operation": operation})
    bare = (operation, kind) == ("download", "empty")  # bytes that end at once are still bytes
    expected = "only 0 of 1000 bytes came" if bare else "not Google Drive"
    with pytest.raises(StoreUnavailable, match=expected) as caught:
        _life(store, tmp_path)
    assert "What Drive already holds is untouched" in str(caught.value)
    assert "\n" not in str(caught.value)
    _assert_all_struck(bench)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410])
@pytest.mark.parametrize("operation", ["files.list", "download", "files.delete", "token"])
def test_a_refusal_that_is_not_drives_means_nothing(
    bench: DriveBench, store: DriveFolder, tmp_path: Path, operation: str, status: int
) -> None:
    """A proxy's 404 is not "your backups are gone", its 401 not "authorise again"."""
    bench.lab.fault("html", status=status, times=None, match={"operation": operation})
    with pytest.raises(StoreUnavailable, match="not Google Drive"):
        _life(store, tmp_path)
    _assert_all_struck(bench)


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_never_an_empty_list(bench: DriveBench, tmp_path: Path, kind: str) -> None:
    """Neither in the search for the folder, nor on a first page or a later one, nor for a single name."""
    secret, made = bench.lab.register_user(), sample(tmp_path, 10)
    store = bench.store(secret)
    bench.lab.post("state", {"page_limit": 1})
    for name in ("one", "two"):
        store.put(name, made.path, made.digests)
    for skip in (0, 1, 2):
        bench.lab.fault(kind, times=None, skip=skip, match={"operation": "files.list"})
        with pytest.raises(StoreUnavailable, match="not Google Drive"):
            list(bench.store(secret).list())
        bench.lab.clear_faults()
    bench.lab.fault(kind, times=None, match={"operation": "files.list"})
    with pytest.raises(StoreUnavailable, match="not Google Drive"):
        store.stat("one")


def test_a_nonsense_token_does_not_stick(bench: DriveBench, store: DriveFolder) -> None:
    """It is not kept until its supposed end, an hour later."""
    bench.lab.fault("wrong-types", times=5, match={"operation": "token"})
    with pytest.raises(StoreUnavailable, match="not Google Drive"):
        list(store.list())
    assert list(store.list()) == []


@pytest.mark.parametrize("case", ["dropped within a chunk", "answer to a chunk lost", "chunk refused"])
def test_only_what_was_lost_is_sent_again(
    bench: DriveBench, store: DriveFolder, tmp_path: Path, case: str
) -> None:
    for rule in UPLOAD_FAULTS[case]:
        bench.lab.post("faults", rule)
    made = sample(tmp_path, SIZE)
    store.put("object", made.path, made.digests)
    sent = sum(entry["bytes_in"] for entry in bench.lab.log() if entry["operation"] == "upload.chunk")
    assert sent <= SIZE + 3 * CHUNK


def test_a_repetition_finds_what_lists_do_not_show_yet(
    bench: DriveBench, store: DriveFolder, tmp_path: Path
) -> None:
    """An interrupted run put the object; the next one knows the id from its catalogue."""
    made = sample(tmp_path, 1000)
    file_id = store.reserve_id()
    bench.lab.fault("hide", seconds=3600, match={"upload": True})
    first = store.put("object", made.path, made.digests, object_id=file_id)
    assert list(store.list()) == []
    again = store.put("object", made.path, made.digests, object_id=file_id)
    assert first == again
    assert bench.names() == ["object"]


def test_an_upload_that_always_arrives_damaged_is_taken_back(
    bench: DriveBench, store: DriveFolder, tmp_path: Path
) -> None:
    bench.lab.fault("corrupt", times=None, match={"upload": True})
    made = sample(tmp_path, 1000)
    with pytest.raises(StoreDamaged, match="arrived in Drive with another hash"):
        store.put("object", made.path, made.digests)
    assert bench.names() == []


def test_retry_after_is_honoured(bench: DriveBench, store: DriveFolder) -> None:
    list(store.list())
    bench.lab.fault("status", status=429, retry_after=2, match={"operation": "files.list"})
    begun = time.monotonic()
    list(store.list())
    assert time.monotonic() - begun >= 2


DOWNLOAD_FAULTS: dict[str, list[dict[str, Any]]] = {
    "refused": [{"kind": "status", "status": 500, "times": 2}],
    "never answered": [{"kind": "drop-before-commit", "times": 2}],
    "cut three times": [{"kind": "truncate", "at": 1_000_000, "times": 3}],
    "cut, with a length that agrees": [{"kind": "truncate", "at": 1_000_000, "honest": True}],
    "cut at the first byte": [{"kind": "truncate", "at": 0, "times": 2}],
    "one byte flipped": [{"kind": "corrupt"}],
    "token expired": [{"kind": "unauthorized"}],
    "token expired after a cut": [{"kind": "truncate", "at": 5_000_000}, {"kind": "unauthorized", "skip": 1}],
    "slow": [{"kind": "slow", "bytes_per_second": 20_000_000}],
}


@pytest.mark.parametrize("case", DOWNLOAD_FAULTS)
def test_a_download_survives(bench: DriveBench, store: DriveFolder, tmp_path: Path, case: str) -> None:
    made = sample(tmp_path, SIZE)
    stored = store.put("object", made.path, made.digests)
    for rule in DOWNLOAD_FAULTS[case]:
        bench.lab.post("faults", rule | {"match": {"operation": "download"}})
    store.get(stored, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == made.content
    _assert_all_struck(bench)


def test_a_broken_download_goes_on_where_it_broke(
    bench: DriveBench, store: DriveFolder, tmp_path: Path
) -> None:
    made = sample(tmp_path, SIZE)
    stored = store.put("object", made.path, made.digests)
    bench.lab.fault("truncate", at=6_000_000, match={"operation": "download"})
    store.get(stored, tmp_path / "fetched")
    downloads = [entry for entry in bench.lab.log() if entry["operation"] == "download"]
    assert [entry["status"] for entry in downloads] == [0, 206]
    assert sum(entry["bytes_out"] for entry in downloads) < SIZE + 1_000_000


@pytest.mark.parametrize(("kind", "rehash"), [("flip", False), ("truncate", False), ("truncate", True)])
def test_damage_in_drive_is_told_and_leaves_no_file(
    bench: DriveBench, store: DriveFolder, tmp_path: Path, kind: str, rehash: bool
) -> None:
    made = sample(tmp_path, SIZE)
    stored = store.put("object", made.path, made.digests)
    bench.lab.damage("object", kind, rehash)
    with pytest.raises((StoreDamaged, StoreUnavailable), match="object"):
        store.get(stored, tmp_path / "fetched")
    assert list(tmp_path.glob("*fetched*")) == []
    if rehash:
        found = store.stat("object")
        assert found is not None
        assert not found.matches(made.digests)


def test_patience_ends(bench: DriveBench, store: DriveFolder, tmp_path: Path) -> None:
    bench.lab.fault("status", status=503, times=None, match={"operation": "files.*"})
    made = sample(tmp_path, 10)
    with pytest.raises(StoreUnavailable, match=r"failed 5 times, last with: 503.*is untouched"):
        store.put("object", made.path, made.digests)


def test_nobody_listens(tmp_path: Path) -> None:
    with DriveEmulator(tmp_path / "drive") as emulator:
        bench = DriveBench(emulator, LabDrive(emulator.url))
        store = bench.user_store()
    with pytest.raises(StoreUnavailable, match="Check the network"):
        list(store.list())


def test_a_long_outage_is_waited_for(bench: DriveBench, tmp_path: Path) -> None:
    """With its ordinary patience, scaled down, the store outlives an outage in the middle of an upload."""
    patient = DriveFolder(
        bench.settings(), bench.lab.register_user(), Backoff(first=0.02, longest=0.5, tries=8)
    )
    bench.lab.fault("drop-before-commit", match=CHUNKS, skip=1, times=6)
    made = sample(tmp_path, SIZE)
    assert patient.put("object", made.path, made.digests).matches(made.digests)


def test_memory_does_not_grow_with_the_object(bench: DriveBench, tmp_path: Path) -> None:
    """Peak memory of a process that stores and fetches 10 MB and 200 MB differs by less than two chunks."""
    secret, peaks = bench.lab.register_user(), []
    for size in (10_000_000, 200_000_000):
        work = [bench.settings().model_dump(), secret, str(tmp_path), size]
        done = subprocess.run(
            [sys.executable, "-c", _PEAK],
            input=json.dumps(work),
            env={"PATH": os.environ["PATH"], "PYTHONPATH": "files"},
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
            timeout=120,
        )
        assert done.stderr == ""
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 2 * CHUNK
    assert peaks[1] < 110_000_000


_PEAK = """
import json, re, sys
from pathlib import Path
from loomio_backup.config import DriveStore
from loomio_backup.catalogue.objects import Digests, hash_file
from loomio_backup.stores.drive import DriveFolder
settings, secret, folder, size = json.loads(sys.stdin.read())
source, target = Path(folder) / f"source-{size}", Path(folder) / "target"
with source.open("wb") as file:
    for _ in range(size // 1_000_000):
        file.write(b"x" * 1_000_000)
length, sha256, md5 = hash_file(source)
store = DriveFolder(DriveStore(**settings), secret)
stored = store.put(f"object-{size}", source, Digests(length, sha256, length, sha256, md5))
store.get(stored, target)
status = Path("/proc/self/status").read_text()
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", status).group(1)) * 1024)
"""


@pytest.mark.parametrize(("md5", "sha256"), [(False, True), (True, False), (True, True)])
def test_whatever_hash_drive_knows_is_compared(
    bench: DriveBench, store: DriveFolder, tmp_path: Path, md5: bool, sha256: bool
) -> None:
    made = sample(tmp_path, SIZE)
    told = store.put("object", made.path, made.digests)
    stored = replace(told, md5=told.md5 if md5 else None, sha256=told.sha256 if sha256 else None)
    store.get(stored, tmp_path / "fetched")
    bench.lab.fault("corrupt", times=None, match={"operation": "download"})
    with pytest.raises(StoreDamaged, match="object"):
        store.get(stored, tmp_path / "again")
    assert not (tmp_path / "again").exists()
