"""Is the emulator faithful? rclone, a client that nobody here wrote, has to be content with it.

rclone insists on Google's addresses, so a CONNECT proxy on loopback plays them with a certificate authority
of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .drive import DriveEmulator, LabDrive
from .drive.client import DRIVE, DRIVE_FILE
from .drive.proxy import ConnectProxy, Impersonation

pytestmark = pytest.mark.skipif(
    shutil.which("rclone") is None, reason="rclone is not installed (apt-get install rclone)"
)

GOOGLES = {"www.googleapis.com:443", "oauth2.googleapis.com:443"}


@dataclass
class Bench:
    """An emulator with rclone in front of it."""

    lab: LabDrive
    proxy: ConnectProxy
    run: Callable[..., str]
    source: Path
    config: Path


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    source = tmp_path / "source"
    source.mkdir()
    (source / "small").write_bytes(b"a small file")
    (source / "it's large").write_bytes(os.urandom(3_000_001))
    (source / "Überraschung 🎉").write_bytes(os.urandom(70_000))
    (source / "empty").write_bytes(b"")
    impersonation, config = Impersonation(tmp_path), tmp_path / "rclone.conf"
    with (
        DriveEmulator(tmp_path / "drive") as emulator,
        ConnectProxy(emulator.port, impersonation) as proxy,
    ):

        def run(*arguments: str) -> str:
            command = ["rclone", "--config", str(config), "--ca-cert", str(impersonation.ca_file)]
            command += ["--retries", "1", "--low-level-retries", "3", *arguments]
            environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HTTPS_PROXY": proxy.url}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            return done.stdout

        yield Bench(LabDrive(emulator.url), proxy, run, source, config)


def _use_oauth(bench: Bench, scope: str, quota: int) -> None:
    credentials = bench.lab.register_user(scopes=[scope], quota=quota)
    stale = {"access_token": "stale", "token_type": "Bearer", "expiry": "2020-01-01T00:00:00Z"}
    token = json.dumps(stale | {"refresh_token": credentials["refresh_token"]})
    bench.config.write_text(
        f"[gd]\ntype = drive\nscope = {scope.rpartition('/')[2]}\nclient_id = {credentials['client_id']}\n"
        f"client_secret = {credentials['client_secret']}\ntoken = {token}\n"
    )


def _use_service_account(bench: Bench) -> str:
    secret = bench.lab.register_service_account()
    drive_id = bench.lab.register_shared_drive("Group", {secret["client_email"]: "organizer"})
    key_file = bench.config.with_name("key.json")
    key_file.write_text(json.dumps(secret))
    bench.config.write_text(
        f"[gd]\ntype = drive\nscope = drive\nservice_account_file = {key_file}\nteam_drive = {drive_id}\n"
    )
    return drive_id


def _round_trip(bench: Bench, tmp_path: Path) -> None:
    """Upload whole and in chunks, compare by hash and by content, list, fetch a part."""
    for name in ("small", "empty", "Überraschung 🎉"):
        bench.run("copyto", str(bench.source / name), f"gd:backups/{name}")
    chunked = ["--drive-chunk-size", "256Ki", "--drive-upload-cutoff", "0"]
    bench.run("copyto", str(bench.source / "it's large"), "gd:backups/it's large", *chunked)
    bench.run("check", str(bench.source), "gd:backups")
    bench.run("check", "--download", str(bench.source), "gd:backups")
    lines = [line.split("  ", 1) for line in bench.run("md5sum", "gd:backups").splitlines()]
    expected = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in bench.source.iterdir()}
    assert {name: md5 for md5, name in lines} == expected
    bench.run("copy", "gd:backups", str(tmp_path / "back"))
    assert (tmp_path / "back" / "it's large").read_bytes() == (bench.source / "it's large").read_bytes()
    part = bench.run("cat", "--offset", "2", "--count", "5", "gd:backups/small")
    assert part == "small"
    operations = {entry["operation"] for entry in bench.lab.log()}
    assert {"upload.multipart", "upload.start", "upload.chunk", "download", "token"} <= operations
    assert [entry for entry in bench.lab.log() if entry["status"] >= 500 or entry["status"] == 400] == []


def test_oauth_user_with_a_refreshed_token(bench: Bench, tmp_path: Path) -> None:
    _use_oauth(bench, DRIVE, quota=100_000_000)
    _round_trip(bench, tmp_path)
    about = json.loads(bench.run("about", "--json", "gd:"))
    used = sum(path.stat().st_size for path in bench.source.iterdir())
    assert about == {"total": 100_000_000, "used": used, "trashed": 0, "other": 0, "free": 100_000_000 - used}
    bench.run("deletefile", "gd:backups/it's large")
    assert json.loads(bench.run("about", "--json", "gd:"))["trashed"] == 3_000_001
    bench.run("cleanup", "gd:")
    assert json.loads(bench.run("about", "--json", "gd:"))["used"] == used - 3_000_001
    bench.run("purge", "gd:backups")
    assert bench.run("lsf", "gd:") == ""
    assert set(bench.proxy.asked) == GOOGLES


def test_a_program_that_sees_only_its_own_files(bench: Bench, tmp_path: Path) -> None:
    _use_oauth(bench, DRIVE_FILE, quota=100_000_000)
    _round_trip(bench, tmp_path)
    _use_oauth(bench, DRIVE_FILE, quota=100_000_000)  # the same user, another OAuth client
    assert bench.run("lsf", "gd:") == ""


def test_service_account_in_a_shared_drive(bench: Bench, tmp_path: Path) -> None:
    drive_id = _use_service_account(bench)
    _round_trip(bench, tmp_path)
    assert {file["driveId"] for file in bench.lab.files()} == {drive_id}
    assert json.loads(bench.run("backend", "drives", "gd:"))[0]["name"] == "Group"
