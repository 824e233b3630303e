"""`loomio-pi secrets edit`: the decrypted text in an editor, checked, and encrypted again."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from deploys.console import editor, kit_record
from inventories import secrets_file
from inventories.passphrase import passphrase
from inventories.secrets import Encryption, checked, every
from inventories.settings import display, settings_file
from inventories.validation import SettingsError


def edit(path: Path) -> int:
    """Edit the secrets file at `path`. Returns the exit code; raises `SettingsError`."""
    shown = display(path)
    secrets_file.require(path)
    word = passphrase(shown, path)
    before = secrets_file.decrypted(path, word)
    text = before
    with editor.PrivateFile("secrets.yml") as private:
        while True:
            text = private.edited(text)
            if text == before:
                print(f"Nothing was changed in {shown}.")
                return 0
            try:
                checked(text, "secrets.yml")
                break
            except SettingsError as error:
                problem = f"{error} {shown} was left as it is."
            if not sys.stdin.isatty():
                raise SettingsError(problem)
            print(f"loomio-pi: {problem}", file=sys.stderr)
            if input("Edit again? [Y/n] ").strip().lower().startswith("n"):
                raise SettingsError("Your changes were thrown away.")
    kept = _keep(path, before, text)
    secrets_file.replace(path, text, word)
    print(
        f"{shown} is written." + (f" The file with the old keys is kept as {display(kept)}." if kept else "")
    )
    kit_record.tell_if_outdated(settings_file(), text)
    return 0


def _keys(text: str) -> set[str]:
    """Whatever opens or signs backups, of all Pis. Raises `SettingsError`."""
    return set().union(*(_keys_of(one.encryption) for one in every(text, "secrets.yml")))


def _keys_of(encryption: Encryption) -> set[str]:
    single = (encryption.identity, encryption.signing_key, encryption.legacy_passphrase)
    known = [*encryption.old_identities, *(one for one in single if one is not None)]
    return {one.get_secret_value() for one in known} | {encryption.keyring or ""}


def _keep(path: Path, before: str, after: str) -> Path | None:
    """Keep a copy of the encrypted file when a key that opens backups would be lost with it."""
    try:
        old = _keys(before)
    except SettingsError:
        # Whatever it is that could not be read before: it may hold the key.
        old = None
    if old is not None and old <= _keys(after):
        return None
    copy = path.with_name(f"{path.name}.{datetime.now(UTC):%Y%m%d_%H%M%S}.old")
    copy.touch(0o600, exist_ok=False)
    copy.write_bytes(path.read_bytes())
    return copy
