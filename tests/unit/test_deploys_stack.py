"""What the stack's settings lead to: profiles, digests, deploy keys, hourly chores, others' names."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from deploys.facts.checksums import DataChecksums, DataChecksumsFact
from deploys.facts.compose import ComposeState, Container
from deploys.steps import agent_config, environment, git_ssh, hourly, verification
from deploys.steps.paths import DEPLOY_KEY
from inventories import git_server
from inventories.secrets import check_together
from inventories.stack_settings import Images, Layout, Parts
from inventories.validation import SettingsError
from loomio_backup.backup.bundle import parse_env

from . import deploys_desk as desk

OVER_SSH = "git@github.com:you/stack.git"
COMPOSE = Path(__file__).resolve().parents[2] / "files" / "stack" / "docker-compose.yml"


def key(encryption: KeySerializationEncryption | None = None) -> str:
    private = Ed25519PrivateKey.generate()
    text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, encryption or NoEncryption())
    return text.decode()


def env(folder: Path, stack: dict[str, object], /, **secrets: object) -> dict[str, str]:
    return parse_env(environment.render(desk.settings(folder, stack=stack), desk.secrets(**secrets)))


# Parts


def test_without_parts_there_is_nothing_of_them(tmp_path: Path) -> None:
    values = env(tmp_path, {})
    assert not {"COMPOSE_PROFILES", "TUNNEL_IMAGE", "TUNNEL_TOKEN_MARK", "CHANNELS_URL"} & values.keys()


def test_a_part_is_a_profile_of_the_compose_file(tmp_path: Path) -> None:
    on: dict[str, object] = dict.fromkeys(Parts.model_fields, True)
    values = env(tmp_path, {"parts": on, "profiles": ["mine"]})
    assert values["COMPOSE_PROFILES"] == "tunnel,netdata,adminer,channels,mail_in,mine"
    profiles = re.findall(r"profiles: \[(\w+)\]", COMPOSE.read_text())
    assert sorted(profiles) == sorted(Parts.model_fields)
    for name in Parts.model_fields:
        assert values[f"{name.upper()}_IMAGE"] == getattr(Images(), name)


def test_what_is_for_compose_alone_is_kept_from_the_app(tmp_path: Path) -> None:
    """Else turning a part on would replace the app's containers."""
    on: dict[str, object] = dict.fromkeys(Parts.model_fields, True)
    file = "/var/lib/node/x.prom"
    settings = desk.settings(tmp_path, stack={"parts": on}, monitoring={"prometheus_file": file})
    with_parts = parse_env(environment.render(settings, desk.secrets(stack={"tunnel_token": "t"})))
    without = env(tmp_path, {"data_checksums": False})
    anchor = COMPOSE.read_text().partition("&not-for-the-app")[2].partition("x-app:")[0]
    kept_from_it = set(re.findall(r"^  ([A-Z_]+): \"\"$", anchor, re.M))
    # Where the app finds the channel server is for the app.
    assert with_parts.keys() - without.keys() - {"CHANNELS_URL"} <= kept_from_it


def test_the_defaults_of_the_compose_file_are_those_of_the_settings() -> None:
    shown = dict(re.findall(r"\$\{([A-Z_]+)_IMAGE:-([^}]+)\}", COMPOSE.read_text()))
    assert {name.lower(): image for name, image in shown.items()} == Images().model_dump()


def test_the_tunnels_token_is_not_in_the_env_and_a_new_one_is_noticed(tmp_path: Path) -> None:
    stack: dict[str, object] = {"parts": {"tunnel": True}}
    one, other = (env(tmp_path, stack, stack={"tunnel_token": token}) for token in ("token-1", "token-2"))
    assert "token-1" not in one.values()
    assert one["TUNNEL_TOKEN_MARK"] != other["TUNNEL_TOKEN_MARK"]


def test_a_tunnel_without_a_token_is_refused(tmp_path: Path) -> None:
    settings = desk.settings(tmp_path, stack={"parts": {"tunnel": True}})
    with pytest.raises(SettingsError, match=r"stack\.tunnel_token is missing.*secrets edit"):
        check_together(settings, desk.secrets(), "secrets.yml.age")


def test_containers_of_what_was_turned_off_are_surplus() -> None:
    containers = tuple(Container(name, "running", "none") for name in ("app", "adminer"))
    assert ComposeState(("app",), {}, containers).surplus() == ["adminer"]


# Images


@pytest.mark.parametrize(
    "image", ["redis:8", "redis:8@sha256:" + "0" * 64, "nas.local:5000/you/redis@sha256:" + "0" * 64, "redis"]
)
def test_images_by_tag_and_by_digest(tmp_path: Path, image: str) -> None:
    assert env(tmp_path, {"images": {"redis": image}})["REDIS_IMAGE"] == image


@pytest.mark.parametrize("image", ["redis:8@sha256:0", "redis 8", "redis:8@md5:" + "0" * 32, "Redis:8", "-x"])
def test_what_is_no_image_is_refused(tmp_path: Path, image: str) -> None:
    with pytest.raises(SettingsError, match=r"stack\.images\.redis.*expected: Redis: name and tag"):
        desk.settings(tmp_path, stack={"images": {"redis": image}})


# Private repositories


def test_a_repository_over_https_needs_no_ssh(tmp_path: Path) -> None:
    assert git_ssh.command(desk.settings(tmp_path), desk.secrets()) == ""


def test_the_deploy_key_is_the_only_key_and_the_server_is_known(tmp_path: Path) -> None:
    settings = desk.settings(tmp_path, stack={"repository": OVER_SSH})
    command = git_ssh.command(settings, desk.secrets(stack={"deploy_key": key()}))
    for option in (f"-i {DEPLOY_KEY}", "IdentitiesOnly=yes", "StrictHostKeyChecking=yes", "-F none"):
        assert option in command
    assert DEPLOY_KEY not in git_ssh.command(settings, desk.secrets())


@pytest.mark.parametrize(
    ("address", "pattern"),
    [
        ("git@git.example.org:you/stack.git", "git.example.org"),
        ("ssh://git@git.example.org/you/stack", "git.example.org"),
        ("ssh://git@git.example.org:2222/you/stack", "[git.example.org]:2222"),
        ("https://git.example.org/you/stack", None),
        ("git://git.example.org/you/stack", None),
        ("/srv/git/stack", None),
    ],
)
def test_the_server_of_an_address(address: str, pattern: str | None) -> None:
    server = git_server.over_ssh(address)
    assert (server.pattern if server else None) == pattern


def test_the_keys_that_come_with_the_program_are_keys() -> None:
    listed = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(git_server.KNOWN)], capture_output=True, check=True, text=True
    )
    found = {line.split()[2]: line.split()[1] for line in listed.stdout.splitlines()}
    assert found == {
        # As the servers' owners publish them.
        "github.com": "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU",
        "gitlab.com": "SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8",
        "codeberg.org": "SHA256:mIlxA9k46MmM6qdJOdMnAQpzGxF4WIVVL+fj+wZbw0g",
    }


def test_an_unknown_server_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"ssh-keyscan -p 2222 -t ed25519 git\.example\.org"):
        desk.settings(tmp_path, stack={"repository": "ssh://git@git.example.org:2222/you/stack"})


def test_a_key_of_ones_own_server_takes_the_place_of_the_known_ones(tmp_path: Path) -> None:
    given = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf"
    stack = desk.settings(tmp_path, stack={"repository": OVER_SSH, "host_keys": [given]}).stack
    server = git_server.over_ssh(stack.repository)
    assert server is not None
    assert git_server.known_hosts(server, stack.host_keys) == f"github.com {given}\n"


@pytest.mark.parametrize("wrong", ["github.com ssh-ed25519 AAAAC3Nz", "ssh-ed25519", "SHA256:+DiY3wvvV6Tu"])
def test_what_is_no_host_key_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(SettingsError, match=r"is not the public key of an SSH server"):
        desk.settings(tmp_path, stack={"repository": OVER_SSH, "host_keys": [wrong]})


def test_a_key_that_is_none_or_locked_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingsError, match="is not the private half of an SSH key") as caught:
        desk.secrets(stack={"deploy_key": "ssh-ed25519 AAAA-the-public-half"})
    assert "public-half" not in str(caught.value)
    with pytest.raises(SettingsError, match="is locked with a passphrase"):
        desk.secrets(stack={"deploy_key": key(BestAvailableEncryption(b"words"))})


def test_a_deploy_key_for_a_repository_that_cannot_use_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"stack\.deploy_key is there.*git@SERVER:OWNER/NAME\.git"):
        check_together(desk.settings(tmp_path), desk.secrets(stack={"deploy_key": key()}), "secrets.yml.age")


# Hourly chores


@pytest.mark.parametrize(
    ("image", "needed"),
    [
        ("loomio/loomio:3.5", False),
        ("loomio/loomio:3.1", False),
        ("loomio/loomio:v3.1.2", False),
        ("loomio/loomio:3.10", False),
        ("loomio/loomio:3.0.21", True),
        ("loomio/loomio:2.26.4@sha256:" + "0" * 64, True),
        ("nas.local:5000/loomio/loomio:2.4", True),
        ("nas.local:5000/loomio/loomio", False),
        ("loomio/loomio:stable", False),
        ("loomio/loomio@sha256:" + "2" * 64, False),
    ],
)
def test_images_before_3_1_need_them(tmp_path: Path, image: str, needed: bool) -> None:
    assert hourly.needed(desk.settings(tmp_path, stack={"images": {"loomio": image}})) is needed


@pytest.mark.parametrize("said", [True, False])
def test_what_the_settings_say_counts(tmp_path: Path, said: bool) -> None:
    for image in ("loomio/loomio:2.4", "loomio/loomio:3.5"):
        settings = desk.settings(tmp_path, stack={"images": {"loomio": image}, "hourly_tasks": said})
        assert hourly.needed(settings) is said


def test_a_timer_that_is_off_is_a_problem_only_where_it_is_needed() -> None:
    assert verification.hourly_problems({}, needed=False) == []
    [problem] = verification.hourly_problems({}, needed=True)
    assert "polls do not close" in problem


# Other repositories


def test_the_agent_is_told_what_another_repository_calls_things(tmp_path: Path) -> None:
    layout = {
        "project": "guide",
        "app": "web",
        "database": "postgres",
        "cache": "valkey",
        "database_name": "loomio",
        "database_user": "admin",
        "volumes": {"uploads": "app-data"},
        "compose_file": "compose.yml",
    }
    stack: dict[str, object] = {"layout": layout, "subdirectory": ".", "directory": "/opt/guide"}
    settings = desk.settings(tmp_path, stack=stack)
    config = agent_config.build(settings, desk.secrets(), desk.HOST)
    assert (config.project, config.app_service, config.cache_service) == ("guide", "web", "valkey")
    assert config.database.model_dump() == {"service": "postgres", "name": "loomio", "user": "admin"}
    assert config.keep_services == ["postgres", "valkey"]
    volumes = {source.name: source.volume for source in config.app_data}
    assert (volumes["uploads"], volumes["storage"]) == ("guide_app-data", "guide_storage")
    assert Path("/opt/guide/compose.yml") in config.config_files
    values = env(tmp_path, stack, app={"postgres_password": "p"})
    assert values["COMPOSE_FILE"] == "compose.yml"
    assert values["DATABASE_URL"] == "postgresql://admin:p@postgres/loomio"
    assert values["REDIS_URL"] == "redis://valkey:6379/0"
    assert values["PRIVATE_APP_URL"] == "http://web:3000"


def test_a_volume_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"stack\.layout\.volumes"):
        desk.settings(tmp_path, stack={"layout": {"volumes": {"downloads": "x"}}})
    assert Layout().volume("storage") == "loomio-pi-stack_storage"


# Checksums


def test_damaged_pages_are_a_problem_and_none_are_none() -> None:
    fact = DataChecksumsFact()
    assert fact.process(["on 0"]) == DataChecksums(on=True, failures=0)
    assert fact.process(["off 0"]) == DataChecksums(on=False, failures=0)
    assert fact.process([]) is None
    assert verification.checksum_problems(fact.process(["on 0"])) == []
    [problem] = verification.checksum_problems(fact.process(["on 3"]))
    assert "3 damaged pages" in problem
