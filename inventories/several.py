"""Several Pis in one settings file: what each must have for itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from inventories.validation import Document, KeyPath, SettingsError, dotted

if TYPE_CHECKING:
    from inventories.settings import Settings

Own = Callable[["str", "Settings"], str | None]


def keep_apart(found: Mapping[str, Settings], document: Document) -> None:
    """Refuse two Pis that would be, or would write to, the same thing. Raises `SettingsError`."""
    for read, path, sentence in _OWN:
        seen: dict[str, str] = {}
        for name, settings in found.items():
            value = read(name, settings)
            if value is None:
                continue
            if value in seen:
                there: KeyPath = tuple(str(part).replace("NAME", name) for part in path)
                raise SettingsError(
                    f"{document.place(there)}: {dotted(there)} is the same as of {seen[value]} ({value}); "
                    f"{sentence}"
                )
            seen[value] = name


def _address(name: str, settings: Settings) -> str:
    host = settings.hosts[name]
    return f"{host.address.lower()}, port {host.port}"


def _canonical_host(_: str, settings: Settings) -> str:
    return settings.stack.canonical_host.lower()


def _folder(_: str, settings: Settings) -> str | None:
    drive = settings.backup.drive
    if drive is None:
        return None
    where = f" in {drive.shared_drive_id}" if drive.shared_drive_id else ""
    return drive.folder_id or f"{drive.folder_name!r}{where}"


def _copy(_: str, settings: Settings) -> str | None:
    return str(settings.pull.directory) if settings.pull.directory else None


_SETTINGS = ("hosts", "NAME", "settings")
#: What is read, the key to mend it with, and why.
_OWN: tuple[tuple[Own, KeyPath, str], ...] = (
    (_address, ("hosts", "NAME", "address"), "each Pi has an address of its own."),
    (
        _canonical_host,
        (*_SETTINGS, "stack", "canonical_host"),
        "each Loomio is reached under a name of its own.",
    ),
    (
        _folder,
        (*_SETTINGS, "backup", "drive", "folder_name"),
        "the backups of each Pi need a folder in Drive of their own.",
    ),
    (
        _copy,
        (*_SETTINGS, "pull", "directory"),
        "the copies of each Pi's backups need a folder of their own.",
    ),
)
