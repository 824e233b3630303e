"""`loomio-pi secrets init|edit|rotate-key`: the encrypted secrets file, made, edited, and with a new key."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from deploys.console import editor, kit_record, secrets_rotate
from inventories import secrets_file
from inventories.new_secrets import new_text
from inventories.passphrase import new_passphrase, passphrase
from inventories.secrets import Encryption, Secrets, checked
from inventories.settings import display, load_settings, settings_file
from inventories.validation import SettingsError


def main(arguments: Sequence[str]) -> int:
    """The verb. Returns the exit code; raises `SettingsError`."""
    parser = argparse.ArgumentParser(
        prog="loomio-pi secrets",
        description="Your secrets are in secrets.yml.age beside the settings file, behind your passphrase.",
        epilog="LOOMIO_PI_SETTINGS names another settings file; LOOMIO_PI_PASSPHRASE_FILE a file (mode 0600) "
        "with the passphrase, which is asked for otherwise.",
    )
    verbs = parser.add_subparsers(required=True, metavar="init|edit|rotate-key", dest="verb")
    verbs.add_parser("init", help="generate every key and password into a new file")
    verbs.add_parser("edit", help="open the decrypted text in $EDITOR, check it, encrypt it again")
    rotate = verbs.add_parser(
        "rotate-key",
        help="make a new key for the backups; the older ones stay openable",
        description="Makes a new key (age identity) for the backups. The former one stays in the file, and a "
        "keyring in every store opens the older backups with the new key.",
    )
    rotate.add_argument("--signing-key", action="store_true", help="make a new signing key, too")
    parsed = parser.parse_args(arguments)
    path = secrets_file.secrets_file(settings_file())
    match parsed.verb:
        case "init":
            return _init(path)
        case "edit":
            return _edit(path)
        case _:
            return secrets_rotate.rotate(path, parsed.signing_key)


def _init(path: Path) -> int:
    shown = display(path)
    if path.exists() or path.is_symlink():
        raise SettingsError(
            f"The secrets file {shown} exists already and was left as it is. Change it with: loomio-pi "
            "secrets edit"
        )
    settings = settings_file()
    hosts = list(load_settings(settings).hosts) if settings.exists() else []
    secrets_file.write_new(path, new_text(hosts), new_passphrase(shown))
    print(
        f"{shown} is made, with new keys and passwords.\n"
        "Keep a copy of it, and the passphrase, where neither burns with the Pi: together they open the "
        "backups.\n"
        "Next, for Google Drive, mail or a sudo password: loomio-pi secrets edit\n"
        "When all of that is in it, print the recovery kit: loomio-pi kit"
    )
    return 0


def _edit(path: Path) -> int:
    shown = display(path)
    secrets_file.require(path)
    word = passphrase(shown)
    before = secrets_file.decrypted(path, word)
    text = before
    with editor.PrivateFile("secrets.yml") as private:
        while True:
            text = private.edited(text)
            if text == before:
                print(f"Nothing was changed in {shown}.")
                return 0
            try:
                after = checked(text, "secrets.yml")
                break
            except SettingsError as error:
                problem = f"{error} {shown} was left as it is."
            if not sys.stdin.isatty():
                raise SettingsError(problem)
            print(f"loomio-pi: {problem}", file=sys.stderr)
            if input("Edit again? [Y/n] ").strip().lower().startswith("n"):
                raise SettingsError("Your changes were thrown away.")
    kept = _keep(path, before, after)
    secrets_file.replace(path, text, word)
    print(
        f"{shown} is written." + (f" The file with the old keys is kept as {display(kept)}." if kept else "")
    )
    kit_record.tell_if_outdated(settings_file(), after)
    return 0


def _keys(encryption: Encryption) -> set[str]:
    """Whatever opens or signs backups."""
    single = (encryption.identity, encryption.signing_key, encryption.legacy_passphrase)
    known = [*encryption.old_identities, *(one for one in single if one is not None)]
    return {one.get_secret_value() for one in known} | {encryption.keyring or ""}


def _keep(path: Path, before: str, after: Secrets) -> Path | None:
    """Keep a copy of the encrypted file when a key that opens backups would be lost with it."""
    try:
        old = checked(before, "secrets.yml").encryption
    except SettingsError:
        # Whatever it is that could not be read before: it may hold the key.
        old = None
    if old is not None and _keys(old) <= _keys(after.encryption):
        return None
    copy = path.with_name(f"{path.name}.{datetime.now(UTC):%Y%m%d_%H%M%S}.old")
    copy.touch(0o600, exist_ok=False)
    copy.write_bytes(path.read_bytes())
    return copy
