"""RECOVERY.md does what it says: its commands, as they stand, on a machine that has none of our code."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

import pytest

from .agent_site import DATABASE, Site, site
from .docker import docker
from .images import HERE, base_image, build

pytestmark = pytest.mark.lab


def _copy_out(pi: Site, container: str, tmp_path: Path) -> Site:
    """The recovered app-data as if it were a site's, to be compared like one."""
    archive = tmp_path / "recovered.tar"
    docker("exec", container, "tar", "-c", "-f", "/backups/out.tar", "-C", "/backups/recovered/app-data", ".")
    docker("cp", f"{container}:/backups/out.tar", str(archive))
    found = Site(tmp_path / "recovered", pi.project, local=tmp_path / "none")
    for directory in (found.storage, found.uploads):
        directory.rmdir()
    with tarfile.open(archive, errors="surrogateescape") as tar:
        tar.extractall(found.root, filter="fully_trusted")
    return found


def test_its_commands_bring_everything_back(tmp_path: Path) -> None:
    with site(tmp_path / "pi", "agent-hand", local=tmp_path / "disk") as pi:
        pi.fill()
        # The page says what to do about such names: its commands cannot carry them.
        (pi.uploads / "deep" / "er 🎉" / "not utf-8 \udcff").unlink()
        (pi.uploads / "deep" / "er 🎉" / "with space\nand line").rename(pi.uploads / "deep" / "with  space")
        pi.must("run")
        (pi.uploads / "later").write_text("later")
        pi.must("run")
        page = (tmp_path / "disk" / "RECOVERY.md").read_text()
        newest, older = json.loads(pi.must("list", "--json"))
        assert newest["name"] in page
        assert older["name"] not in page
        assert pi.identity not in page
        scripts = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        assert len(scripts) == 2

        base_image("trixie")
        container = docker("run", "-d", build(HERE / "bare_image", "bare"))
        try:
            docker("cp", str(tmp_path / "disk"), f"{container}:/backups")
            run = ("exec", "-i", "-w", "/backups", "-e", "PGUSER=postgres", container, "sh", "-c")
            docker(*run, "cat > key.txt && chmod 600 key.txt", input=pi.identity.encode())
            docker(*run, "sh", input=scripts[0].encode())
            recovered = _copy_out(pi, container, tmp_path)
            # Files' times are whole seconds in a tar; directories and links keep the time of the extraction.
            assert [_untimed(line) for line in recovered.files_text()] == [
                _untimed(line) for line in pi.files_text()
            ]
            env = docker(*run, "cat recovered/config/env")
            assert env == pi.env.read_text().strip()
            wait = "until pg_isready -q; do sleep 0.2; done"
            docker(*run, wait)
            docker(*run, "sh -e", input=scripts[1].encode())
            assert docker(*run, f"psql -At -d {DATABASE} -c 'SELECT count(*) FROM users'") == "1000"
            text = docker(*run, f"pg_dump {DATABASE}").splitlines()
            assert [line for line in text if "restrict" not in line] == pi.database_text()
        finally:
            docker("rm", "-f", "-v", container)


def _untimed(line: tuple[object, ...]) -> tuple[object, ...]:
    return (*line[:4], line[-1])
