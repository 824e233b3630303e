"""`loomio-pi import-env FILE`: an older stack's `.env` as a settings file."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from inventories.legacy_env import Imported, understood
from inventories.settings import display, settings_file
from inventories.validation import SettingsError


def main(arguments: Sequence[str]) -> int:
    """The verb. Returns the exit code; raises `SettingsError`."""
    parser = argparse.ArgumentParser(
        prog="loomio-pi import-env",
        description="Prints the settings file that an older stack's .env means (BACKUP_SCHEDULE, "
        "BACKUP_RETENTION_DAYS, GDRIVE_*, SMTP_* …). Secrets are named, and never shown.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the .env of the older stack")
    parser.add_argument(
        "--write", action="store_true", help="write the settings file; one that exists is left as it is"
    )
    parsed = parser.parse_args(arguments)
    imported = understood(_text(parsed.file), display(parsed.file))
    if parsed.write:
        _write(settings_file(), imported.yaml())
    else:
        print(imported.yaml(), end="")
    _tell(imported)
    return 0


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{display(file)} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{display(file)} is not UTF-8 text.") from None


def _write(path: Path, text: str) -> None:
    shown = display(path)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SettingsError(
            f"{shown} exists already and was left as it is. Without --write the settings are printed, to "
            "compare."
        ) from None
    except OSError as error:
        raise SettingsError(f"{shown} cannot be written: {error.strerror}.") from None
    print(f"{shown} is written. Fill in what is marked with “you”.")


def _tell(imported: Imported) -> None:
    """Beside the settings themselves, so that those can be redirected into a file."""
    lines = list(imported.notes)
    if imported.secrets:
        lines.append("These are secrets: carry them over by hand with loomio-pi secrets edit:")
        lines += [f"  {name} is {key}" for name, key in imported.secrets.items()]
    if imported.others:
        lines.append(
            f"Not carried over: {', '.join(imported.others)}. What Loomio needs of them, put into "
            "stack.environment."
        )
    for line in lines:
        print(line, file=sys.stderr)
