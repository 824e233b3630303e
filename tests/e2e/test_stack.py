"""Stacks of all kinds on one Pi, one after the other: a repository that is not ours, in the older guide's
layout, set up, backed up and restored; then ours, private, by digest, with every optional part; then with
most of them turned off again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploys.steps.paths import DEPLOY_KEY, GIT_KNOWN_HOSTS, HOURLY_SERVICE, HOURLY_TIMER, TUNNEL_TOKEN
from inventories.stack_settings import Parts
from tests.lab import cloud, images
from tests.lab.combinations import new_token
from tests.lab.docker import REPOSITORY, wait_until
from tests.lab.drill import operator as desk
from tests.lab.drill.editor import merge
from tests.lab.drill.fingerprint import Fingerprint
from tests.lab.drill.judge import web_status
from tests.lab.drill.operator import HOST, Operator
from tests.lab.lab import Lab
from tests.lab.pi import Pi

pytestmark = [pytest.mark.lab, pytest.mark.drill]

GUIDE = "/opt/guide-stack"
GUIDE_URL = "git://cloud/guide-stack"
LAYOUT = {
    "project": "guide-stack",
    "volumes": {
        "storage": "app-storage",
        "uploads": "app-data",
        "files": "app-files",
        "plugins": "app-plugins",
    },
}
CLONE = "/opt/loomio-pi-stack"
OLD_IMAGE = "loomio/loomio:3.0.9"
TOKEN, ANOTHER_TOKEN = new_token(), new_token()[:-7]


@dataclass
class Desk:
    """The operator, the Pi, and what the settings are now."""

    lab: Lab
    pi: Pi
    operator: Operator

    def want(self, stack: Mapping[str, Any]) -> None:
        """Lay this over the settings of the stack."""
        settings = yaml.safe_load(self.operator.settings_file.read_text())
        merge(settings["stack"], dict(stack))
        self.operator.settings_file.write_text(yaml.safe_dump(settings, sort_keys=False))

    def deploy(self, name: str, *options: str) -> desk.Finished:
        finished = self.operator.deploy(name, *options)
        assert finished.code == 0, finished.output[-4000:]
        return finished

    def looked_at(self) -> dict[str, Any]:
        """What verify says of the Pi, which has to be as declared."""
        found: dict[str, Any] = json.loads(self.deploy("verify", "--data", "drill=off").stdout)["hosts"][HOST]
        assert (found["problems"], found["drift"]) == ([], [])
        return found

    def compose(self, directory: str, *arguments: str) -> str:
        return self.pi.run("sh", "-c", f"cd {directory} && docker compose {' '.join(arguments)}")

    def container(self, service: str) -> str:
        return self.compose(CLONE, "ps", "--quiet", service)

    def sql(self, query: str) -> str:
        psql = ("psql", "-XAtq", "-U", "loomio", "-d", "loomio_production", "-c", query)
        return self.pi.run("docker", "exec", self.pi.database_container(), *psql)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with Lab(tmp_path_factory.mktemp("stack"), "trixie", sudo_password=False) as lab:
        lab.offer_parts(Parts.model_fields)
        lab.cloud.push(images.stack_image("loomio/loomio:3.5"), OLD_IMAGE)
        lab.cloud.serve(REPOSITORY / "tests" / "lab" / "guide_stack", GUIDE_URL)
        pi = lab.new_pi()
        credentials = lab.cloud.drive.register_user()
        yield Desk(lab, pi, desk.prepare(lab, port=pi.ssh_port, drive_credentials=credentials))


def test_a_repository_in_the_older_guides_layout(at: Desk) -> None:
    off = dict.fromkeys(Parts.model_fields, False)
    place = {"repository": GUIDE_URL, "subdirectory": ".", "directory": GUIDE}
    at.want({**place, "layout": LAYOUT, "parts": off})
    at.deploy("setup")
    before = Fingerprint.of(at.pi)
    assert at.deploy("setup").changed() == []
    assert before.differences(Fingerprint.of(at.pi)) == []
    assert web_status(at.pi) == 200
    uploads = "/var/lib/docker/volumes/guide-stack_app-data/_data"
    at.sql("CREATE TABLE motions (words text); INSERT INTO motions VALUES ('as it was')")
    at.pi.run("sh", "-c", f"echo a picture > {uploads}/picture")
    at.pi.run("systemctl", "start", "loomio-backup.service")
    at.sql("UPDATE motions SET words = 'vandalised'")
    at.pi.run("rm", f"{uploads}/picture")
    at.deploy("restore", "--data", "replace_live_data=yes")
    assert at.sql("SELECT words FROM motions") == "as it was"
    assert at.pi.run("cat", f"{uploads}/picture") == "a picture"
    assert web_status(at.pi) == 200
    assert at.compose(GUIDE, "ps", "--services").split() == (
        ["app", "channels", "db", "hocuspocus", "redis", "worker"]
    )


def test_a_private_repository_images_by_digest_and_every_part(at: Desk, tmp_path: Path) -> None:
    at.compose(GUIDE, "down")
    key = private_repository(at, tmp_path)
    edits = {"stack": {"deploy_key": key, "tunnel_token": TOKEN}}
    desk.edit_secrets(at.operator, edits)
    at.want(
        {
            "repository": "git@localhost:stack.git",
            "host_keys": [" ".join(at.pi.run("cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[:2])],
            "subdirectory": "files/stack",
            "directory": CLONE,
            "layout": {"project": "loomio-pi-stack", "volumes": {}},
            "parts": dict.fromkeys(Parts.model_fields, True),
            "images": {"loomio": OLD_IMAGE, "redis": with_digest(at, "redis:8")},
        }
    )
    at.deploy("setup")
    found = at.looked_at()
    assert found["data_checksums"] is True
    assert at.sql("SHOW data_checksums") == "on"


def private_repository(at: Desk, folder: Path) -> str:
    """A git server that lets in one key, on the Pi itself: returns the private half."""
    docker_safe = str(folder / "deploy")
    at.operator.type("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "deploy", "-f", docker_safe)
    public = Path(f"{docker_safe}.pub").read_bytes()
    at.pi.run("useradd", "--create-home", "--shell", "/usr/bin/git-shell", "--password", "*", "git")
    at.pi.run("install", "-d", "-m", "0700", "-o", "git", "/home/git/.ssh")
    at.pi.run("sh", "-c", "cat > /home/git/.ssh/authorized_keys; chown git /home/git/.ssh/*", input=public)
    at.pi.run("git", "clone", "-q", "--bare", cloud.REPOSITORY_URL, "/home/git/stack.git")
    at.pi.run("chown", "-R", "git", "/home/git/stack.git")
    return Path(docker_safe).read_text()


def with_digest(at: Desk, reference: str) -> str:
    digest = at.pi.run("docker", "image", "inspect", "--format", "{{index .RepoDigests 0}}", reference)
    return f"{reference}@{digest.partition('@')[2]}"


def test_the_deploy_key_is_the_owners_and_for_this_repository_alone(at: Desk) -> None:
    assert at.pi.run("stat", "-c", "%a %U", DEPLOY_KEY) == "600 pi"
    at.pi.run("git", "-C", CLONE, "fetch", "--quiet", user="pi")
    assert not at.pi.run("sh", "-c", "git config --global --list || true", user="pi")
    remote = ("ls-remote", "git@localhost:stack.git")
    command = at.pi.run("git", "-C", CLONE, "config", "core.sshCommand", user="pi")
    for other in (command.replace(DEPLOY_KEY, "/dev/null"), command.replace(GIT_KNOWN_HOSTS, "/dev/null")):
        as_pi = ("sudo", "-u", "pi", "git", "-C", CLONE, "-c", f"core.sshCommand={other}", *remote)
        assert not at.pi.succeeds(*as_pi), other


def test_an_image_by_digest_is_that_one(at: Desk) -> None:
    image = at.pi.run("docker", "inspect", "--format", "{{.Config.Image}}", at.container("redis"))
    assert image == with_digest(at, "redis:8")


def test_the_tunnels_token_is_in_its_file_and_nowhere_else(at: Desk) -> None:
    assert at.pi.run("stat", "-c", "%a %U", TUNNEL_TOKEN) == "600 root"
    assert f"a token of {len(TOKEN)} characters" in at.compose(CLONE, "logs", "tunnel")
    everything = at.pi.run("sh", "-c", "docker inspect $(docker ps -aq)")
    assert TOKEN not in everything
    assert TOKEN not in at.pi.run("cat", f"{CLONE}/.env")
    assert TOKEN not in at.pi.run("ps", "axeww")
    policy = at.pi.run(
        "docker", "inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", at.container("tunnel")
    )
    assert policy == "unless-stopped", "it would not start with the Pi"


def test_what_needs_no_secret_has_none(at: Desk) -> None:
    env = dict(
        line.split("=", 1) for line in at.pi.run("cat", f"{CLONE}/.env").splitlines() if line[:1].isupper()
    )
    for service in ("tunnel", "netdata", "adminer", "channels", "redis"):
        shown = at.pi.run("docker", "inspect", at.container(service))
        for name in ("POSTGRES_PASSWORD", "SECRET_COOKIE_TOKEN", "RAILS_INBOUND_EMAIL_PASSWORD"):
            assert env[name] not in shown, (service, name)


def test_parts_are_open_to_the_pi_alone_but_for_mail(at: Desk) -> None:
    listening = at.pi.run("docker", "ps", "--format", "{{.Ports}}")
    published = {
        place.strip() for line in listening.splitlines() for place in line.split(",") if "->" in place
    }
    to_all = {place for place in published if not place.startswith("127.0.0.1:")}
    assert to_all <= {"0.0.0.0:25->25/tcp", ":::25->25/tcp", "[::]:25->25/tcp"}, published
    for port in (8081, 5000):
        assert at.pi.run("curl", "-fsS", f"http://127.0.0.1:{port}/") == "Welcome"
    greeting = at.pi.run("bash", "-c", "head -n 1 < /dev/tcp/127.0.0.1/25")
    assert greeting.startswith("220 loomio.example.org ")


def test_netdata_shows_our_charts(at: Desk) -> None:
    at.pi.run("systemctl", "start", "loomio-backup-watch.service")
    wait_until(
        lambda: "loomio_backup.watch" in at.pi.run("curl", "-sS", "http://127.0.0.1:19999/api/v1/charts"),
        "our charts in Netdata",
        60,
    )


def test_loomios_chores_run_every_hour_for_an_older_image(at: Desk) -> None:
    assert at.pi.run("systemctl", "is-active", HOURLY_TIMER) == "active"
    at.pi.run("systemctl", "start", HOURLY_SERVICE)
    assert "loomio:hourly_tasks" in at.pi.run("journalctl", "--no-pager", "-u", HOURLY_SERVICE)
    app = at.container("app")
    at.pi.run("docker", "stop", app)
    at.pi.run("systemctl", "start", HOURLY_SERVICE)
    assert at.pi.run("systemctl", "show", "--property=Result", "--value", HOURLY_SERVICE) == "exec-condition"
    at.pi.run("docker", "start", app)


def test_a_change_replaces_what_uses_it_and_what_is_off_goes(at: Desk) -> None:
    desk.edit_secrets(at.operator, {"stack": {"tunnel_token": ANOTHER_TOKEN}})
    before = {name: at.container(name) for name in ("app", "worker", "db", "redis", "tunnel")}
    kept = {"tunnel": True, "netdata": False, "adminer": False, "channels": False, "mail_in": False}
    at.want(
        {"parts": kept, "site_name": "Another name", "images": {"loomio": OLD_IMAGE}, "hourly_tasks": False}
    )
    at.deploy("setup")
    after = {name: at.container(name) for name in before}
    assert {name for name in before if before[name] != after[name]} == {"app", "worker", "tunnel"}
    assert f"a token of {len(ANOTHER_TOKEN)} characters" in at.compose(CLONE, "logs", "tunnel")
    names = at.pi.run("docker", "ps", "--all", "--format", '{{.Label "com.docker.compose.service"}}').split()
    assert sorted(names) == ["app", "db", "hocuspocus", "redis", "tunnel", "worker"]
    assert not at.pi.succeeds("test", "-e", f"/etc/systemd/system/{HOURLY_TIMER}")
    at.looked_at()


def test_turning_a_part_on_leaves_the_app_alone(at: Desk) -> None:
    before = {name: at.container(name) for name in ("app", "worker", "hocuspocus", "db", "redis", "tunnel")}
    at.want({"parts": {"adminer": True}})
    at.deploy("setup")
    assert before == {name: at.container(name) for name in before}
    assert at.deploy("setup").changed() == []
