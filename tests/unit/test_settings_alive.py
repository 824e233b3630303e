"""No setting is dead: each of them changes what comes to lie on the Pi, or how the Pi is reached."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from deploys.steps import agent_config, docker, environment, git_ssh, hourly, schedule, system
from deploys.steps.paths import AGENT_PACKAGE
from deploys.steps.preflight import Target
from inventories import git_server, hosts
from inventories.secrets import Secrets
from inventories.settings import Settings
from inventories.stack_settings import Parts
from inventories.validation import known_keys
from loomio_backup import config as agent
from loomio_backup.encryption import crypto
from tests.fake.scripted import FRESH

from . import deploys_desk as desk

RECIPIENT = crypto.recipient_of(crypto.generate_identity())
DRIVE = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "t"}
#: Another value than the default, or than the one in BASE, for every setting.
OTHERS: dict[str, Any] = {
    "hosts.*.address": "198.51.100.7",
    "hosts.*.port": 2222,
    "hosts.*.user": "admin",
    "hosts.*.ssh_key": "pi.yml",
    "hosts.*.known_hosts": "known_hosts",
    "hosts.*.settings": {"timezone": "Europe/Paris"},
    "timezone": "Europe/Berlin",
    "docker.source": "debian",
    "docker.apt_url": "https://mirror.example.org/docker",
    "docker.apt_key": "other.asc",
    "docker.apt_key_fingerprint": "A" * 40,
    "docker.registry_mirrors": ["http://nas.local:5000"],
    "docker.insecure_registries": ["nas.local:5000"],
    "docker.version": "29.1.3",
    "docker.check_images": False,
    "docker.log_size": "20 MB",
    "docker.log_files": 4,
    "docker.data.path": "/mnt/ssd/other",
    "docker.data.mount_point": "/mnt",
    "system.wait_for_cloud_init_seconds": 0,
    "system.wait_for_clock_seconds": 0,
    "system.set_timezone": False,
    "system.hostname": "another",
    "system.locale": "de_DE.UTF-8",
    "system.unattended_upgrades": False,
    "system.journal.max_size": "50 MB",
    "system.journal.storage": "volatile",
    "system.memory_limits": False,
    "system.swap.size": "2 GB",
    "system.swap.path": "/mnt/ssd/swapfile",
    "system.firewall.allow": [80],
    "system.ssh_keys_only": True,
    "stack.repository": "https://git.example.org/another.git",
    "stack.ref": "v9",
    "stack.host_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf"],
    "stack.subdirectory": "elsewhere",
    "stack.directory": "/opt/another",
    "stack.canonical_host": "other.example.org",
    "stack.support_email": "other@example.org",
    "stack.site_name": "Another",
    "stack.images.loomio": "loomio/loomio:9",
    "stack.images.postgres": "postgres:18",
    "stack.images.redis": "redis:9",
    "stack.images.tunnel": "cloudflare/cloudflared:9",
    "stack.images.netdata": "netdata/netdata:v9",
    "stack.images.adminer": "adminer:9",
    "stack.images.channels": "loomio/loomio_channel_server:9",
    "stack.images.mail_in": "loomio/haraka-rails-docker:9",
    "stack.parts.tunnel": False,
    "stack.parts.netdata": True,
    "stack.parts.adminer": False,
    "stack.parts.channels": False,
    "stack.parts.mail_in": False,
    "stack.profiles": ["another"],
    "stack.data_checksums": False,
    "stack.hourly_tasks": True,
    "stack.layout.compose_file": "compose.yml",
    "stack.layout.project": "another",
    "stack.layout.app": "web",
    "stack.layout.database": "postgres",
    "stack.layout.cache": "valkey",
    "stack.layout.database_name": "another",
    "stack.layout.database_user": "another",
    "stack.layout.database_volume": "postgres-data",
    "stack.layout.volumes": {"uploads": "app-data"},
    "stack.layout.web_port": 3001,
    "stack.environment": {"X": "1"},
    "stack.smtp.server": "other.example.org",
    "stack.smtp.port": 465,
    "stack.smtp.username": "other",
    "stack.smtp.auth": "login",
    "stack.smtp.use_ssl": True,
    "backup.schedule": "7 * * * *",
    "backup.prune_schedule": "8 * * * *",
    "backup.watch_schedule": "9 * * * *",
    "backup.verify_schedule": "10 5 * * *",
    "backup.verify_sample_schedule": "11 5 * * *",
    "backup.verify_app": False,
    "backup.jitter_seconds": 61,
    "backup.clock_wait_seconds": 301,
    "backup.format": "fernet",
    "backup.retention.hourly": 25,
    "backup.retention.daily": 8,
    "backup.retention.weekly": 5,
    "backup.retention.monthly": 13,
    "backup.retention.yearly": 4,
    "backup.retention.days": 3,
    "backup.retention.space_limit": "10 GB",
    "backup.verified_kept": 3,
    "backup.keep_replaced_days": 30,
    "backup.local.path": "/var/backups/elsewhere",
    "backup.local.mount_point": "/var/backups",
    "backup.drive.folder_id": "abc",
    "backup.drive.folder_name": "Another",
    "backup.drive.shared_drive_id": "def",
    "backup.drive.subject": "other@example.org",
    "backup.drive.schedule": "10 * * * *",
    "backup.drive.deletion": "trash",
    "backup.drive.append_only": True,
    "backup.drive.upload_limit": "500 kB/s",
    "backup.drive.parallel_uploads": 1,
    "backup.drive.api_root": "https://drive.example.org/",
    "backup.drive.token_uri": "https://token.example.org/",
    "backup.app_data": ["storage"],
    "monitoring.stale_after_hours": 5,
    "monitoring.collapse_percent": 51,
    "monitoring.drive_full_days": 31,
    "monitoring.reminder_hours": 25,
    "monitoring.prometheus_file": "/var/lib/prometheus/loomio.prom",
    "monitoring.netdata": True,
    "update.rehearse": False,
    "update.healthy_minutes": 16,
    "encryption.extra_recipients": [RECIPIENT],
    "encryption.offline_key": True,
}
RULES = ("hourly", "daily", "weekly", "monthly", "yearly", "days", "space_limit")
for _store in ("local", "drive"):
    OTHERS |= {f"backup.{_store}.retention.{rule}": OTHERS[f"backup.retention.{rule}"] for rule in RULES}
#: What only the operator's machine needs: the test that goes through the verb, and would not pass without.
OPERATOR_ONLY = {
    "backup.drive.auth_uri": "test_console_authorize.py",
    "backup.drive.device_uri": "test_console_authorize.py",
    "pull.directory": "test_console_pull.py",
}
DISK = {"path": "/mnt/ssd/loomio", "mount_point": "/mnt/ssd"}
BASE = {
    "backup": {"drive": {}},
    "docker": {"data": DISK},
    "system": {"swap": {"size": "1 GB"}, "firewall": {}},
    "stack": {
        "repository": "git@github.com:you/loomio-pi-stack.git",
        "smtp": {"server": "mail.example.org", "username": "me"},
        # Netdata on the Pi and in a container are given the same files.
        "parts": {**dict.fromkeys(Parts.model_fields, True), "netdata": False},
    },
}
#: What has to be turned on for a setting to matter.
MATTERS_WITH = {"stack.images.netdata": {"stack": {"parts": {"netdata": True}}}}


def leaves(model: type[BaseModel]) -> list[str]:
    """The settings that are values, not groups."""
    keys = known_keys(model)
    return [key for key in keys if not any(other.startswith(f"{key}.") for other in keys)]


def nested(path: str, value: Any) -> dict[str, Any]:
    for part in reversed(path.replace("*", desk.HOST).split(".")):
        value = {part: value}
    return value  # type: ignore[no-any-return]


def everything(folder: Path, secrets: Secrets | None = None, **more: Any) -> dict[str, str]:
    """All that settings and secrets lead to, as text, by what it is."""
    settings = desk.settings(folder, **desk.merged(BASE, more))
    secrets = secrets or SECRETS
    target = Target(desk.HOST, settings, secrets, FRESH, {})
    layout, server = settings.stack.layout, git_server.over_ssh(settings.stack.repository)
    return {
        "reached": repr(hosts._ssh(settings.hosts[desk.HOST])),
        "docker": repr((docker.daemon_settings(settings.docker), docker.packages_of(settings.docker)))
        + docker.sources(target),
        "declared": repr(declared(target)),
        "docker key": repr((settings.docker.apt_key, settings.docker.apt_key_fingerprint)),
        "clone": repr((settings.stack.repository, settings.stack.ref, settings.stack.directory))
        + git_ssh.command(settings, secrets)
        + (git_server.known_hosts(server, settings.stack.host_keys) if server else ""),
        "asked": repr((layout.web_url, layout.keep_services, layout.volume(layout.database_volume))),
        "chores": repr(hourly.contents(settings)) if hourly.needed(settings) else "",
        ".env": environment.render(settings, secrets),
        "config": agent.dump(agent_config.build(settings, secrets, desk.HOST)),
        "credentials": repr(agent_config.credentials(settings, secrets)),
        **schedule.contents(target),
    }


def declared(target: Target) -> list[object]:
    """What the system and Docker steps declare: every operation with what it is given."""
    recorded: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        for module in (system, docker):
            for name, thing in vars(module).items():
                if isinstance(thing, ModuleType):
                    for inner in [one for one in vars(thing) if hasattr(getattr(thing, one), "_inner")]:
                        patch.setattr(thing, inner, recorder(recorded, f"{thing.__name__}.{inner}"))
                elif hasattr(thing, "_inner") and name not in ("wait", "prepare", "install", "check_images"):
                    patch.setattr(module, name, recorder(recorded, name))
        system.wait._inner(target=target)
        system.prepare._inner(target=target)
        docker.install._inner(target=target)
        docker.check_images._inner(target=target)
    return recorded


def recorder(into: list[object], name: str) -> Callable[..., None]:
    return lambda *given, **named: into.append((name, given, named))


SECRETS = desk.secrets(
    drive={"credentials": DRIVE},
    app={"smtp_password": "words"},
    encryption={"legacy_passphrase": "old words"},
    stack={"tunnel_token": "a token"},
)


def test_the_table_has_every_setting() -> None:
    assert sorted([*OTHERS, *OPERATOR_ONLY]) == sorted(leaves(Settings))


@pytest.mark.parametrize("key", OPERATOR_ONLY)
def test_what_only_the_operator_s_machine_needs_is_used_there(key: str) -> None:
    text = (Path(__file__).parent / OPERATOR_ONLY[key]).read_text()
    assert f"{key.rpartition('.')[2]}:" in text


@pytest.mark.parametrize("key", OTHERS)
def test_each_setting_changes_something(tmp_path: Path, key: str) -> None:
    (tmp_path / "other.asc").write_bytes(b"")
    needed: dict[str, Any] = MATTERS_WITH.get(key, {})
    before = everything(tmp_path, **needed)
    after = everything(tmp_path, **desk.merged(needed, nested(key, OTHERS[key])))
    assert before != after, key


def config_leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted paths of the agent's configuration; lists of models count as one."""
    for name, info in model.model_fields.items():
        inner = () if get_origin(info.annotation) is list else (info.annotation, *get_args(info.annotation))
        below = [one for one in inner if isinstance(one, type) and issubclass(one, BaseModel)]
        if below:
            yield from config_leaves(below[0], f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def at(document: Any, path: str) -> Any:
    for part in path.split("."):
        document = None if document is None else document[part]
    return document


#: What is the same on every Pi, and what only tests of the agent change.
CONSTANT = {
    *("env_file", "state_directory", "credentials_directory", "application_keys"),
}
#: What follows from the secrets, or from the name of the Pi.
FROM_SECRETS = {"host", "recipients", "signing_public_key", "old_signing_public_keys"}


def test_every_part_of_the_agents_configuration_follows_from_something(tmp_path: Path) -> None:
    def built(**more: Any) -> dict[str, Any]:
        settings = desk.settings(tmp_path, **desk.merged(BASE, more))
        return agent_config.build(settings, SECRETS, desk.HOST).model_dump()

    (tmp_path / "other.asc").write_bytes(b"")
    before = built()
    changed = set()
    for key, value in OTHERS.items():
        after = built(**nested(key, value))
        changed |= {leaf for leaf in config_leaves(agent.Config) if at(before, leaf) != at(after, leaf)}
    dead = set(config_leaves(agent.Config)) - changed - CONSTANT - FROM_SECRETS
    assert dead == set()


def test_the_agent_reads_every_part_of_its_configuration() -> None:
    """By name, outside the module that defines them."""
    read = set()
    for path in AGENT_PACKAGE.rglob("*.py"):
        if path.name != "config.py":
            tree = ast.walk(ast.parse(path.read_text()))
            read |= {node.attr for node in tree if isinstance(node, ast.Attribute)}
    unread = {leaf for leaf in config_leaves(agent.Config) if leaf.rsplit(".", 1)[-1] not in read}
    assert unread - {"env_file"} == set()
