"""`loomio-pi secrets rotate-key`: a new key for the backups, and everything older stays openable with it."""

from pathlib import Path
from typing import Any

from inventories import secrets_file
from inventories.passphrase import passphrase
from inventories.secrets import Encryption, checked, group_for
from inventories.secrets_edit import with_values
from inventories.settings import display, load_settings, settings_file
from loomio_backup.encryption import crypto, keyring


def rotate(path: Path, signing: bool) -> int:
    """Change the key (with `signing` the signing key, too) in the secrets file `path`, in one step that is
    either done or not. Raises `SettingsError`.
    """
    shown = display(path)
    settings = load_settings(settings_file())
    secrets_file.require(path)
    word = passphrase(shown, path)
    before = secrets_file.decrypted(path, word)
    text, recipient = rotated(before, settings.encryption.extra_recipients, signing, settings.name)
    secrets_file.replace(path, text, word)
    old = crypto.recipient_of(checked(before, shown, settings.name).encryption.identity.get_secret_value())
    if signing:
        print("There is a new signing key; what the former one signed is still believed.")
    print(
        f"{shown} has a new key. Its public half is\n  {recipient} ({crypto.fingerprint(recipient)}),\n"
        f"and before it was\n  {old} ({crypto.fingerprint(old)}).\n"
        "The former key is still in the file, and a keyring in every store will open the older backups with "
        "the new one.\n\n"
        "Next:\n"
        "  loomio-pi deploy setup          gives the new key to the Pi\n"
        "  sudo loomio-backup rotate-key   (on the Pi) puts the keyring into every store\n\n"
        f"Then make new copies of what you keep elsewhere: {shown}, and the recovery kit (loomio-pi kit). "
        "The former key alone does not open new backups. Throw the former copies away only when "
        "rotate-key has said that all is well."
    )
    return 0


def rotated(
    text: str, extra_recipients: list[str], signing: bool, name: str | None = None
) -> tuple[str, str]:
    """The secrets' text with a new identity for the Pi called `name` (for all that share it), and that one's
    public half. Raises `SettingsError`.
    """
    known = checked(text, "secrets.yml", name)
    old, group = known.encryption, group_for(known, name or "", "encryption")
    identities = [one.get_secret_value() for one in (old.identity, *old.old_identities)]
    identity = crypto.generate_identity()
    recipient = crypto.recipient_of(identity)
    values: dict[tuple[str, ...], Any] = {
        (*group, "identity"): identity,
        (*group, "old_identities"): identities,
        (*group, "keyring"): keyring.make(identities, [recipient, *extra_recipients]),
    }
    if signing:
        values |= _signing(old, group)
    # The comment above the identity names its public half.
    text = with_values(text, values).replace(crypto.recipient_of(identities[0]), recipient)
    checked(text, "secrets.yml")
    return text, recipient


def _signing(old: Encryption, group: tuple[str, ...]) -> dict[tuple[str, ...], Any]:
    former = crypto.signing_public_key(old.signing_key.get_secret_value())
    return {
        (*group, "signing_key"): crypto.generate_signing_key()[0],
        (*group, "old_signing_public_keys"): [former, *old.old_signing_public_keys],
    }
