"""FIFOs never wait for somebody who will not come."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from loomio_backup.backup.fifo import FifoReader, FifoWriter, make_fifo


def _shell(script: str, fifo: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sh", "-c", script, "sh", str(fifo)])


def _read_all(reader: FifoReader) -> bytes:
    found = b""
    while block := reader.read(1 << 20):
        found += block
    return found


def test_reads_everything_that_a_late_writer_writes(tmp_path: Path) -> None:
    fifo = make_fifo(tmp_path / "fifo")
    process = _shell('sleep 0.5; head -c 5000000 /dev/zero >"$1"', fifo)
    reader = FifoReader(fifo, lambda: process.poll() is None)
    assert _read_all(reader) == bytes(5_000_000)
    reader.close()
    assert process.wait() == 0


def test_data_of_a_writer_that_has_already_ended_is_not_lost(tmp_path: Path) -> None:
    fifo = make_fifo(tmp_path / "fifo")
    process = _shell('printf hello >"$1"', fifo)
    reader = FifoReader(fifo, lambda: process.poll() is None)
    process.wait()
    assert _read_all(reader) == b"hello"
    reader.close()


def test_reading_ends_when_the_program_dies_before_it_opens(tmp_path: Path) -> None:
    fifo = make_fifo(tmp_path / "fifo")
    process = _shell("exit 1", fifo)
    reader = FifoReader(fifo, lambda: process.poll() is None)
    started = time.monotonic()
    assert _read_all(reader) == b""
    assert time.monotonic() - started < 10
    reader.close()


def test_a_killed_writer_looks_like_an_end(tmp_path: Path) -> None:
    """Which is why only exit statuses decide whether a dump is whole."""
    fifo = make_fifo(tmp_path / "fifo")
    process = subprocess.Popen(["sh", "-c", 'exec 3>"$1"; printf part >&3; exec sleep 60', "sh", str(fifo)])
    reader = FifoReader(fifo, lambda: process.poll() is None)
    assert reader.read(100) == b"part"
    process.kill()
    process.wait()
    assert _read_all(reader) == b""
    reader.close()


def test_writes_everything_to_a_late_reader(tmp_path: Path) -> None:
    fifo, copy = make_fifo(tmp_path / "fifo"), tmp_path / "copy"
    process = subprocess.Popen(["sh", "-c", 'sleep 0.5; cat <"$1" >"$2"', "sh", str(fifo), str(copy)])
    writer = FifoWriter(fifo, lambda: process.poll() is None)
    for _ in range(5):
        assert writer.write(bytes(1_000_000)) == 1_000_000
    writer.close()
    assert process.wait() == 0
    assert copy.stat().st_size == 5_000_000


@pytest.mark.parametrize("script", ["exit 1", 'head -c 10 <"$1" >/dev/null'])
def test_writing_fails_when_nobody_reads(script: str, tmp_path: Path) -> None:
    fifo = make_fifo(tmp_path / "fifo")
    process = _shell(script, fifo)
    writer = FifoWriter(fifo, lambda: process.poll() is None)
    with pytest.raises(BrokenPipeError):
        for _ in range(10):
            writer.write(bytes(1_000_000))
    writer.close()
    process.wait()


def test_small_pieces_are_gathered(tmp_path: Path) -> None:
    """PostgreSQL's programs write pieces of 4 KiB; each read costs as much as a thousand times that."""
    fifo = make_fifo(tmp_path / "fifo")
    process = _shell('dd if=/dev/zero of="$1" bs=4k count=5000 status=none', fifo)
    reader = FifoReader(fifo, lambda: process.poll() is None)
    blocks = []
    while block := reader.read(1 << 20):
        blocks.append(len(block))
    reader.close()
    assert process.wait() == 0
    assert sum(blocks) == 5000 * 4096
    assert len(blocks) < 500


def test_a_slow_reader_gets_everything(tmp_path: Path) -> None:
    fifo = make_fifo(tmp_path / "fifo")
    with (tmp_path / "read").open("wb") as file:
        process = subprocess.Popen(
            ["dd", f"if={fifo}", "bs=100", "status=none", "iflag=fullblock"], stdout=file
        )
    writer = FifoWriter(fifo, lambda: process.poll() is None)
    content = bytes(range(256)) * 16_000
    for start in range(0, len(content), 1 << 20):
        writer.write(content[start : start + (1 << 20)])
    writer.close()
    assert process.wait() == 0
    assert (tmp_path / "read").read_bytes() == content


def test_a_reader_of_what_was_never_written_comes_to_its_end(tmp_path: Path) -> None:
    """Damage may be found before the first byte: the program is waiting for somebody by then, and is waited
    for itself.
    """
    fifo = make_fifo(tmp_path / "fifo")
    process = _shell('sleep 0.3; cat <"$1"', fifo)
    FifoWriter(fifo, lambda: process.poll() is None).close()
    assert process.wait(30) == 0


def test_closing_waits_for_nobody_who_has_gone(tmp_path: Path) -> None:
    process = _shell("exit 1", make_fifo(tmp_path / "fifo"))
    FifoWriter(tmp_path / "fifo", lambda: process.poll() is None).close()
    assert process.wait(30) == 1
