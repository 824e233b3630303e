"""What is on a recovery kit, as values: from the operator's files, and back from what was typed.

On it is what nothing else brings back: the key that opens the backups, what their signatures are checked
with, and where they are. Not on it:

* the passphrase of the secrets file, and the Google login. A thief of the page alone has the key, and nothing
  that it opens.
* the private half of the signing key. With it and the key, whoever finds the page could forge backups.
  Nothing needs it on paper: it is in the secrets file inside each backup; and where that one's passphrase is
  forgotten a new signing key is made, and the former public half goes on the list of the earlier ones.
* Google's refresh token: the login gives a new one, and an old one on paper could not be told to be dead.
* former keys: the present one opens the keyring beside the backups.
* passwords of the Pi, of the database, of mail: in the backups.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from deploys.console.authorize_google import Client
from deploys.console.kit_lines import Line, Part, coded, decoded, printed
from inventories.backup_settings import DriveSettings
from inventories.secrets import Secrets
from inventories.settings import Settings
from inventories.validation import SettingsError
from loomio_backup.encryption import crypto
from loomio_backup.errors import KeyFileError

KEY, SIGNING = Part("K", "code", 58), Part("S", "code", 52)
CLIENT_ID, CLIENT_SECRET = Part("C", "text"), Part("P", "text")
#: Where in Drive. The addresses are on a kit only where they are not Google's, which only tests know.
DRIVE = {
    "folder_id": Part("F", "text"),
    "folder_name": Part("N", "text"),
    "shared_drive_id": Part("D", "text"),
    "subject": Part("M", "text"),
    "api_root": Part("G", "text"),
    "token_uri": Part("T", "text"),
    "auth_uri": Part("U", "text"),
    "device_uri": Part("V", "text"),
}
PARTS = (KEY, SIGNING, CLIENT_ID, CLIENT_SECRET, *DRIVE.values())
MEANINGS = {
    "A": "which lines there are",
    "K": "the key that opens the backups",
    "S": "what their signatures are checked with",
    "C": "OAuth client: its id",
    "P": "OAuth client: its secret",
    "F": "the Drive folder's id",
    "N": "the Drive folder's name",
    "D": "the shared drive's id",
    "M": "the user that the service account acts for",
    "G": "Google's address",
    "T": "Google's address for tokens",
    "U": "Google's address for consent",
    "V": "Google's address for codes",
}
#: Ends every client id of Google's, and is the same on all of them: not worth typing.
_GOOGLE = ".apps.googleusercontent.com"


@dataclass(frozen=True, repr=False)
class Kit:
    """The values. `identity` is None on a page without the key; `drive` where no backups are in Drive;
    `client` also where a service account has the access. Of `drive` only the fields in `DRIVE` count.
    """

    identity: str | None
    signing_public_key: str
    client: Client | None = None
    drive: DriveSettings | None = None

    @classmethod
    def of(cls, settings: Settings, secrets: Secrets, *, with_key: bool = True) -> "Kit":
        """The kit for these settings and secrets."""
        encryption, known = secrets.encryption, secrets.drive.credentials
        user = known if known is not None and known["type"] == "authorized_user" else None
        drive = settings.backup.drive
        return cls(
            identity=encryption.identity.get_secret_value() if with_key else None,
            signing_public_key=crypto.signing_public_key(encryption.signing_key.get_secret_value()),
            client=Client(user["client_id"], user["client_secret"]) if user and drive else None,
            drive=drive and DriveSettings.model_validate(_access(drive)),
        )

    @classmethod
    def typed(cls, values: Mapping[str, str]) -> "Kit":
        """From the values by their letters, as a Sheet has them. Raises `SettingsError`."""
        try:
            drive = {name: values[part.letter] for name, part in DRIVE.items() if part.letter in values}
            return cls(
                identity=_identity(values[KEY.letter]) if KEY.letter in values else None,
                signing_public_key=base64.b64encode(decoded(values[SIGNING.letter])).decode(),
                client=Client(_whole(values[CLIENT_ID.letter]), values[CLIENT_SECRET.letter])
                if CLIENT_ID.letter in values
                else None,
                drive=DriveSettings.model_validate(drive) if drive else None,
            )
        except (KeyError, KeyFileError, ValidationError, binascii.Error, ValueError):
            # Every line is right by itself: the page was not printed by this program.
            raise SettingsError(
                "What was typed is no recovery kit, although every line is right. Nothing was changed. Was "
                "the page printed by another version of this program? Use the one that is named on it."
            ) from None

    def lines(self) -> list[Line]:
        """What is printed, and typed."""
        values: list[tuple[Part, str]] = []
        if self.identity is not None:
            values.append((KEY, self.identity.upper().removeprefix(crypto.IDENTITY_PREFIX)))
        values.append((SIGNING, coded(base64.b64decode(self.signing_public_key))))
        if self.client is not None:
            values += [(CLIENT_ID, _short(self.client.client_id)), (CLIENT_SECRET, self.client.client_secret)]
        if self.drive is not None:
            values += [(DRIVE[name], value) for name, value in _access(self.drive).items()]
        return printed(values)

    def differences(self, other: "Kit") -> list[str]:
        """The letters of the lines in which two kits differ, the key aside."""
        here, there = ({line.label: line.text for line in kit.lines()} for kit in (self, other))
        labels = {label for label in {*here, *there} if here.get(label) != there.get(label)}
        return sorted({label[0] for label in labels} - {"A", KEY.letter})


def page_parts(settings: Settings, secrets: Secrets) -> dict[str, str]:
    """All that a page says about this Loomio, by what people call it: what makes the page outdated when it
    changes. The version of the program is not among them: it changes with every update, and `kit recover`
    names the right one when the printed one is too old.
    """
    kit, name = Kit.of(settings, secrets), next(iter(settings.hosts))
    host, local = settings.hosts[name], settings.backup.local
    client = (kit.client.client_id, kit.client.client_secret) if kit.client else ()
    return {
        "the key": kit.identity or "",
        "the signing key": kit.signing_public_key,
        "the OAuth client": "\n".join(client),
        "the Drive folder": repr(sorted(_access(kit.drive).items()) if kit.drive else None),
        "the repository": settings.stack.repository,
        "the Pi": "\n".join((name, host.address, str(host.port), host.user)),
        "Loomio's address": settings.stack.canonical_host,
        "the store on the Pi": local.path if local else "",
    }


def fingerprint_of_key(identity: str) -> str:
    """The name of a key in manifests and messages."""
    return crypto.fingerprint(crypto.recipient_of(identity))


def digest(text: str, salt: bytes) -> str:
    """What kit.json keeps of a text: it tells whether it is the same, and nothing about it."""
    return hashlib.blake2b(text.encode(), key=salt, digest_size=16).hexdigest()


def _access(drive: DriveSettings) -> dict[str, str]:
    """The fields that say where in Drive, as far as they have to be said."""
    found: dict[str, Any] = {}
    for name in DRIVE:
        value, usual = getattr(drive, name), DriveSettings.model_fields[name].default
        # The name is what finds the folder when there is no id, also the usual one.
        if (name == "folder_name" and drive.folder_id is None) or (value is not None and value != usual):
            found[name] = value
    if drive.folder_id is not None:
        found.pop("folder_name", None)
    return found


def _identity(text: str) -> str:
    identity = crypto.IDENTITY_PREFIX + text
    crypto.recipient_of(identity)
    return identity


def _short(client_id: str) -> str:
    if client_id.endswith(_GOOGLE) and "." not in client_id.removesuffix(_GOOGLE):
        return client_id.removesuffix(_GOOGLE)
    return client_id if "." in client_id and not client_id.endswith(".") else f"{client_id}."


def _whole(text: str) -> str:
    if text.endswith("."):
        return text[:-1]
    return text if "." in text else text + _GOOGLE
