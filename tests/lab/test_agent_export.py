"""`export FILE`: on a machine that has none of our code, standard programs bring everything back from it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from inventories.new_secrets import new_text
from inventories.secrets import checked
from loomio_backup.config import DriveStore
from tests.unit import operator_desk
from tests.unit.operator_desk import SETTINGS, Desk

from .agent_disk import small_disk
from .agent_memory import peak_pss
from .agent_site import DATABASE, Site, site
from .docker import docker
from .drive import DriveEmulator, LabDrive
from .images import HERE, base_image, build
from .test_agent_faults import _fails

pytestmark = pytest.mark.lab


@contextmanager
def _bare_machine(folder: Path) -> Iterator[list[str]]:
    """A Debian with age, zstd, tar and PostgreSQL's own programs, at work in this folder."""
    base_image("trixie")
    container = docker("run", "-d", "-v", f"{folder}:/work", build(HERE / "bare_image", "bare"))
    try:
        yield ["exec", "-i", "-w", "/work", "-e", "PGUSER=postgres", container, "sh", "-e", "-c"]
    finally:
        docker("rm", "-f", "-v", container)


def _more(pi: Site) -> None:
    """Changes that an incremental backup carries in part only, and links of every kind."""
    (pi.uploads / "later").write_text("later")
    # Its content stays in the earlier pack, with the mode and the time of then.
    attachment = pi.storage / "ab" / "cd" / "abcdefgh"
    attachment.chmod(0o640)
    os.utime(attachment, ns=(1, 1_650_000_000_000_000_007))
    (pi.uploads / "deep" / "absolute").symlink_to("/etc/passwd")
    (pi.uploads / "deep" / "up").symlink_to("../../storage")
    os.utime(pi.uploads / "deep", ns=(1, 1_600_000_000_000_000_003))
    (pi.uploads / "before 1970").write_text("old")
    os.utime(pi.uploads / "before 1970", ns=(-1_500_000_000, -1_500_000_000))
    (pi.uploads / ("long " * 40)).write_text("a long name")


def test_standard_programs_bring_everything_back(tmp_path: Path) -> None:
    with site(tmp_path / "pi", "agent-export", local=tmp_path / "disk") as pi:
        pi.fill()
        pi.must("run")
        _more(pi)
        pi.must("run")
        newest = json.loads(pi.must("list", "--json"))[0]["name"]
        file = tmp_path / "recovered" / "backup.tar.zst.age"
        found = Site(tmp_path / "recovered", pi.project, local=tmp_path / "none")
        said = pi.must("export", str(file))
        assert f"{file} holds {newest}" in said
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "exists already" in _fails(pi, "export", str(file))

        for directory in (found.storage, found.uploads):
            directory.rmdir()
        (found.root / "key.txt").write_text(pi.identity)
        with _bare_machine(found.root) as run:
            docker(*run, "age -d -i key.txt backup.tar.zst.age | zstd -d | tar -x")
            for directory in (found.storage, found.uploads):
                (found.root / "app-data" / directory.name).rename(directory)
            assert found.files_text() == pi.files_text()
            assert (found.root / "config" / "env").read_text() == pi.env.read_text()
            manifest = json.loads((found.root / "manifest.json").read_text())
            assert manifest["name"] == newest
            page = (found.root / "README.md").read_text()
            assert newest in page
            [script] = [part.split("```")[0] for part in page.split("```sh\n")[1:]]
            docker(*run, "until pg_isready -q; do sleep 0.2; done")
            docker(*run, script)
            text = docker(*run, f"pg_dump {DATABASE}").splitlines()
            assert [line for line in text if "restrict" not in line] == pi.database_text()


def test_a_file_that_cannot_be_whole_does_not_appear(tmp_path: Path) -> None:
    with site(tmp_path / "pi", "agent-export2", local=tmp_path / "disk") as pi:
        pi.fill()
        pi.must("run")
        [first] = json.loads(pi.must("list", "--json"))
        (pi.uploads / "later").write_bytes(os.urandom(3_000_000))
        pi.must("run")
        file = tmp_path / "out" / "export"
        assert "there is no directory" in _fails(pi, "export", str(file))
        file.parent.mkdir()
        assert "there is no backup loomio_x" in _fails(pi, "export", str(file), "--backup", "loomio_x")
        with small_disk(tmp_path / "stick", 2000) as stick:
            said = _fails(pi, "export", str(stick / "export"))
            assert "its disk has 2.0 MB free" in said
            assert list(stick.iterdir()) == []

        newest = json.loads(pi.must("list", "--json"))[0]["name"]
        for end in (".dump.zst.age", ".config.tar.zst.age", "pack", "index"):
            path = _object(tmp_path / "disk", newest, end)
            whole = path.read_bytes()
            path.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
            said = _fails(pi, "export", str(file))
            assert path.name in said
            assert "check --all --read-data" in said
            path.write_bytes(whole)
        # A leftover of an export that was killed is in nobody's way.
        (file.parent / ".export.partial").write_bytes(b"half")
        pi.must("export", str(file), "--backup", first["name"])
        assert list(file.parent.iterdir()) == [file]
        assert list((pi.root / "state" / "reading-export").iterdir()) == []


def _object(disk: Path, backup: str, end: str) -> Path:
    if end == "pack":
        return max(disk.glob("app-data_*"), key=lambda path: path.stat().st_mtime)
    if end == "index":
        return max(disk.glob("app-data-index_*"), key=lambda path: path.stat().st_mtime)
    return disk / (backup + end)


def test_without_an_identity_it_says_where_to_do_it(tmp_path: Path) -> None:
    with site(tmp_path / "pi", "agent-export3", local=tmp_path / "disk") as pi:
        pi.must("run")
        (pi.root / "credentials" / "identity").unlink()
        said = _fails(pi, "export", str(tmp_path / "export"))
        assert "holds no identity" in said
        assert "loomio-pi pull" in said
        assert not (tmp_path / "export").exists()


def test_the_operators_machine_exports_what_the_pi_cannot(tmp_path: Path) -> None:
    """The copy that `loomio-pi pull` keeps is a store like any other; here it is the Pi's own."""
    text = new_text(["loomio"])
    found = checked(text, "x").encryption
    keys = SimpleNamespace(
        identity=found.identity.get_secret_value(), signing_key=found.signing_key.get_secret_value()
    )
    desk = Desk(tmp_path)
    desk.prepare(operator_desk.encrypted(text))
    (tmp_path / "pi.yml").write_text(SETTINGS + "backup: {drive: false}\n")
    with site(tmp_path / "pi", "agent-export5", local=tmp_path / "disk", keys=keys) as pi:
        pi.fill()
        (pi.root / "credentials" / "identity").unlink()
        pi.must("run")
    file = tmp_path / "export"
    done = desk.type("loomio-pi", "export", str(file), "--from", str(tmp_path / "disk"))
    assert done.code == 0, done
    (tmp_path / "key.txt").write_text(keys.identity)
    listed = subprocess.run(
        f"age -d -i {tmp_path}/key.txt {file} | zstd -d | tar -t", shell=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert {"README.md", "manifest.json", "database.dump", "app-data/uploads/empty/"} <= set(listed)
    again = desk.type("loomio-pi", "export", str(file), "--from", str(tmp_path / "disk"))
    assert (again.code, "exists already" in again.stderr) == (1, True)


def test_from_drive_in_constant_memory(tmp_path: Path) -> None:
    with DriveEmulator(tmp_path / "drive") as emulator:
        lab = LabDrive(emulator.url)
        options = {
            "drive": DriveStore(api_root=emulator.url, token_uri=lab.token_uri),
            "drive_secret": json.dumps(lab.register_user()),
        }
        with site(tmp_path / "pi", "agent-export4", **options) as pi:
            pi.big_table(1_000_000)
            (pi.uploads / "large").write_bytes(os.urandom(150_000_000))
            pi.must("run")
            file = tmp_path / "export"
            agent = pi.start_agent("export", str(file))
            peak, holders = peak_pss(agent)
            output, _ = agent.communicate()
            assert agent.returncode == 0, output
            assert peak < 150_000_000, holders
            key = pi.root / "credentials" / "identity"
            listed = subprocess.run(
                f"age -d -i {key} {file} | zstd -d | tar -t", shell=True, capture_output=True, text=True
            ).stdout.splitlines()
            assert {"README.md", "manifest.json", "database.dump", "app-data/uploads/large"} <= set(listed)
