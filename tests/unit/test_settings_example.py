"""The example file is the manual: it shows every setting, and what it says about defaults is true."""

import re
from pathlib import Path

import pytest
import yaml

from inventories.group import Group
from inventories.settings import ROOT, Settings, load_settings, settings_file
from inventories.validation import known_keys, validated

EXAMPLE = ROOT / "inventories" / "pi.example.yml"


def keys_in(text: str) -> list[str]:
    """Dotted key paths in a YAML file, also of keys that are commented out (`#name:`, no space)."""
    keys: list[str] = []
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        found = re.match(r"( *)#?(\w+):", line)
        if found is None:
            continue
        indent = len(found[1])
        above = [one for one in above if one[0] < indent] + [(indent, found[2])]
        keys.append(".".join(name for _, name in above))
    return keys


def test_the_example_shows_every_setting_once() -> None:
    shown = [key.replace("hosts.loomio", "hosts.*") for key in keys_in(EXAMPLE.read_text())]
    # What a store keeps instead has the keys of backup.retention: they need no second explanation.
    own = ("backup.local.retention.", "backup.drive.retention.")
    assert sorted(shown) == sorted(key for key in known_keys(Settings) if not key.startswith(own))


def test_every_setting_is_described_for_messages() -> None:
    for model in Group.__subclasses__():
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


def test_what_is_not_marked_is_the_default() -> None:
    example = load_settings(EXAMPLE)
    hosts = {"loomio": {"address": example.hosts["loomio"].address}}
    stack = {
        key: getattr(example.stack, key) for key in ("repository", "ref", "canonical_host", "support_email")
    }
    stack["smtp"] = {"server": "smtp.example.org", "username": "loomio@example.org"}
    text = yaml.safe_dump({"hosts": hosts, "stack": stack, "backup": {"drive": {}}})
    assert validated(Settings, text, "x", context={"directory": EXAMPLE.parent}) == example


def test_relative_paths_start_at_the_settings_file(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    text = (
        EXAMPLE.read_text()
        .replace("ssh_key:", "ssh_key: key")
        .replace("known_hosts:", "known_hosts: sub/known")
    )
    (tmp_path / "pi.yml").write_text(text)
    host = load_settings(tmp_path / "pi.yml").hosts["loomio"]
    assert host.ssh_key == tmp_path / "key"
    assert host.known_hosts == tmp_path / "sub" / "known"
    assert load_settings(tmp_path / "pi.yml").docker.apt_key == ROOT / "files" / "docker.asc"


def test_environment_is_text_as_it_is_written(tmp_path: Path) -> None:
    variables = "{A: 1, B: true, C: 007, D: , E: 1.50, F: 'x y', G: no}"
    text = EXAMPLE.read_text().replace("environment: {}", f"environment: {variables}")
    (tmp_path / "pi.yml").write_text(text)
    environment = load_settings(tmp_path / "pi.yml").stack.environment
    assert environment == {"A": "1", "B": "true", "C": "007", "D": "", "E": "1.50", "F": "x y", "G": "no"}


@pytest.mark.parametrize("off", ["off", "no", "false", "null", ""])
def test_optional_parts_can_be_turned_off(tmp_path: Path, off: str) -> None:
    text = re.sub(r"  local:\n(    .*\n)+", f"  local: {off}\n", EXAMPLE.read_text())
    text = text.replace("days: off", f"days: {off}").replace("upload_limit: off", f"upload_limit: {off}")
    (tmp_path / "pi.yml").write_text(text)
    backup = load_settings(tmp_path / "pi.yml").backup
    assert backup.local is None
    assert backup.retention.days is None
    assert backup.drive is not None
    assert backup.drive.upload_limit is None


def test_the_environment_names_another_settings_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOOMIO_PI_SETTINGS", raising=False)
    assert settings_file() == ROOT / "inventories" / "pi.yml"
    monkeypatch.setenv("LOOMIO_PI_SETTINGS", "/etc/other.yml")
    assert settings_file() == Path("/etc/other.yml")
    monkeypatch.setenv("LOOMIO_PI_SETTINGS", "other.yml")
    assert settings_file() == Path.cwd() / "other.yml"


def test_settings_are_safe_to_show_and_never_change() -> None:
    example = load_settings(EXAMPLE)
    with pytest.raises(ValueError, match="frozen"):
        example.timezone = "Etc/GMT"
    assert example.to_json()["stack"]["ref"] == "v0.1.0"


def test_a_store_keeps_what_all_keep_unless_it_says_otherwise(tmp_path: Path) -> None:
    text = (
        EXAMPLE.read_text()
        .replace("hourly: 24", "hourly: 48")
        .replace("space_limit: off", "space_limit: 10 GB")
        .replace("retention: {}", "retention: {hourly: 6, space_limit: off, days: 3}", 1)
    )
    (tmp_path / "pi.yml").write_text(text)
    backup = load_settings(tmp_path / "pi.yml").backup
    assert backup.local is not None
    assert backup.drive is not None
    own, common = backup.retention_of(backup.local), backup.retention_of(backup.drive)
    assert common == backup.retention
    assert (own.hourly, own.days, own.space_limit, own.daily) == (6, 3, None, 7)
    assert (common.hourly, common.days, common.space_limit) == (48, None, 10_000_000_000)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("500 kB/s", 500_000),
        ("1.5 MB/s", 1_500_000),
        ("4 Mbit/s", 500_000),
        ("800kbit/s", 100_000),
        ("'20 kB/s'", 20_000),
    ],
)
def test_rates_are_written_as_lines_are_sold(tmp_path: Path, written: str, expected: int) -> None:
    (tmp_path / "pi.yml").write_text(
        EXAMPLE.read_text().replace("upload_limit: off", f"upload_limit: {written}")
    )
    drive = load_settings(tmp_path / "pi.yml").backup.drive
    assert drive is not None
    assert drive.upload_limit == expected
