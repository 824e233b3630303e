"""The recovery kit on the worst evening: Pi and computer are gone, and there is the paper, the passphrase in
somebody's head, and a Google login. From a fresh checkout, everything comes back on a fresh Pi.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from inventories.secrets import Secrets, load_secrets
from tests.lab.data import Spec
from tests.lab.docker import docker
from tests.lab.drill import life
from tests.lab.drill import operator as desk
from tests.lab.drill.judge import judge
from tests.lab.drill.life import Rehearsal
from tests.lab.drill.operator import Finished, Operator
from tests.lab.drill.report import Report
from tests.lab.lab import Lab
from tests.lab.pi import Pi
from tests.paper import Paper

pytestmark = [pytest.mark.lab, pytest.mark.drill]
SPEC = Spec(seed=23, db_mb=2, files_mb=2)
USER = "group@example.org"


@dataclass(frozen=True)
class Evening:
    """What is left: the paper, the passphrase, the account, and the cloud of the lab."""

    lab: Lab
    paper: Paper
    passphrase: str
    secrets: Secrets
    settings: str
    before: life.Remembered
    port: int


@dataclass(frozen=True)
class Newcomer:
    """Somebody at another computer, in a fresh checkout of the program."""

    home: Path

    @property
    def checkout(self) -> Path:
        return self.home / "loomio-pi-stack"

    @property
    def ssh_key(self) -> Path:
        return self.home / ".ssh" / "id_ed25519"

    def type(self, *words: str, stdin: str = "") -> Finished:
        """Type a command of `loomio-pi` there: the program is the checkout's own."""
        python = f"{self.checkout}:{self.checkout / 'files'}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LOOMIO_PI_")}
        environment = {
            **kept,
            "HOME": str(self.home),
            "PYTHONPATH": python,
            "LOOMIO_PI_PASSPHRASE_FILE": str(self.home / "passphrase"),
            "PYINFRA_PROGRESS": "off",
            "BROWSER": f"{sys.executable} -m tests.lab.drive.browser --email {USER} %s",
        }
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "deploys.console.main", *words],
            cwd=self.checkout,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=900,
        )
        return Finished(done.returncode, done.stderr + done.stdout, time.monotonic() - started, done.stdout)


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    """A Pi was set up, used and backed up, its kit printed and tried out; then both are gone."""
    computer = tmp_path_factory.mktemp("old-computer")
    with Lab(computer, "trixie", sudo_password=False) as lab:
        pi = lab.new_pi()
        operator = desk.prepare(lab, port=pi.ssh_port, drive_credentials=lab.cloud.drive.register_user(USER))
        finished = operator.deploy("setup")
        assert finished.code == 0, finished.output[-4000:]
        assert "Reminder: There is no recovery kit" in finished.output
        life.fill(pi, SPEC)
        pi.run("loomio-backup", "run", "--label", life.LABEL, "--pin")
        life.start_writers(pi)
        life.back_up(pi, lab, Report("trixie", False, SPEC.seed, SPEC.db_mb, SPEC.files_mb))
        paper = _print_and_try(operator, lab)
        passphrase = (computer / "passphrase").read_text().strip()
        secrets = load_secrets(computer / "secrets.yml.age", passphrase)
        settings = operator.settings_file.read_text()
        before = life.remember(pi, lab)
        pi.destroy()
        shutil.rmtree(computer)
        yield Evening(lab, paper, passphrase, secrets, settings, before, pi.ssh_port)


def _print_and_try(operator: Operator, lab: Lab) -> Paper:
    """With Drive's addresses as this machine reaches them, beside the same secrets."""
    settings = yaml.safe_load(operator.settings_file.read_text())
    url = f"http://127.0.0.1:{lab.cloud.drive_port}/"
    settings["backup"]["drive"] = {
        "api_root": url,
        "token_uri": f"{url}token",
        "auth_uri": f"{url}o/oauth2/v2/auth",
        "device_uri": f"{url}device/code",
    }
    (operator.folder / "from-here.yml").write_text(yaml.safe_dump(settings))
    from_here = {"LOOMIO_PI_SETTINGS": str(operator.folder / "from-here.yml")}
    page = operator.folder / "kit.html"
    printed = operator.type(
        "loomio-pi", "kit", "--output", str(page), LOOMIO_PI_SETTINGS=from_here["LOOMIO_PI_SETTINGS"]
    )
    assert printed.code == 0, printed.output
    paper = Paper(page.read_text())
    checked = subprocess.run(
        ["loomio-pi", "kit", "check"],
        env={**operator.environment, **from_here},
        input=paper.typed,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert checked.returncode == 0, checked.stderr
    assert "The kit is right: what you typed opens loomio_backup_" in checked.stdout
    return paper


@pytest.fixture(scope="module")
def newcomer(evening: Evening, tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    """The page's steps 2 and 4; step 3, the card, is flashed by the test."""
    newcomer = Newcomer(tmp_path_factory.mktemp("new-computer"))
    newcomer.ssh_key.parent.mkdir(mode=0o700)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(newcomer.ssh_key)], check=True)
    (newcomer.home / "passphrase").write_text(evening.passphrase + "\n")
    (newcomer.home / "passphrase").chmod(0o600)
    # The printed address is one of the lab's network.
    assert "git clone git://cloud/loomio-pi-stack loomio-pi-stack" in evening.paper.text
    served = newcomer.home / "served"
    docker("cp", f"{evening.lab.cloud.name}:/srv/git/loomio-pi-stack", str(served))
    subprocess.run(["git", "clone", "-q", str(served), str(newcomer.checkout)], check=True)
    ref = evening.paper.text.partition("git checkout ")[2].split()[0]
    subprocess.run(["git", "-C", str(newcomer.checkout), "checkout", "-q", ref], check=True)
    return newcomer


def test_the_paper_brings_settings_and_secrets_back(evening: Evening, newcomer: Newcomer) -> None:
    done = newcomer.type("kit", "recover", "--ssh-key", str(newcomer.ssh_key), stdin=evening.paper.typed)
    assert done.code == 0, done.output
    assert f"out of {evening.before.backup} (" in done.output
    found = load_secrets(newcomer.checkout / "inventories" / "secrets.yml.age", evening.passphrase)
    assert found.model_dump(exclude={"drive"}) == evening.secrets.model_dump(exclude={"drive"})
    settings = yaml.safe_load((newcomer.checkout / "inventories" / "pi.yml").read_text())
    wanted = yaml.safe_load(evening.settings)
    # What named places of the old computer.
    wanted["hosts"][desk.HOST] |= {"ssh_key": str(newcomer.ssh_key), "known_hosts": None}
    assert settings == wanted


def test_everything_comes_back_on_a_fresh_pi(evening: Evening, newcomer: Newcomer) -> None:
    lab = evening.lab
    lab.ssh_key = newcomer.ssh_key
    fresh: Pi = lab.new_pi(port=evening.port)
    report = Report("trixie", False, SPEC.seed, SPEC.db_mb, SPEC.files_mb)
    recovery = newcomer.type("deploy", "disaster_recovery")
    assert recovery.code == 0, recovery.output[-6000:]
    judge(Rehearsal(lab, Operator(newcomer.home), SPEC, report, fresh, evening.before, recovery))
    assert report.problems == []
    assert report.ok
    assert report.ledger_entries > 0
    # The Pi goes on as before: with the same key, and access to the same Drive.
    fresh.run("loomio-backup", "run")
