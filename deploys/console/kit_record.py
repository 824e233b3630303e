"""What is remembered about the recovery kit, and the sentence that reminds.

It is `kit.json` beside the settings; where those name several Pis, `kit-NAME.json` for each.

The file holds dates and digests with a salt of its own: they tell that something printed has changed, and
nothing about what it is. Whoever knows only this file learns when a page was printed.
"""

import json
import os
import secrets as random
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploys.console.kit_content import digest, page_parts
from inventories.secrets import Secrets, checked
from inventories.settings import Settings, display, load_every
from inventories.validation import SettingsError
from loomio_backup import clock

NAME = "kit.json"
_YEAR = timedelta(days=365)
_PRINT = "Print a new one with: loomio-pi kit"
_CHECK = "Prove that it works with: loomio-pi kit check"


@dataclass(frozen=True)
class Record:
    """`printed`: digests of what the last page says, by what people call it. `checked`: the digest of the key
    with which the newest backup was opened last, as it was typed. Times are ISO 8601, UTC.
    """

    salt: str
    printed_at: str | None = None
    printed: Mapping[str, str] | None = None
    checked_at: str | None = None
    checked: str | None = None
    backup: str | None = None


def load(settings_file: Path, settings: Settings | None = None) -> Record | None:
    """The record beside a settings file, of the Pi of `settings`; None where nothing was ever printed or
    checked. Raises `SettingsError`.
    """
    return _read(_path(settings_file, settings))


def _read(path: Path) -> Record | None:
    try:
        record = Record(**json.loads(path.read_text(encoding="utf-8")))
        bytes.fromhex(record.salt)
        for moment in (record.printed_at, record.checked_at):
            if moment is not None:
                _moment(moment)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise SettingsError(
            f"{display(path)} is not as this program wrote it, so nobody knows whether the recovery kit on "
            f"paper is right. Nothing was changed. Delete the file, then print a new kit with: loomio-pi kit"
        ) from None
    return record


def note_printed(settings_file: Path, settings: Settings, secrets: Secrets) -> None:
    """Remember that a page for these settings and secrets was written just now."""
    path = _path(settings_file, settings)
    record = _fresh(path)
    salt = bytes.fromhex(record.salt)
    digests = {name: digest(text, salt) for name, text in page_parts(settings, secrets).items()}
    _write(path, replace(record, printed_at=_now(), printed=digests))


def note_checked(settings_file: Path, identity: str, backup: str) -> bool:
    """Remember that this key, as typed from paper, has opened the newest backup. False when it is not the
    key of the page that was printed here: somebody else's, and nothing is remembered.
    """
    # Of several Pis' kits it is the one with this key: which one was typed, nobody has to say.
    paths = sorted({_path(settings_file), *settings_file.parent.glob(NAME.replace(".", "-*."))})
    known = [(path, record) for path in paths if (record := _read(path)) and record.printed is not None]
    noted = False
    for path, record in known or [(paths[0], _fresh(paths[0]))]:
        found = digest(identity, bytes.fromhex(record.salt))
        if record.printed is None or record.printed.get("the key") == found:
            _write(path, replace(record, checked_at=_now(), checked=found, backup=backup))
            noted = True
    return noted


def reminder(record: Record | None, settings: Settings, secrets: Secrets) -> str | None:
    """The sentence for an operator whose kit is not as it should be; None when all is well."""
    if record is None or (record.printed is None and record.checked is None):
        return (
            "There is no recovery kit: without one, the loss of this computer and the Pi is the loss of the "
            "backups, too. Print one with: loomio-pi kit"
        )
    salt = bytes.fromhex(record.salt)
    now = {name: digest(text, salt) for name, text in page_parts(settings, secrets).items()}
    if record.printed is not None:
        changed = [name for name, text in now.items() if record.printed.get(name) != text]
        if changed:
            said = ", ".join(changed[:-1]) + " and " + changed[-1] if len(changed) > 1 else changed[0]
            return f"The recovery kit on paper is out of date: {said} changed since. {_PRINT}"
    if record.checked_at is None:
        return f"The recovery kit was printed, and never tried out. {_CHECK}"
    if record.checked != now["the key"]:
        if record.printed is None:
            return f"The recovery kit that was checked last is for another key. {_PRINT}"
        return f"The recovery kit has another key since it was checked last. {_CHECK}"
    age = clock.now() - _moment(record.checked_at)
    if age > _YEAR:
        return f"The recovery kit was tried out {age.days} days ago: is it still where it was? {_CHECK}"
    return None


def remind(settings_file: Path, settings: Settings, secrets: Secrets) -> str | None:
    """`reminder` for the record beside the settings; what is wrong with the record is one, too."""
    try:
        return reminder(load(settings_file, settings), settings, secrets)
    except (SettingsError, OSError) as error:
        return str(error)


def tell_if_outdated(settings_file: Path, text: str) -> None:
    """After a change of the secrets to `text`: say so when a kit that was printed is not right any more."""
    if not settings_file.exists():
        return
    every = load_every(settings_file)
    for name, settings in every.items():
        if _path(settings_file, settings).exists():
            said = remind(settings_file, settings, checked(text, "secrets.yml", name))
            if said:
                print(said if len(every) == 1 else f"{name}: {said}")


def _path(settings_file: Path, settings: Settings | None = None) -> Path:
    if settings is None or len(settings.hosts) == 1:
        return settings_file.parent / NAME
    return settings_file.parent / NAME.replace(".", f"-{settings.name}.")


def _fresh(path: Path) -> Record:
    return _read(path) or Record(salt=random.token_hex(16))


def _write(path: Path, record: Record) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(record), file, indent=1)
            file.write("\n")
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _now() -> str:
    return f"{clock.now().astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
