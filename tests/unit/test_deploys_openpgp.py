"""The apt key that we ship has the fingerprint that Docker publishes, and gpg agrees with our reading."""

import shutil
import subprocess
from pathlib import Path

import pytest

from deploys.steps.openpgp import KeyFormatError, fingerprints
from deploys.steps.paths import FILES

DOCKER = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"


def test_the_shipped_key_is_dockers() -> None:
    assert fingerprints((FILES / "docker.asc").read_bytes()) == [DOCKER]


@pytest.mark.skipif(not shutil.which("gpg"), reason="gpg is not installed")
@pytest.mark.parametrize("kind", ["ed25519", "rsa2048"])
@pytest.mark.parametrize("armored", [True, False], ids=["armored", "binary"])
def test_agrees_with_gpg(kind: str, armored: bool, tmp_path: Path) -> None:
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)

    def gpg(*arguments: str) -> bytes:
        command = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", "", *arguments]
        return subprocess.run(command, check=True, capture_output=True).stdout

    gpg("--quick-generate-key", "lab <lab@example.org>", kind, "sign", "never")
    try:
        listed = gpg("--with-colons", "--list-keys").decode()
        expected = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
        assert fingerprints(gpg("--export", *(["--armor"] if armored else []))) == [expected]
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\x99\x01\x0d\x04",
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!!!\n-----END PGP PUBLIC KEY BLOCK-----\n",
    ],
)
def test_refuses_what_is_no_key(data: bytes) -> None:
    with pytest.raises(KeyFormatError):
        fingerprints(data)


def test_refuses_half_a_key() -> None:
    lines = (FILES / "docker.asc").read_text().splitlines()
    with pytest.raises(KeyFormatError):
        fingerprints("\n".join(lines[:10]).encode())
