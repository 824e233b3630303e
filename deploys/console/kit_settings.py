"""The settings out of a backup, on another computer: what names places of the old one is taken out."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from inventories.settings import ROOT
from inventories.validation import SettingsError, parsed

_SHOWN = "the settings in the backup"


def adapted(
    text: str, directory: Path, *, ssh_key: Path | None, address: str | None, host: str | None = None
) -> tuple[str, list[str]]:
    """The text for a file in `directory`, with everything else as it stands there, and sentences about what
    was changed. Address and key are those of the Pi called `host`, or of the first. Raises `SettingsError`
    for text that is no settings file.
    """
    data = parsed(text, _SHOWN).data
    hosts = data.get("hosts") if isinstance(data, dict) else None
    if not isinstance(hosts, dict) or not hosts:
        raise SettingsError(f"{_SHOWN} name no Pi, so they cannot be used. Nothing was changed.")
    name: str = host if host is not None and host in hosts else next(iter(hosts))
    said = []
    if address is not None:
        text = _replaced(text, ("hosts", name, "address"), address)
    if ssh_key is not None:
        text = _replaced(text, ("hosts", name, "ssh_key"), str(ssh_key.absolute()))
    elif gone := _gone(_at(data, ("hosts", name, "ssh_key")), directory, Path.is_file):
        text = _replaced(text, ("hosts", name, "ssh_key"), "")
        said.append(
            f"hosts.{name}.ssh_key was {gone}, which is not on this computer: it is empty now, so that your "
            "SSH agent and usual keys are tried"
        )
    for path in (("hosts", name, "known_hosts"), ("pull", "directory")):
        if gone := _gone(_at(data, path), directory, lambda one: one.parent.is_dir()):
            text = _replaced(text, path, "")
            said.append(f"{'.'.join(path)} was {gone}, whose folder is not on this computer: it is empty now")
    return text, said


def other_version(ref: str) -> str | None:
    """A sentence when this checkout is another version of the program than the settings name. None also where
    nobody can tell: the Pi's repository may be another one.
    """
    here, wanted = (_commit(name) for name in ("HEAD", ref))
    if here is None or wanted is None or here == wanted:
        return None
    return (
        f"This checkout is another version than the settings name. Before you go on, type: git checkout {ref}"
    )


def _commit(name: str) -> str | None:
    command = [
        "git",
        "-C",
        str(ROOT),
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        f"{name}^{{commit}}",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _at(data: Any, path: Sequence[str]) -> Any:
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _gone(value: Any, directory: Path, there: Any) -> str | None:
    """The path, if it leads nowhere here."""
    if not isinstance(value, str) or there(directory / Path(value).expanduser()):
        return None
    return value


def _replaced(text: str, path: Sequence[str], value: str) -> str:
    """The text with another value where one stands already, or as a new line of its group."""
    written = yaml.safe_dump(value, allow_unicode=True, width=10_000).removesuffix("\n...\n").strip()
    if not value:
        written = ""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    group = node
    for key in path:
        group, node = node, next((one for name, one in node.value if name.value == key), None)
        if node is None:
            break
    if isinstance(node, yaml.ScalarNode):
        start, end = node.start_mark.index, node.end_mark.index
        space = " " if written and text[start - 1 : start] == ":" else ""
        return text[:start] + space + written + text[end:]
    if node is None and isinstance(group, yaml.MappingNode) and not group.flow_style:
        first = group.value[0][0].start_mark
        line = f"{path[-1]}: {written}\n{' ' * first.column}"
        return text[: first.index] + line + text[first.index :]
    raise SettingsError(
        f"{'.'.join(path)} cannot be put into {_SHOWN} by this program. Nothing was changed. Leave the "
        "option out, and change it in the file afterwards."
    )
