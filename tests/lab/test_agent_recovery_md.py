"""RECOVERY.md does what it says: its commands, as they stand, on a machine that has none of our code."""

from __future__ import annotations

import json
import os
import re
import stat
import tarfile
from pathlib import Path

import pytest

from loomio_backup.encryption import keyring

from .agent_site import DATABASE, Site, site
from .docker import docker
from .images import HERE, base_image, build
from .test_agent_keys import change_keys

pytestmark = pytest.mark.lab


def _copy_out(pi: Site, container: str, folder: Path) -> Site:
    """The recovered app-data as if it were a site's, to be compared like one."""
    found = Site(folder, pi.project, local=folder / "none")
    archive = folder / "recovered.tar"
    docker("exec", container, "tar", "-c", "-f", "/backups/out.tar", "-C", "/backups/recovered/app-data", ".")
    docker("cp", f"{container}:/backups/out.tar", str(archive))
    for directory in (found.storage, found.uploads):
        directory.rmdir()
    with tarfile.open(archive, errors="surrogateescape") as tar:
        tar.extractall(found.root, filter="fully_trusted")
    return found


def _comparable(pi: Site) -> list[tuple[object, ...]]:
    """As much as the page's commands bring back: times in whole seconds, none of links."""
    found = []
    for name, mode, uid, gid, *rest in pi.files_text():
        assert isinstance(mode, int)
        if len(rest) == 2 and isinstance(rest[0], int) and not stat.S_ISLNK(mode):
            rest = [rest[0] // 10**9, rest[1]]
        else:
            rest = rest[-1:]
        found.append((name, mode, uid, gid, *rest))
    return found


def test_its_commands_bring_everything_back(tmp_path: Path) -> None:
    """Three backups that share packs, the key changed before the last one."""
    with site(tmp_path / "pi", "agent-hand", local=tmp_path / "disk") as pi:
        pi.fill()
        # The page says what to do about such names: its commands cannot carry them.
        (pi.uploads / "deep" / "er 🎉" / "not utf-8 \udcff").unlink()
        (pi.uploads / "deep" / "er 🎉" / "with space\nand line").rename(pi.uploads / "deep" / "with  space")
        pi.must("run")
        (pi.uploads / "later").write_text("later")
        pi.must("run")
        second = _comparable(pi)
        # Its content stays in the first pack, with the mode and the time of then.
        attachment = pi.storage / "ab" / "cd" / "abcdefgh"
        attachment.chmod(0o640)
        os.utime(attachment, ns=(1, 1_650_000_000_000_000_007))
        (pi.uploads / "changed key").write_text("new")
        pi.sql("INSERT INTO other.things VALUES (3)")
        change_keys(pi)
        pi.must("run")
        page = (tmp_path / "disk" / "RECOVERY.md").read_text()
        newest, older, oldest = (backup["name"] for backup in json.loads(pi.must("list", "--json")))
        assert newest in page
        assert older not in page
        assert oldest not in page
        assert pi.identity not in page
        assert len([path for path in (tmp_path / "disk").iterdir() if keyring.is_keyring(path.name)]) == 1
        scripts = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        assert len(scripts) == 2

        base_image("trixie")
        container = docker("run", "-d", build(HERE / "bare_image", "bare"))
        try:
            docker("cp", str(tmp_path / "disk"), f"{container}:/backups")
            run = ("exec", "-i", "-w", "/backups", "-e", "PGUSER=postgres", container, "sh", "-c")
            docker(*run, "cat > key.txt && chmod 600 key.txt", input=pi.identity.encode())
            docker(*run, "sh", input=scripts[0].encode())
            assert _comparable(_copy_out(pi, container, tmp_path / "newest")) == _comparable(pi)
            assert docker(*run, "stat -c %a recovered/keys.txt") == "600"
            env = docker(*run, "cat recovered/config/env")
            assert env == pi.env.read_text().strip()
            wait = "until pg_isready -q; do sleep 0.2; done"
            docker(*run, wait)
            docker(*run, "sh -e", input=scripts[1].encode())
            assert docker(*run, f"psql -At -d {DATABASE} -c 'SELECT count(*) FROM users'") == "1000"
            text = docker(*run, f"pg_dump {DATABASE}").splitlines()
            assert [line for line in text if "restrict" not in line] == pi.database_text()

            # A backup of before the change: its manifest and all that it needs are for the earlier key.
            docker(*run, "rm -r recovered")
            docker(*run, "sh", input=scripts[0].replace(newest, older).encode())
            assert _comparable(_copy_out(pi, container, tmp_path / "older")) == second
        finally:
            docker("rm", "-f", "-v", container)
