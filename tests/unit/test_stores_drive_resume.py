"""Uploads to Drive that outlive the process that began them."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loomio_backup.errors import StoreError, StoreUnavailable
from loomio_backup.stores.drive import DriveFolder
from loomio_backup.stores.drive_upload import CHUNK
from tests.lab.docker import wait_until
from tests.lab.drive import DriveEmulator, LabDrive

from .stores_bench import DriveBench, FileMemory, Sample, sample

SIZE = 2 * CHUNK + 12_345  # three chunks
CHUNKS = {"operation": "upload.chunk"}

_PUT = """
import json, sys
from pathlib import Path
from loomio_backup.config import DriveStore
from loomio_backup.catalogue.objects import Digests, hash_file
from loomio_backup.stores.drive import DriveFolder
from tests.unit.stores_bench import FileMemory
settings, secret, source, object_id, memory = json.loads(sys.stdin.read())
length, sha256, md5 = hash_file(Path(source))
store = DriveFolder(DriveStore(**settings), secret)
digests = Digests(length, sha256, length, sha256, md5)
store.put("object", Path(source), digests, object_id=object_id, memory=FileMemory(Path(memory)))
"""


class Interrupted:
    """An upload whose process ended in the middle of it."""

    def __init__(self, bench: DriveBench, folder: Path) -> None:
        self.bench, self.made = bench, sample(folder, SIZE)
        self.secret = bench.lab.register_user()
        self.memory = FileMemory(folder / "memory")
        self.first = bench.store(self.secret)
        self.object_id = self.first.reserve_id()

    def fail(self, **rule: Any) -> str:
        """End the upload by a fault that outlasts all patience; the address that is remembered."""
        self.bench.lab.fault(times=None, **rule)
        with pytest.raises(StoreUnavailable) as caught:
            self.put(self.first)
        self.bench.lab.clear_faults()
        self.bench.lab.clear_log()
        address = self.memory.recall()
        assert address is not None
        assert "upload_id=" in address
        assert address not in str(caught.value)
        return address

    def put(self, store: DriveFolder, made: Sample | None = None) -> Any:
        """What every run does for this object."""
        made = made or self.made
        return store.put("object", made.path, made.digests, object_id=self.object_id, memory=self.memory)

    def go_on(self) -> int:
        """The next process does it again, and it ends well. Bytes of content that were sent for it."""
        stored = self.put(self.bench.store(self.secret))
        assert stored.matches(self.made.digests)
        assert self.memory.recall() is None
        assert self.bench.names() == ["object"]
        log = self.bench.lab.log()
        return sum(entry["bytes_in"] for entry in log if entry["operation"] == "upload.chunk")


@pytest.fixture
def interrupted(tmp_path: Path) -> Iterator[Interrupted]:
    with DriveEmulator(tmp_path / "drive") as emulator:
        yield Interrupted(DriveBench(emulator, LabDrive(emulator.url)), tmp_path)


def _chunks(bench: DriveBench) -> int:
    return sum(entry["operation"] == "upload.chunk" for entry in bench.lab.log())


@pytest.mark.parametrize(("chunks", "left"), [(0, SIZE), (1, SIZE - CHUNK), (2, SIZE - 2 * CHUNK)])
def test_a_killed_process_loses_only_the_chunk_on_its_way(
    interrupted: Interrupted, tmp_path: Path, chunks: int, left: int
) -> None:
    it, bench = interrupted, interrupted.bench
    bench.lab.fault("latency", seconds=60, match=CHUNKS, skip=chunks)
    source, memory = str(it.made.path), str(tmp_path / "memory")
    work = [bench.settings().model_dump(), it.secret, source, it.object_id, memory]
    process = subprocess.Popen(
        [sys.executable, "-c", _PUT],
        stdin=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": "files:."},
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(work).encode())
    process.stdin.close()
    # The address is there before any content: at the first chunk, nothing else is known of the upload.
    wait_until(lambda: bench.lab.faults()[0]["struck"] == 1, "the chunk on its way", every=0.02)
    assert it.memory.recall() is not None
    process.kill()
    process.wait()
    bench.lab.clear_faults()
    assert _chunks(bench) == chunks + 1
    bench.lab.clear_log()
    # The emulator may still have taken what was in the kernel's buffers.
    assert left - CHUNK <= it.go_on() <= left


def test_it_goes_on_within_a_chunk(interrupted: Interrupted) -> None:
    interrupted.fail(kind="drop-before-commit", after_bytes=1_000_000, match=CHUNKS)
    assert interrupted.go_on() < SIZE


def test_a_finished_upload_whose_answer_was_lost_is_recognised(interrupted: Interrupted) -> None:
    interrupted.fail(kind="drop-after-commit", skip=2, match=CHUNKS)
    assert interrupted.go_on() == 0


def test_so_it_is_when_its_session_is_forgotten_as_well(interrupted: Interrupted) -> None:
    interrupted.fail(kind="drop-after-commit", skip=2, match=CHUNKS)
    interrupted.bench.lab.fault("expired-session", match=CHUNKS)
    interrupted.bench.lab.fault("hide", seconds=3600, match={"upload": True})
    assert interrupted.go_on() == 0


def test_an_expired_session_is_started_over(interrupted: Interrupted) -> None:
    interrupted.fail(kind="drop-before-commit", skip=1, match=CHUNKS)
    interrupted.bench.lab.fault("expired-session", match=CHUNKS)
    assert interrupted.go_on() == SIZE


def test_nothing_arrived_yet(interrupted: Interrupted) -> None:
    interrupted.fail(kind="drop-before-commit", match=CHUNKS)
    assert interrupted.go_on() == SIZE


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "status", "status": 503},
        {"kind": "status", "status": 429, "retry_after": 0},
        {"kind": "drop-before-commit"},
        {"kind": "drop-after-commit"},
        {"kind": "unauthorized"},
        {"kind": "html"},
        {"kind": "empty-json"},
    ],
)
def test_the_question_where_it_stands_may_fail_as_well(
    interrupted: Interrupted, rule: dict[str, Any]
) -> None:
    interrupted.fail(kind="drop-before-commit", skip=1, match=CHUNKS)
    interrupted.bench.lab.fault(times=2, match=CHUNKS, **rule)
    assert interrupted.go_on() <= SIZE


def test_an_address_for_other_bytes_is_not_used(interrupted: Interrupted, tmp_path: Path) -> None:
    interrupted.fail(kind="drop-before-commit", skip=1, match=CHUNKS)
    interrupted.made = sample(tmp_path, 1000)
    assert interrupted.go_on() == 1000


def test_bytes_of_another_object_are_noticed(interrupted: Interrupted, tmp_path: Path) -> None:
    """As long, but not the same: what began is finished, found to be wrong, taken back and sent whole."""
    interrupted.fail(kind="drop-before-commit", skip=1, match=CHUNKS)
    interrupted.made = sample(tmp_path, SIZE, seed=1)
    assert interrupted.go_on() > SIZE


def test_a_file_that_was_deleted_meanwhile_gets_a_new_id(interrupted: Interrupted) -> None:
    interrupted.fail(kind="drop-after-commit", skip=2, match=CHUNKS)
    stored = interrupted.first.stat("object", interrupted.object_id)
    assert stored is not None
    interrupted.first.delete(stored)
    assert interrupted.go_on() == SIZE


@pytest.mark.parametrize("listed", [True, False])
def test_what_arrived_damaged_before_the_end_is_taken_back(interrupted: Interrupted, listed: bool) -> None:
    it, lab = interrupted, interrupted.bench.lab
    if not listed:
        lab.fault("hide", seconds=3600, match={"upload": True})
    lab.fault("corrupt", match=CHUNKS)
    lab.fault("status", status=503, times=None, match={"operation": "files.delete"})
    with pytest.raises(StoreUnavailable):
        it.put(it.first)
    assert it.bench.names() == ["object"]
    lab.clear_faults()
    assert it.go_on() >= SIZE


EVERYTHING = [
    {"kind": "status", "status": 400},
    {"kind": "status", "status": 403, "reason": "storageQuotaExceeded"},
    {"kind": "status", "status": 503},
    {"kind": "drop-before-commit"},
    {"kind": "html"},
    {"kind": "expired-session"},
]


@pytest.mark.parametrize("rule", EVERYTHING)
def test_the_address_is_told_to_nobody(
    interrupted: Interrupted, caplog: pytest.LogCaptureFixture, rule: dict[str, Any]
) -> None:
    caplog.set_level(logging.DEBUG)
    address = interrupted.fail(kind="drop-before-commit", skip=1, match=CHUNKS)
    secret = address.partition("upload_id=")[2]
    interrupted.bench.lab.fault(times=None, match=CHUNKS, **rule)
    with pytest.raises(StoreError) as caught:
        interrupted.put(interrupted.bench.store(interrupted.secret))
    assert secret not in str(caught.value)
    assert secret not in caplog.text


def test_memory_that_fails_ends_the_upload_before_any_content(
    interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever keeps the address may be out of room; then nothing may be on its way that nobody knows of."""

    def full(address: str | None) -> None:
        raise OSError(28, "No space left on device")

    broken: Callable[[str | None], None] = full
    monkeypatch.setattr(interrupted.memory, "remember", broken)
    with pytest.raises(OSError, match="No space left"):
        interrupted.put(interrupted.first)
    assert _chunks(interrupted.bench) == 0
