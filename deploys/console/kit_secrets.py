"""The secrets' text, made again: from the secrets file inside a backup or, without its passphrase, from the
stack's `.env`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from deploys.console.kit_content import Kit
from inventories.new_secrets import new_text
from inventories.secrets import checked
from inventories.secrets_edit import with_values
from inventories.validation import SettingsError, parsed
from loomio_backup.backup.bundle import parse_env
from loomio_backup.encryption import crypto, keyring

#: Loomio's own secrets by their names in `.env`.
_APP = {
    "POSTGRES_PASSWORD": "postgres_password",
    "DEVISE_SECRET": "devise_secret",
    "SECRET_COOKIE_TOKEN": "secret_cookie_token",
    "SECRET_KEY_BASE": "secret_key_base",
    "RAILS_INBOUND_EMAIL_PASSWORD": "rails_inbound_email_password",
    "VAPID_PUBLIC_KEY": "vapid_public_key",
    "VAPID_PRIVATE_KEY": "vapid_private_key",
    "SMTP_PASSWORD": "smtp_password",
}
_OPTIONAL = frozenset({"SMTP_PASSWORD"})

LOST = (
    "the signing key (a new one is made, and what the former one signed is still believed), access to "
    "alerts, the sudo password, the deploy key, the tunnel's token and the older scripts' passphrase. Put in "
    "what you "
    "need with: loomio-pi secrets edit"
)
"""What only the secrets file had, for people."""


def completed(
    text: str,
    identities: Sequence[str],
    others: Sequence[str],
    credentials: Mapping[str, Any] | None,
    name: str | None = None,
) -> str:
    """The text of the secrets file as it was, with the key that was typed (`identities`: the present one
    first, then former ones) for the Pi called `name`, and the new access to Drive. `others`: recipients of
    people who have a key of their own, which does not take the place of the operator's. Raises
    `SettingsError`.
    """
    values: dict[tuple[str, ...], Any] = {}
    keys, drive = _places(text, name)
    try:
        known = checked(text, "the secrets in the backup", name).encryption
        held = [one.get_secret_value() for one in (known.identity, *known.old_identities)]
    except SettingsError:
        # With an offline key the backup's secrets lack it; whatever else is wrong is found at the end.
        held = []
    of_another = bool(held) and crypto.recipient_of(identities[0]) in others
    if identities[0] not in held and not of_another:
        values |= _keys(identities, keys)
    if credentials is not None:
        values[*drive, "credentials"] = dict(credentials)
    text = with_values(text, values)
    checked(text, "the secrets in the backup", name)
    return text


def rebuilt(
    env: str, host: str, kit: Kit, identities: Sequence[str], credentials: Mapping[str, Any] | None
) -> str:
    """A new secrets file's text, with Loomio's own secrets out of `.env`. Raises `SettingsError`."""
    variables = parse_env(env)
    missing = sorted(name for name in _APP.keys() - _OPTIONAL if not variables.get(name))
    if missing:
        raise SettingsError(
            f"The .env in the backup lacks {', '.join(missing)}, so the secrets cannot be made again. "
            "Nothing was changed. The passphrase of the former secrets file would be needed."
        )
    values: dict[tuple[str, ...], Any] = {
        ("app", key): variables[name] for name, key in _APP.items() if variables.get(name)
    }
    values |= _keys(identities)
    values["encryption", "old_signing_public_keys"] = [kit.signing_public_key]
    if credentials is not None:
        values["drive", "credentials"] = dict(credentials)
    text = new_text([host])
    made = crypto.recipient_of(checked(text, "x").encryption.identity.get_secret_value())
    # The comment above the identity names its public half.
    text = with_values(text, values).replace(made, crypto.recipient_of(identities[0]))
    checked(text, "the secrets made again")
    return text


def _places(text: str, name: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The key paths of the groups encryption and drive for the Pi called `name`, in a text that may be
    incomplete.
    """
    data = parsed(text, "the secrets in the backup", secret=True).data
    own: Any = data
    for part in ("hosts", name, "secrets"):
        own = own.get(part) if isinstance(own, dict) else None
    has = own if isinstance(own, dict) else {}
    above = ("hosts", name or "", "secrets")
    encryption, drive = ((*above, group) if group in has else (group,) for group in ("encryption", "drive"))
    return encryption, drive


def _keys(identities: Sequence[str], group: tuple[str, ...] = ("encryption",)) -> dict[tuple[str, ...], Any]:
    present, *former = identities
    values: dict[tuple[str, ...], Any] = {(*group, "identity"): present}
    if former:
        values[*group, "old_identities"] = former
        values[*group, "keyring"] = keyring.make(former, [crypto.recipient_of(present)])
    return values
