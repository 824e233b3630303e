"""Objects: what goes in comes out, the age and zstd programs agree, nothing damaged passes for whole."""

import hashlib
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from loomio_backup.catalogue import objects
from loomio_backup.encryption import crypto
from loomio_backup.errors import DamagedObject, KeyFileError, WrongKey

IDENTITY = crypto.generate_identity()
KEYS = crypto.parse_identities(IDENTITY)
RECIPIENT = crypto.recipient_of(IDENTITY)


def written(tmp_path: Path, content: bytes, name: str = "object") -> Path:
    path = tmp_path / name
    path.unlink(missing_ok=True)
    objects.write_object(io.BytesIO(content), path, [RECIPIENT])
    return path


def content_of(path: Path, keys: list[crypto.Identity] = KEYS, *, compressed: bool = True) -> bytes:
    with objects.read_object(path, keys, compressed=compressed) as file:
        return file.read()


def sealed(path: Path, data: bytes) -> Path:
    objects.write_sealed(data, path, [RECIPIENT])
    return path


MIXED = b"".join(os.urandom(70_000) + b"the same line\n" * 9_000 for _ in range(12))


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\0" * 5_000_000, MIXED], ids=["empty", "one", "zeros", "mixed"]
)
def test_round_trip_with_true_digests_and_the_standard_programs(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "o"
    digests = objects.write_object(io.BytesIO(content), path, [RECIPIENT])
    stored = path.read_bytes()
    assert digests == objects.Digests(
        plain_size=len(content),
        plain_sha256=hashlib.sha256(content).hexdigest(),
        stored_size=len(stored),
        stored_sha256=hashlib.sha256(stored).hexdigest(),
        stored_md5=hashlib.md5(stored).hexdigest(),
    )
    assert objects.hash_file(path) == (digests.stored_size, digests.stored_sha256, digests.stored_md5)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert content_of(path) == content
    sink = io.BytesIO()
    assert objects.copy_object(path, KEYS, sink) == (len(content), digests.plain_sha256)
    assert sink.getvalue() == content

    (tmp_path / "key").write_text(IDENTITY)
    age = subprocess.run(["age", "-d", "-i", tmp_path / "key", path], check=True, capture_output=True).stdout
    assert subprocess.run(["zstd", "-dc"], input=age, check=True, capture_output=True).stdout == content


@settings(max_examples=40, deadline=None)
@given(content=st.binary(max_size=300_000), piece=st.integers(1, 100_000))
def test_sources_that_give_little_at_a_time(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, piece: int
) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or piece, piece))

    path = tmp_path_factory.mktemp("slow") / "o"
    objects.write_object(Slow(content), path, [RECIPIENT])
    with objects.read_object(path, KEYS) as file:
        pieces = iter(lambda: file.read(piece), b"")
        assert b"".join(pieces) == content


def test_any_of_several_recipients_opens(tmp_path: Path) -> None:
    other = crypto.generate_identity()
    path = tmp_path / "o"
    objects.write_object(io.BytesIO(b"content"), path, [RECIPIENT, crypto.recipient_of(other)])
    assert content_of(path) == content_of(path, crypto.parse_identities(other)) == b"content"


def test_sealed_objects_are_not_compressed(tmp_path: Path) -> None:
    path = tmp_path / "manifest"
    digests = objects.write_sealed(b"{}", path, [RECIPIENT])
    assert (digests.plain_size, digests.plain_sha256) == (2, hashlib.sha256(b"{}").hexdigest())
    assert objects.hash_file(path) == (digests.stored_size, digests.stored_sha256, digests.stored_md5)
    assert content_of(path, compressed=False) == b"{}"


def test_an_object_is_never_written_over_something_else(tmp_path: Path) -> None:
    path = tmp_path / "o"
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        objects.write_object(io.BytesIO(b"content"), path, [RECIPIENT])
    assert path.read_bytes() == b"precious"


def test_a_source_that_fails_leaves_nothing_and_its_own_error_is_raised(tmp_path: Path) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 3_000_000:
                raise OSError(5, "Input/output error", "/dev/disk")
            return super().read(size)

    with pytest.raises(OSError, match="/dev/disk"):
        objects.write_object(Failing(MIXED * 4), tmp_path / "o", [RECIPIENT])
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_and_stops_the_threads(tmp_path: Path) -> None:
    before = threading.active_count()
    code = """
import io, os, pathlib, resource, signal, sys
from loomio_backup.catalogue import objects
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
path = pathlib.Path(sys.argv[1])
try:
    objects.write_object(io.BytesIO(os.urandom(9_000_000)), path, [sys.argv[2]])
except OSError as error:
    sys.exit(40 + path.exists())
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "o", RECIPIENT], timeout=60)
    assert done.returncode == 40

    class Closed(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        objects.write_object(Closed(), tmp_path / "o", [RECIPIENT])
    assert threading.active_count() == before


def test_a_recipient_that_is_none_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError):
        objects.write_object(io.BytesIO(b"content"), tmp_path / "o", ["age1nonsense"])
    with pytest.raises(ValueError, match="recipient"):
        objects.write_object(io.BytesIO(b"content"), tmp_path / "o", [])
    assert list(tmp_path.iterdir()) == []


def test_the_wrong_key_is_named_as_such(tmp_path: Path) -> None:
    path = written(tmp_path, MIXED)
    stranger = crypto.parse_identities(crypto.generate_identity())
    with pytest.raises(WrongKey, match="object cannot be opened with this key"):
        content_of(path, stranger)
    with pytest.raises(WrongKey), objects.read_object(path, stranger):
        pass  # even when nothing is read


def positions(size: int) -> Iterator[int]:
    """Every byte of the header and the first chunk's start, samples of the rest, and the end."""
    yield from range(min(size, 260))
    yield from range(260, size, max(1, size // 60))
    yield from range(max(0, size - 20), size)


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, os.urandom(200_000))
    whole = path.read_bytes()
    for position in positions(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises((DamagedObject, WrongKey)):
            content_of(path)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, os.urandom(200_000))
    whole = path.read_bytes()
    chunks = range(len(whole) % 65_552, len(whole), 65_552)
    for size in {*positions(len(whole)), *chunks}:
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedObject):
            content_of(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(DamagedObject):
        content_of(path)


def test_compressed_content_that_ends_too_early_is_noticed_at_every_byte(tmp_path: Path) -> None:
    """The encryption is intact here: whoever wrote it was cut off."""
    for content in (b"", b"short", b"\0" * 300_000, b"a line of text\n" * 20_000, os.urandom(700)):
        frame = zstandard.ZstdCompressor(level=3, write_checksum=True).compress(content)
        for size in range(len(frame)):
            path = sealed(tmp_path / "cut", frame[:size])
            with pytest.raises(DamagedObject):
                content_of(path)
            path.unlink()
        path = sealed(tmp_path / "whole", frame)
        assert content_of(path) == content
        path.unlink()


def test_content_of_several_frames_or_none(tmp_path: Path) -> None:
    frames = zstandard.compress(b"one ") + zstandard.compress(b"two")
    assert content_of(sealed(tmp_path / "two", frames)) == b"one two"
    with pytest.raises(DamagedObject, match="compressed content"):
        content_of(sealed(tmp_path / "plain", b"not compressed at all"))
    with pytest.raises(DamagedObject, match="compressed content"):
        content_of(sealed(tmp_path / "rest", frames + b"more"))


def test_a_reader_that_stops_early_still_learns_of_damage_later_on(tmp_path: Path) -> None:
    path = written(tmp_path, os.urandom(30_000_000))
    before = threading.active_count()
    with objects.read_object(path, KEYS) as file:
        assert len(file.read(10)) == 10
    with path.open("r+b") as raw:
        raw.seek(-5, os.SEEK_END)
        raw.write(b"\0\0\0\0\0")
    with pytest.raises(DamagedObject), objects.read_object(path, KEYS) as file:
        assert len(file.read(10)) == 10
    # With an error of its own it does not wait for the rest.
    with pytest.raises(ZeroDivisionError), objects.read_object(path, KEYS) as file:
        file.read(10)
        1 / 0  # noqa: B018
    assert threading.active_count() == before


def test_lines_can_be_read(tmp_path: Path) -> None:
    path = written(tmp_path, "".join(f"line {number}\n" for number in range(100_000)).encode())
    with objects.read_object(path, KEYS) as file:
        assert sum(1 for _ in file) == 100_000
        file.close()


def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    """400 MB of each kind of data, written and read."""
    code = """
import os, pathlib, sys
from loomio_backup.catalogue import objects
from loomio_backup.encryption import crypto
identity = crypto.generate_identity()
recipient, keys = crypto.recipient_of(identity), crypto.parse_identities(identity)
class Source:
    def __init__(self, blocks): self.left, self.blocks = 400, blocks
    def read(self, size):
        self.left -= 1
        return self.blocks[self.left % len(self.blocks)] if self.left >= 0 else b""
def peak():  # kB; unlike ru_maxrss, not inherited from the process that started this one
    return int(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
start = peak()
for blocks in [[os.urandom(1 << 20) for _ in range(8)], [bytes(1 << 20)], [b"some words " * 95_000]]:
    path = pathlib.Path(sys.argv[1])
    digests = objects.write_object(Source(blocks), path, [recipient])
    with open("/dev/null", "wb") as sink:
        assert objects.copy_object(path, keys, sink) == (digests.plain_size, digests.plain_sha256)
    path.unlink()
print(start, peak())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "o"], check=True, capture_output=True, text=True
    )
    start, most = (int(kilobytes) for kilobytes in done.stdout.split())
    assert most < start + 45_000, f"{most} kB at most, {start} kB before the work"
