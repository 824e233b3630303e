"""The worst of evenings: the old Pi was a bookworm one, the new one is not; Google Drive can only be reached
with a browser; the newest backup is damaged; the settings have gone on to a newer Loomio; and SSH warns of an
attack.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import handbook
from tests.faults.recovery_rig import interrupted, kill
from tests.lab import pi as pis
from tests.lab.cloud import DRIVE_ROOT
from tests.lab.data.compare import compare
from tests.lab.docker import docker
from tests.lab.drill.judge import list_files, run_sql, web_status
from tests.lab.drill.life import PROJECT
from tests.lab.drill.operator import HOST, Finished, Operator
from tests.lab.pi import Pi
from tests.unit.pull_bench import flip

from .conftest import Drill

pytestmark = [pytest.mark.lab, pytest.mark.drill]
NEWER = "loomio/loomio:9.9"


@dataclass
class Evening:
    """A new Pi of another release, and an operator with what a browser has downloaded. `older` is the backup
    to come back from: `newest` is damaged in the copy.
    """

    drill: Drill
    pi: Pi
    operator: Operator
    download: Path
    copy: Path
    newest: str = ""
    older: str = ""
    recovered: Finished | None = None


@pytest.fixture(scope="module")
def evening(bookworm: Drill, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    lab = bookworm.rehearsal.lab
    pi = pis.start(
        f"{lab.name}-trixie", "trixie", network=lab.name, label=lab.label,
        key=lab.ssh_key.with_suffix(".pub"), sudo_password=lab.sudo_password,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("evening")
    old = bookworm.rehearsal.operator
    for name in ("pi.yml", "secrets.yml.age", "passphrase", "known_hosts"):
        shutil.copy(old.folder / name, folder)
    made = Evening(bookworm, pi, Operator(folder), folder / "Downloads", folder / "backups")
    write_settings(made)
    remember_the_old_key(made)
    download(made)
    yield made
    pi.destroy()


def write_settings(evening: Evening) -> None:
    settings: dict[str, Any] = yaml.safe_load(evening.operator.settings_file.read_text())
    settings["hosts"][HOST] |= {
        "port": evening.pi.ssh_port,
        "known_hosts": str(evening.operator.folder / "known_hosts"),
    }
    settings["docker"] = {"source": "debian", "registry_mirrors": settings["docker"]["registry_mirrors"]}
    settings["stack"]["images"] = {"loomio": NEWER}
    # On a disk, so that the card is not filled with a copy that is elsewhere already.
    evening.pi.run("sh", "-c", "mkdir -p /mnt/usb && mount -t tmpfs usb /mnt/usb")
    local = {"path": "/mnt/usb/loomio-backups", "mount_point": "/mnt/usb"}
    settings["backup"] |= {"drive": False, "local": local}
    evening.operator.settings_file.write_text(yaml.safe_dump(settings, sort_keys=False))


def remember_the_old_key(evening: Evening) -> None:
    """The new Pi has the old one's address, at which another key is known."""
    known = evening.operator.folder / "known_hosts"
    old = f"[127.0.0.1]:{evening.drill.rehearsal.pi.ssh_port} "
    [line] = [line for line in known.read_text().splitlines() if line.startswith(old)]
    known.write_text(line.replace(old, f"[127.0.0.1]:{evening.pi.ssh_port} ") + "\n")


def download(evening: Evening) -> None:
    """What a browser makes of Drive's folder: two zips, and some files by hand."""
    rehearsal = evening.drill.rehearsal
    evening.download.mkdir()
    stored = rehearsal.lab.cloud.stored()
    raw = evening.operator.folder / "raw"
    docker("cp", f"{rehearsal.lab.cloud.name}:{DRIVE_ROOT}/blobs", str(raw))
    names = sorted(name for name in stored if name != "RECOVERY.md")
    third = len(names) // 3
    for number, part in enumerate((names[:third], names[third : 2 * third]), start=1):
        with zipfile.ZipFile(evening.download / f"Loomio backups-20261123-00{number}.zip", "w") as archive:
            for name in part:
                archive.write(raw / stored[name]["blob"], f"Loomio backups/{name}")
    by_hand = evening.download / "more"
    by_hand.mkdir()
    for number, name in enumerate(names[2 * third :], start=1):
        shutil.copy(raw / stored[name]["blob"], by_hand / f"{name.partition('.')[0]} ({number}).age")
    shutil.rmtree(raw)


def test_what_is_typed_here_is_what_the_page_says() -> None:
    page = (handbook.DOCS / "recovery.md").read_text()
    for command in ("import-folder Downloads/loomio", "deploy disaster_recovery --data from=backups/loomio"):
        assert f"\nloomio-pi {command}\n" in page


def test_the_download_becomes_a_copy(evening: Evening) -> None:
    done = evening.operator.type("loomio-pi", "import-folder", str(evening.download), str(evening.copy))
    assert done.code == 0, done.output
    manifests = sorted(path.name for path in evening.copy.glob("*.manifest.age"))
    assert len(manifests) >= 2
    evening.newest, evening.older = (
        name.removesuffix(".manifest.age") for name in (manifests[-1], manifests[-2])
    )
    flip(evening.copy / f"{evening.newest}.dump.zst.age")


def recover(evening: Evening) -> Finished:
    return evening.operator.deploy("disaster_recovery", "--data", f"from={evening.copy}")


def test_the_new_cards_key_is_explained_and_never_accepted_by_itself(evening: Evening) -> None:
    before = (evening.operator.folder / "known_hosts").read_text()
    done = recover(evening)
    assert done.code == 1
    assert "has another SSH key than the one remembered for it" in done.output
    assert "Traceback" not in done.output
    assert (evening.operator.folder / "known_hosts").read_text() == before
    shown = re.search(r"ssh-ed25519 SHA256:[\w+/]+", done.output)
    key = evening.pi.run("ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub")
    assert shown is not None
    assert shown[0].split()[1] in key
    [command] = re.findall(r"run the same command again:  (.+?)  Have you not", done.output)
    subprocess.run(["sh", "-c", command], check=True, capture_output=True)


def test_the_operators_machine_dies_in_the_middle_of_it(evening: Evening) -> None:
    """A sample of the series `recoveries`, with the same code: the recovery below has to live with it."""
    at = "Stack | Fetch the images"
    options = ("--data", f"from={evening.copy}")
    struck, code, output = interrupted(evening.operator, [at], lambda process, _: kill(process), *options)
    assert (struck, code) == (at, -signal.SIGKILL), output[-4000:]
    assert not evening.pi.succeeds("systemctl", "is-enabled", "-q", "loomio-backup.timer")


def test_it_comes_back_from_the_backup_before_the_damaged_one(evening: Evening) -> None:
    done = evening.recovered = recover(evening)
    assert done.code == 0, done.output[-6000:]
    assert f"NOT the newest: {evening.newest} could not be restored. " in done.output
    assert "\nCompared: " in done.output
    assert f"{HOST} is back, from {evening.older}: " in done.output
    # Not the copy's: the run that was interrupted had brought it.
    for phase in ("packages", "Docker", "agent", "images", "restore", "start", "in all"):
        assert re.search(rf"^  {phase} +\d", done.output, re.MULTILINE), phase
    rehearsal = evening.drill.rehearsal
    found = compare(
        rehearsal.spec, lambda script: run_sql(evening.pi, script), lambda: list_files(evening.pi)
    )
    assert list(found.differences()) == []
    assert web_status(evening.pi) == 200
    assert evening.pi.run("systemctl", "is-enabled", "loomio-backup.timer") == "enabled"


def images(pi: Pi) -> set[str]:
    own = f"label=com.docker.compose.project={PROJECT}"
    return set(pi.run("docker", "ps", "--filter", own, "--format", "{{.Image}}").split())


def test_the_version_that_made_the_backup_runs_and_the_settings_newer_one_does_not(evening: Evening) -> None:
    assert evening.recovered is not None
    assert "loomio/loomio:3.5" in images(evening.pi)
    assert NEWER not in evening.pi.run("docker", "images", "--format", "{{.Repository}}:{{.Tag}}")
    said = f"The settings name {NEWER} (stack.images.loomio); {evening.older} was made by loomio/loomio:3.5"
    # Once when it is decided, once more in the report.
    assert evening.recovered.output.count(said) >= 2


def test_a_later_setup_does_not_update_by_itself(evening: Evening) -> None:
    before = images(evening.pi)
    done = evening.operator.deploy("setup")
    assert done.code == 0, done.output[-4000:]
    assert done.changed() == []
    assert "update with: loomio-pi deploy update" in done.output
    assert images(evening.pi) == before
