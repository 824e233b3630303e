"""`loomio-pi secrets show`: which secrets there are; a single one of them in the open, when asked by name."""

import difflib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inventories import secrets_file
from inventories.passphrase import passphrase
from inventories.secrets import checked
from inventories.settings import display
from inventories.validation import SettingsError, parsed
from loomio_backup.encryption import crypto
from loomio_backup.errors import KeyFileError

#: Says that something is there, and not how long it is.
MASK = "(hidden)"
#: Whole documents, which are one secret each.
_WHOLE = ("credentials", "manager_credentials")


def show(path: Path, reveal: str | None) -> int:
    """Print the names, or the secret called `reveal`. Returns the exit code; raises `SettingsError`."""
    shown = display(path)
    secrets_file.require(path)
    text = secrets_file.decrypted(path, passphrase(shown, path))
    known = dict(_leaves(parsed(text, shown, secret=True).data, ""))
    if reveal is None:
        width = max((len(name) for name in known), default=0)
        for name, value in known.items():
            print(f"{name:{width}}  {_masked(name, value)}")
        # Whatever is wrong with it: a file that cannot be used is not one that is well.
        checked(text, shown)
        return 0
    if reveal not in known:
        close = difflib.get_close_matches(reveal, known, n=1)
        raise SettingsError(
            f"There is no secret called {reveal} in {shown}. "
            + (f"Did you mean {close[0]}?" if close else "Their names: loomio-pi secrets show")
        )
    value = known[reveal]
    if value is None:
        raise SettingsError(f"{reveal} is empty in {shown}. Put it in with: loomio-pi secrets edit")
    print(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return 0


def _leaves(data: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(data, dict) and data and name.rsplit(".", 1)[-1] not in _WHOLE:
        for key, below in data.items():
            yield from _leaves(below, f"{name}.{key}" if name else str(key))
    else:
        yield name, data


def _masked(name: str, value: Any) -> str:
    if value in (None, "", [], {}):
        return "(empty)"
    if name.rsplit(".", 1)[-1] == "identity" and isinstance(value, str):
        try:
            return f"{MASK} opens what is encrypted to {crypto.recipient_of(value)}"
        except KeyFileError:
            return MASK
    if isinstance(value, list):
        return f"{MASK} {len(value)} of them"
    return MASK
