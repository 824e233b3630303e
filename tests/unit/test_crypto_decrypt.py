"""`loomio-backup decrypt` as a person meets it: the real program, its exit code, all that it prints."""

import base64
import fcntl
import hashlib
import io
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import psutil
import pyrage
import pytest

from loomio_backup.catalogue import objects
from loomio_backup.encryption import age_passphrase, crypto, fernet
from tests.lab.docker import wait_until

VECTORS = Path(__file__).parent / "vectors"
VECTOR = VECTORS / "loomio_backup_20240115_120000.sql.enc"
PASSPHRASE = "5f0c9a7e3b1d4c2286ad90e1b7c34f58d1e2a3b4c5d6e7f8091a2b3c4d5e6f70"
PROGRAM = [sys.executable, "-m", "loomio_backup.command.cli", "decrypt"]
CONTENT = os.urandom(150_000)


@dataclass
class Bench:
    """A directory with keys and objects of every kind, and a way to run the program in it."""

    path: Path
    identity: str

    def run(self, key: str, source: str, out: str = "out") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*PROGRAM, "--key-file", key, source, out],
            cwd=self.path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def refused(self, key: str, source: str, out: str = "out") -> str:
        """Run; it must fail with one sentence, which is returned, and nothing may appear or change."""
        before = self.files()
        done = self.run(key, source, out)
        assert done.returncode == 1, done.stderr
        assert done.stdout == ""
        assert self.files() == before
        assert done.stderr.startswith("loomio-backup: ")
        assert done.stderr.endswith(".\n") or "age -d" in done.stderr
        assert done.stderr.count("\n") == 1
        assert "Traceback" not in done.stderr
        for secret in (self.identity, PASSPHRASE):
            assert secret not in done.stderr
        return done.stderr

    def files(self) -> dict[str, tuple[int, str]]:
        return {
            str(path.relative_to(self.path)): (
                path.lstat().st_mode,
                hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            )
            for path in sorted(self.path.rglob("*"))
        }


@pytest.fixture(scope="module")
def with_passphrase() -> dict[str, bytes]:
    """Made once: age spends a second on a passphrase, on purpose."""
    armored = age_passphrase.encrypt(CONTENT, PASSPHRASE)
    binary = base64.b64decode(b"".join(armored.split(b"\n")[1:-2]))
    return {"secrets.age": armored, "passphrase.age": binary}


@pytest.fixture
def bench(tmp_path: Path, with_passphrase: dict[str, bytes]) -> Bench:
    identity = crypto.generate_identity()
    recipient = crypto.recipient_of(identity)
    (tmp_path / "identity").write_text(f"# created: today\n# public key: {recipient}\n{identity}\n")
    (tmp_path / "stranger").write_text(crypto.generate_identity())
    (tmp_path / "recipient").write_text(recipient + "\n")
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    (tmp_path / "other-passphrase").write_text("something else\n")
    objects.write_sealed(CONTENT, tmp_path / "binary.age", [recipient])
    armored = io.BytesIO()
    pyrage.encrypt_io(io.BytesIO(CONTENT), armored, [crypto.recipient(recipient)], armored=True)
    (tmp_path / "armored.age").write_bytes(armored.getvalue())
    with (tmp_path / "old.sql.enc").open("wb") as file:
        fernet.encrypt(io.BytesIO(CONTENT), file, fernet.derive_key(PASSPHRASE))
    for name, data in with_passphrase.items():
        (tmp_path / name).write_bytes(data)
    return Bench(tmp_path, identity)


KIND_AND_KEY = [
    ("binary.age", "identity"),
    ("armored.age", "identity"),
    ("old.sql.enc", "passphrase"),
    ("secrets.age", "passphrase"),
    ("passphrase.age", "passphrase"),
]


@pytest.mark.parametrize(("name", "key"), KIND_AND_KEY)
def test_every_kind_opens(bench: Bench, name: str, key: str) -> None:
    done = bench.run(key, name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (bench.path / "out").read_bytes() == CONTENT
    assert (bench.path / "out").stat().st_mode & 0o7777 == 0o600
    assert not [path for path in bench.path.iterdir() if path.name.startswith(".")]


def test_the_vector_opens(bench: Bench) -> None:
    assert bench.run("passphrase", str(VECTOR)).returncode == 0
    assert (bench.path / "out").read_bytes() == VECTOR.with_suffix("").read_bytes()


def test_compression_is_left_as_it_is(bench: Bench) -> None:
    objects.write_object(
        io.BytesIO(CONTENT), bench.path / "pack.tar.zst.age", [crypto.recipient_of(bench.identity)]
    )
    assert bench.run("identity", "pack.tar.zst.age", "pack.tar.zst").returncode == 0
    unpacked = subprocess.run(
        ["zstd", "-dc", bench.path / "pack.tar.zst"], capture_output=True, check=True
    ).stdout
    assert unpacked == CONTENT


def test_what_the_age_program_wrote_opens(bench: Bench) -> None:
    for arguments in (["-r"], ["-a", "-r"]):
        subprocess.run(
            ["age", *arguments, crypto.recipient_of(bench.identity), "-o", "theirs", "recipient"],
            cwd=bench.path, check=True,
        )  # fmt: skip
        assert bench.run("identity", "theirs").returncode == 0
        assert (bench.path / "out").read_bytes() == (bench.path / "recipient").read_bytes()
        (bench.path / "out").unlink()


def test_key_files_as_people_make_them(bench: Bench) -> None:
    for text in (PASSPHRASE, f"{PASSPHRASE}\r\n", f"\n{PASSPHRASE}\n\n"):
        (bench.path / "k").write_bytes(text.encode())
        assert bench.run("k", "old.sql.enc").returncode == 0
        (bench.path / "out").unlink()
    (bench.path / "k").write_text(f"{crypto.generate_identity()}\n{bench.identity}\n")
    assert bench.run("k", "binary.age").returncode == 0


def test_a_key_and_an_object_from_pipes(bench: Bench) -> None:
    script = '"$@" --key-file <(cat identity) <(cat binary.age) out'
    subprocess.run(["bash", "-c", script, "_", *PROGRAM], cwd=bench.path, check=True)
    assert (bench.path / "out").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "key", "says"),
    [
        ("binary.age", "stranger", "cannot be opened with this key"),
        ("armored.age", "stranger", "cannot be opened with this key"),
        ("old.sql.enc", "other-passphrase", "the passphrase is not the one"),
        ("secrets.age", "other-passphrase", "cannot be opened with this passphrase"),
        ("passphrase.age", "other-passphrase", "cannot be opened with this passphrase"),
        # The wrong kind of key file.
        ("binary.age", "passphrase", "give the file with the line AGE-SECRET-KEY-1"),
        ("armored.age", "passphrase", "give the file with the line AGE-SECRET-KEY-1"),
        ("old.sql.enc", "identity", "give a file with the passphrase"),
        ("secrets.age", "identity", "give a file with the passphrase"),
        ("binary.age", "recipient", "holds the public half"),
        ("old.sql.enc", "recipient", "holds the public half"),
        ("binary.age", "secrets.age", "is itself encrypted"),
        ("old.sql.enc", "old.sql.enc", "too large for a key file"),
        ("binary.age", "/bin/true", "not a key file"),
        ("binary.age", "/etc/passwd", "not a key file"),
        # What is not there, or is no object.
        ("binary.age", "absent", "The key file absent cannot be read: No such file"),
        ("binary.age", ".", "cannot be read: Is a directory"),
        ("absent", "identity", "absent cannot be read: No such file"),
        (".", "identity", "cannot be read: Is a directory"),
        ("/dev/null", "identity", "is empty"),
        ("recipient", "identity", "neither an age file nor"),
        ("/bin/true", "passphrase", "neither an age file nor"),
    ],
)
def test_refusals(bench: Bench, name: str, key: str, says: str) -> None:
    assert says in bench.refused(key, name)


def test_an_empty_key_file_and_a_line_of_env_are_explained(bench: Bench) -> None:
    (bench.path / "k").write_text("\n")
    assert "is empty" in bench.refused("k", "old.sql.enc")
    (bench.path / "k").write_text(f"BACKUP_ENCRYPTION_KEY={PASSPHRASE}\n")
    assert "leave only the passphrase" in bench.refused("k", "old.sql.enc")
    (bench.path / "k").write_text(bench.identity[:-1])
    assert "Line 1 of the key is not an age identity" in bench.refused("k", "binary.age")


Damage = Callable[[bytes], bytes]


def flipped(position: float) -> Damage:
    def damage(data: bytes) -> bytes:
        index = min(int(len(data) * position), len(data) - 3)
        return data[:index] + bytes([data[index] ^ 4]) + data[index + 1 :]

    return damage


DAMAGES: dict[str, Damage] = {
    "first byte": flipped(0),
    "header": lambda data: data[:30] + bytes([data[30] ^ 4]) + data[31:],
    "early": flipped(0.001),
    "first third": flipped(0.33),
    "second third": flipped(0.66),
    "last bytes": flipped(1),
    "without the last bytes": lambda data: data[:-3],
    "half": lambda data: data[: len(data) // 2],
    "header only": lambda data: data[:200],
    "part of the header": lambda data: data[:60],
    "one byte": lambda data: data[:1],
    "twice": lambda data: data + data,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(("name", "key"), KIND_AND_KEY)
def test_damage(bench: Bench, name: str, key: str, damage: str) -> None:
    path = bench.path / name
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert name in bench.refused(key, name)


def test_out_is_never_something_that_exists(bench: Bench) -> None:
    assert "are the same file" in bench.refused("identity", "binary.age", "binary.age")
    (bench.path / "link").symlink_to("binary.age")
    assert "are the same file" in bench.refused("identity", "binary.age", "./link")
    os.link(bench.path / "binary.age", bench.path / "hard")
    assert "are the same file" in bench.refused("identity", "binary.age", "hard")
    assert "stranger exists already and was left as it is" in bench.refused(
        "identity", "binary.age", "stranger"
    )
    assert "exists already" in bench.refused("identity", "binary.age", ".")
    (bench.path / "dangling").symlink_to("nowhere")
    assert "exists already" in bench.refused("identity", "binary.age", "dangling")
    assert "exists already" in bench.refused("identity", "binary.age", "/dev/stdout")


def test_out_must_be_writable(bench: Bench) -> None:
    assert "There is no directory absent" in bench.refused("identity", "binary.age", "absent/out")
    assert "There is no directory" in bench.refused("identity", "binary.age", "identity/out")
    assert "cannot be written" in bench.refused("identity", "binary.age", "/proc/out")
    assert "cannot be written: File name too long" in bench.refused("identity", "binary.age", "x" * 300)


def test_a_full_disk(bench: Bench) -> None:
    """The file size limit stands in for it: both are an error of write(2)."""
    before = bench.files()
    done = subprocess.run(
        ["bash", "-c", 'trap "" XFSZ; ulimit -f 64; exec "$@"', "_",
         *PROGRAM, "--key-file", "identity", "binary.age", "out"],
        cwd=bench.path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "loomio-backup: out cannot be written: File too large.\n"
    assert bench.files() == before


def _waits(process: psutil.Process, pipe: BinaryIO) -> bool:
    """Whether a process has read all that is in a pipe, and sleeps."""
    count = bytearray(4)
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return not any(count) and process.status() == psutil.STATUS_SLEEPING


def test_an_interrupted_run_leaves_nothing(bench: Bench) -> None:
    """IN is a pipe that delivers half of the object, and then nothing more."""
    os.mkfifo(bench.path / "pipe")
    before = set(bench.path.iterdir())
    for number in (signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(
            [*PROGRAM, "--key-file", "identity", "pipe", "out"],
            cwd=bench.path, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        with (bench.path / "pipe").open("wb", buffering=0) as pipe:
            pipe.write((bench.path / "binary.age").read_bytes()[:80_000])
            wait_until(partial(_waits, psutil.Process(process.pid), pipe), "its waiting for more")
            assert set(bench.path.iterdir()) > before
            process.send_signal(number)
            try:
                _, errors = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                # Just before it waits, Python only notes a signal: a person would press Ctrl-C again.
                process.send_signal(number)
                _, errors = process.communicate(timeout=30)
        assert process.returncode not in (0, None)
        assert "Traceback" not in errors
        assert set(bench.path.iterdir()) == before


def test_a_large_age_file_with_a_passphrase_is_refused_with_the_command_to_use(bench: Bench) -> None:
    with (bench.path / "secrets.age").open("ab") as file:
        file.truncate(17 << 20)
    assert "age -d -o OUT secrets.age" in bench.refused("passphrase", "secrets.age")


def test_usage_errors_exit_with_2(bench: Bench) -> None:
    done = subprocess.run([*PROGRAM, "binary.age", "out"], cwd=bench.path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--key-file" in done.stderr


@pytest.mark.parametrize("kind", ["binary", "armored", "fernet"])
def test_200_mb_in_constant_memory(bench: Bench, kind: str) -> None:
    class Source:
        left = 200 << 20
        block = os.urandom(1 << 20)

        def read(self, size: int) -> bytes:
            size = min(size, self.left, len(self.block))
            self.left -= size
            return self.block[:size]

    with (bench.path / "large").open("wb") as file:
        if kind == "fernet":
            fernet.encrypt(Source(), file, fernet.derive_key(PASSPHRASE))
        else:
            keys = [crypto.recipient_of(bench.identity)]
            pyrage.encrypt_io(
                Source(), file, [crypto.recipient(key) for key in keys], armored=kind == "armored"
            )
    key = "passphrase" if kind == "fernet" else "identity"
    # VmHWM, unlike ru_maxrss, is not inherited from the process that started the program.
    (bench.path / "program.py").write_text("""
import atexit, sys
from loomio_backup.command.cli import main
atexit.register(lambda: print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]))
sys.exit(main())
""")
    done = subprocess.run(
        [sys.executable, "program.py", "decrypt", "--key-file", key, "large", "out"],
        cwd=bench.path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (bench.path / "out").stat().st_size == 200 << 20
    assert int(done.stdout) < 80_000, "kB at most"
    (bench.path / "out").unlink()
    (bench.path / "large").unlink()


def test_the_python_of_the_older_backups_reads_what_we_write_in_their_format(bench: Bench) -> None:
    from cryptography.fernet import Fernet

    key = base64.urlsafe_b64encode(
        hashlib.pbkdf2_hmac("sha256", PASSPHRASE.encode(), b"loomio-backup-salt", 100000, dklen=32)
    )
    assert Fernet(key).decrypt((bench.path / "old.sql.enc").read_bytes()) == CONTENT
