"""The bandwidth limit, measured: how fast bytes leave, how smoothly, and from several uploads at once."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loomio_backup.stores.bandwidth import Bandwidth, PacedBody
from loomio_backup.stores.drive_upload import CHUNK, STEP, chunk_size
from tests.lab.drive import DriveEmulator, LabDrive

from .stores_bench import DriveBench, sample


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DriveBench]:
    with DriveEmulator(tmp_path / "drive") as emulator:
        yield DriveBench(emulator, LabDrive(emulator.url))


@pytest.mark.parametrize("limit", [2_000, 100_000, 3_000_000])
def test_bytes_leave_evenly(limit: int) -> None:
    """In no quarter of a second more than its share (and a piece, and what a late waking makes up for)."""
    begun, moments, content = time.monotonic(), [], bytes(int(limit * 1.2))
    for piece in Bandwidth(limit).pieces(content):
        moments.append((time.monotonic() - begun, len(piece)))
    assert sum(size for _, size in moments) == len(content)
    assert moments[-1][0] == pytest.approx(1.2, abs=0.3)
    largest = max(size for _, size in moments)
    for start, _ in moments:
        window = sum(size for moment, size in moments if start <= moment < start + 0.25)
        assert window <= limit * (0.25 + 0.1) + 2 * largest


def test_an_upload_keeps_to_the_limit(bench: DriveBench, tmp_path: Path) -> None:
    store, made = bench.user_store(upload_limit_bytes=500_000), sample(tmp_path, 750_000)
    object_id = store.reserve_id()
    begun = time.monotonic()
    store.put("object", made.path, made.digests, object_id=object_id)
    assert time.monotonic() - begun == pytest.approx(1.5, abs=0.5)


def test_uploads_side_by_side_share_one_limit(bench: DriveBench, tmp_path: Path) -> None:
    original = bench.user_store(upload_limit_bytes=500_000)
    original.verify_access()
    stores = [original.clone() for _ in range(3)]

    def work(number: int) -> None:
        made = sample(tmp_path, 300_000, number)
        stores[number].put(f"object-{number}", made.path, made.digests)

    begun = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(work, number) for number in range(3)]:
            done.result()
    assert time.monotonic() - begun == pytest.approx(1.8, abs=0.6)
    assert bench.names() == ["object-0", "object-1", "object-2"]


def test_a_paced_chunk_can_be_sent_again(bench: DriveBench, tmp_path: Path) -> None:
    """google-auth repeats a request itself after a 401, with the same body."""
    store, made = bench.user_store(upload_limit_bytes=10_000_000), sample(tmp_path, 500_000)
    bench.lab.fault("unauthorized", match={"operation": "upload.chunk"})
    assert store.put("object", made.path, made.digests).matches(made.digests)


def test_without_a_limit_a_chunk_leaves_in_pieces_too() -> None:
    """A connection's time-out is for each write: a whole chunk would not pass a slow uplink in it."""
    content = random.Random(0).randbytes(CHUNK)
    pieces = [bytes(piece) for piece in PacedBody(content, Bandwidth(None))]
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= 64 * 1024


def test_chunks_shrink_with_the_limit() -> None:
    """A broken chunk costs about ten seconds; Drive takes multiples of 256 KiB only."""
    assert chunk_size(None) == CHUNK
    assert chunk_size(10_000_000) == CHUNK
    assert chunk_size(100_000) == 3 * STEP
    assert chunk_size(1024) == STEP
