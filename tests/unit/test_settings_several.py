"""Several Pis in one settings file: what they share, what differs, who is meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploys.console.agent_here import Operator
from deploys.console.secrets_hosts import with_host
from deploys.steps import agent_config
from inventories import hosts
from inventories.new_secrets import new_text
from inventories.settings import load_every, load_settings
from inventories.validation import SettingsError

from . import operator_desk
from .operator_desk import Desk

TEXT = """\
hosts:
  attic:
    address: 192.0.2.1
  school:
    address: 192.0.2.2
    port: 2222
    settings:
      timezone: Europe/Paris
      stack:
        canonical_host: school.example.org
        environment: {OWN: 1.50}
        smtp: off
      backup:
        schedule: '30 * * * *'
        app_data: [storage]
        retention: {hourly: 6}
        drive: {folder_name: Of the school}
timezone: Europe/Berlin
stack:
  repository: https://git.example.org/loomio-pi-stack.git
  ref: v1.2.3
  canonical_host: attic.example.org
  support_email: help@example.org
  environment: {SHARED: 007}
  smtp: {server: mail.example.org}
backup:
  retention: {daily: 9}
  drive: {upload_limit: 4 Mbit/s}
"""
DRIVE = '{"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "t"}'
SECRETS = with_host(new_text(["attic", "school"]), "school").replace(
    "  credentials:\n", f"  credentials: {DRIVE}\n"
)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(tmp_path)
    desk.prepare(operator_desk.encrypted(SECRETS))
    (tmp_path / "pi.yml").write_text(TEXT)
    for name, value in desk.variables().items():
        if name.startswith("LOOMIO_PI_"):
            monkeypatch.setenv(name, value)
    return desk


def test_groups_are_merged_and_values_replaced(desk: Desk) -> None:
    every = load_every(desk.folder / "pi.yml")
    attic, school = every["attic"], every["school"]
    assert (attic.name, school.name) == ("attic", "school")
    assert (attic.timezone, school.timezone) == ("Europe/Berlin", "Europe/Paris")
    assert attic.stack.environment == {"SHARED": "007"}
    assert school.stack.environment == {"SHARED": "007", "OWN": "1.50"}
    assert attic.stack.smtp is not None
    assert school.stack.smtp is None
    assert (attic.backup.retention.hourly, attic.backup.retention.daily) == (24, 9)
    assert (school.backup.retention.hourly, school.backup.retention.daily) == (6, 9)
    assert school.backup.app_data == ["storage"]
    assert school.backup.drive is not None
    assert school.backup.drive.upload_limit == 500_000
    assert school.stack.ref == attic.stack.ref


def test_the_inventory_has_each_with_what_is_its_own(desk: Desk) -> None:
    declared = dict(hosts.declare())
    attic, school = declared["attic"], declared["school"]
    assert (school["ssh_hostname"], school["ssh_port"]) == ("192.0.2.2", 2222)
    assert school["settings"].stack.canonical_host == "school.example.org"
    assert attic["secrets"].app != school["secrets"].app
    assert attic["secrets"].drive == school["secrets"].drive
    configs = [
        agent_config.build(one["settings"], one["secrets"], one["host_name"]) for one in (attic, school)
    ]
    assert configs[0].recipients != configs[1].recipients
    assert [config.host for config in configs] == ["attic", "school"]


def test_one_of_them_can_be_worked_on_alone(desk: Desk) -> None:
    # Nothing listens on ports 1 and 2.
    text = TEXT.replace("192.0.2.1\n", "127.0.0.1\n    port: 1\n").replace("192.0.2.2", "127.0.0.1")
    (desk.folder / "pi.yml").write_text(text.replace("port: 2222", "port: 2"))
    done = desk.type("loomio-pi", "--host", "school", "drift", "--json")
    assert done.code == 1
    assert list(json.loads(done.stdout)["hosts"]) == ["school"]


def test_a_verb_about_one_pi_has_to_know_which(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = desk.folder / "pi.yml"
    with pytest.raises(SettingsError, match=r"names 2 Pis \(attic, school\).*loomio-pi --host attic"):
        load_settings(file)
    assert load_settings(file, "school").name == "school"
    monkeypatch.setenv("LOOMIO_PI_HOST", "school")
    operator = Operator.at_hand()
    assert operator.name == "school"
    assert operator.secrets == dict(hosts.declare())["school"]["secrets"]
    monkeypatch.setenv("LOOMIO_PI_HOST", "cellar")
    with pytest.raises(SettingsError, match=r"no Pi cellar in .* \(hosts: attic, school\)"):
        load_settings(file)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "address: 192.0.2.2\n    port: 2222",
            "address: 192.0.2.1",
            "hosts.school.address is the same as of",
        ),
        ("canonical_host: school", "canonical_host: attic", "stack.canonical_host is the same as of attic"),
        (
            "        drive: {folder_name: Of the school}\n",
            "",
            "backup.drive.folder_name is the same as of attic",
        ),
        (
            "timezone: Europe/Berlin",
            "timezone: Etc/UTC\npull: {directory: x}",
            "pull.directory is the same as of",
        ),
    ],
)
def test_what_two_pis_cannot_share(desk: Desk, old: str, new: str, sentence: str) -> None:
    assert TEXT.count(old) == 1
    (desk.folder / "pi.yml").write_text(TEXT.replace(old, new))
    with pytest.raises(SettingsError) as caught:
        load_every(desk.folder / "pi.yml")
    assert sentence in str(caught.value)


def test_what_is_missing_is_missing_for_somebody(desk: Desk) -> None:
    (desk.folder / "pi.yml").write_text(TEXT.replace("  canonical_host: attic.example.org\n", ""))
    with pytest.raises(SettingsError, match=r"stack\.canonical_host is missing for attic; expected"):
        load_every(desk.folder / "pi.yml")
