"""What the system and Docker steps decide: the kernel's command line, versions, rules of the firewall,
settings.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from deploys.operations.docker_packages import is_version
from deploys.operations.docker_place import containerd_guard
from deploys.operations.memory import wanted_line
from deploys.steps import docker, system
from inventories.settings import DockerSettings
from inventories.system_settings import Firewall, Journal
from inventories.validation import SettingsError

from . import deploys_desk as desk


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("console=tty1 root=x rootwait", "console=tty1 root=x rootwait cgroup_enable=memory"),
        ("a cgroup_disable=memory b", "a b cgroup_enable=memory"),
        ("a cgroup_enable=memory b", "a cgroup_enable=memory b"),
        ("a  b ", "a b cgroup_enable=memory"),
    ],
)
def test_the_kernels_command_line(line: str, wanted: str) -> None:
    assert wanted_line(line) == wanted


@pytest.mark.parametrize(
    ("installed", "wanted", "same"),
    [
        ("5:29.1.3-1~debian.13~trixie", "29.1.3", True),
        ("26.1.5+dfsg1-9+b9", "26.1.5", True),
        ("26.1.5", "26.1.5", True),
        ("5:29.1.30-1", "29.1.3", False),
        ("5:129.1.3-1", "29.1.3", False),
        ("5:29x1.3-1", "29.1.3", False),
    ],
)
def test_versions(installed: str, wanted: str, same: bool) -> None:
    assert is_version(installed, wanted) == same


def test_the_pin_is_for_the_packages_that_carry_the_version() -> None:
    assert docker.preferences(DockerSettings()) is None
    pinned = docker.preferences(DockerSettings(version="29.1.3")) or ""
    assert "Package: docker-ce docker-ce-cli\nPin: version 5:29.1.3[-+~]*\n" in pinned
    pinned = docker.preferences(DockerSettings(version="26.1.5", source="debian")) or ""
    assert "Package: docker.io docker-cli\nPin: version 26.1.5[-+~]*\n" in pinned


def test_the_firewall_names_ports_of_both_protocols_only_where_there_are_any() -> None:
    rules = system.firewall_rules(Firewall.model_validate({"allow": [80, "443/tcp", "51820/udp"]}))
    assert rules.count("80, 443") == 2
    assert "meta l4proto udp ct original proto-dst { 51820 } accept" in rules
    closed = system.firewall_rules(Firewall())
    assert "proto-dst" not in closed
    assert "dport {  }" not in closed


def test_the_journal_stays_where_it_is_unless_told() -> None:
    assert "Storage" not in (system.journal(Journal()) or "")
    assert "Storage=volatile" in (system.journal(Journal(storage="volatile")) or "")
    assert system.journal(None) is None


def test_sizes_of_logs_are_written_as_docker_does() -> None:
    assert docker.log_size(10_000_000) == "10m"
    assert docker.log_size(10_500_000) == "10500k"


def test_containerd_is_kept_to_the_disk() -> None:
    text = containerd_guard("/mnt/ssd/loomio", "/mnt/ssd")
    assert "AssertPathIsMountPoint=/mnt/ssd\n" in text
    assert text.endswith("ExecStart=\nExecStart=/usr/bin/containerd --root /mnt/ssd/loomio/containerd\n")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"system": {"firewall": {"allow": [0]}}}, ["system.firewall.allow", "is not a port"]),
        ({"system": {"firewall": {"allow": ["80/icmp"]}}}, ["is not a port"]),
        ({"system": {"hostname": "loomio.local"}}, ["system.hostname", "single name"]),
        ({"system": {"locale": "en_GB"}}, ["system.locale", "UTF-8 locale"]),
        ({"system": {"swap": {"size": "1 MB"}}}, ["system.swap.size"]),
        ({"system": {"wait_for_clock_seconds": -1}}, ["system.wait_for_clock_seconds"]),
        ({"docker": {"version": "latest"}}, ["docker.version"]),
        ({"docker": {"data": {"path": "/srv/x", "mount_point": "/mnt/ssd"}}}, ["not below its mount_point"]),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, more: dict[str, object], words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        desk.settings(tmp_path, **more)
    for word in words:
        assert word in str(caught.value)
