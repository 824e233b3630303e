"""`loomio-pi secrets rekey|remember|forget`: the passphrase of the secrets file, changed, or kept for you."""

from pathlib import Path

from inventories import secrets_file, system_keyring
from inventories.passphrase import chosen_passphrase, passphrase
from inventories.settings import display
from inventories.validation import SettingsError


def rekey(path: Path, new: Path | None) -> int:
    """Encrypt the file with another passphrase (from the file `new`, or typed). Raises `SettingsError`."""
    shown = display(path)
    secrets_file.require(path)
    word = passphrase(shown, path)
    text = secrets_file.decrypted(path, word)
    chosen = chosen_passphrase(shown, new, "--new-passphrase-file")
    if chosen == word:
        raise SettingsError(f"That is the passphrase that {shown} has already. Nothing was changed.")
    secrets_file.replace(path, text, chosen)
    # Not before it is written: until then the former one is what is right.
    if isinstance(word, system_keyring.Remembered):
        system_keyring.remember(path, chosen)
    print(
        f"{shown} opens with the new passphrase only. What it holds is as before.\n"
        "Copies of the file that lie elsewhere, also those in backups made until now, open with the former "
        "one: keep that until they are gone, or make new copies. If LOOMIO_PI_PASSPHRASE_FILE names a file, "
        "write the new passphrase into it.\n"
        "Next, so that new backups hold the new copy: loomio-pi deploy setup"
    )
    return 0


def remember(path: Path) -> int:
    """Put the passphrase into the system's keyring, when it is the right one. Raises `SettingsError`."""
    shown = display(path)
    secrets_file.require(path)
    # Without the path: what the keyring has may be what is to be put right.
    word = passphrase(shown)
    secrets_file.decrypted(path, word)
    system_keyring.remember(path, word)
    print(
        f"The system's keyring remembers the passphrase of {shown}: you are not asked for it any more. Every "
        "program that runs as you can get it from there. To end that: loomio-pi secrets forget"
    )
    return 0


def forget(path: Path) -> int:
    """Remove it from the keyring. Raises `SettingsError`."""
    if system_keyring.forget(path):
        print(f"The system's keyring has forgotten the passphrase of {display(path)}.")
    else:
        print(f"The system's keyring did not know the passphrase of {display(path)}.")
    return 0
