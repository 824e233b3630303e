"""No secret is dead either: each changes what comes to lie on the Pi, or a verb that is tested needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from inventories.new_secrets import new_text
from inventories.secrets import Secrets, checked
from loomio_backup.encryption import crypto, keyring

from . import deploys_desk as desk
from .test_settings_alive import DRIVE, everything, leaves, nested

TEXT = new_text([desk.HOST])
OTHER: dict[str, Any] = yaml.safe_load(new_text([]))
FORMER = crypto.generate_identity()
DEPLOY_KEY = (
    Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
)
MAIL = {"server": "mail.example.org", "from": "pi@example.org", "to": "me@example.org"}
BASE: dict[str, Any] = desk.merged(
    yaml.safe_load(TEXT),
    {"drive": {"credentials": DRIVE}, "app": {"smtp_password": "w"}, "alerts": {"smtp": MAIL}},
)
#: Another value for every secret, with what else has to change then.
OTHERS: dict[str, dict[str, Any]] = {
    **{
        f"app.{name}": nested(f"app.{name}", "another")
        for name in (
            *("postgres_password", "devise_secret", "secret_cookie_token", "secret_key_base"),
            *("rails_inbound_email_password", "smtp_password"),
        )
    },
    **{
        f"app.vapid_{half}_key": {
            "app": {name: OTHER["app"][name] for name in ("vapid_public_key", "vapid_private_key")}
        }
        for half in ("public", "private")
    },
    "encryption.identity": nested("encryption.identity", FORMER),
    "encryption.signing_key": nested("encryption.signing_key", OTHER["encryption"]["signing_key"]),
    "encryption.legacy_passphrase": nested("encryption.legacy_passphrase", "another"),
    "encryption.keyring": nested(
        "encryption.keyring",
        keyring.make([FORMER], [crypto.recipient_of(BASE["encryption"]["identity"])]),
    ),
    "encryption.old_signing_public_keys": nested(
        "encryption.old_signing_public_keys", [crypto.signing_public_key(OTHER["encryption"]["signing_key"])]
    ),
    "stack.deploy_key": nested("stack.deploy_key", DEPLOY_KEY),
    "stack.tunnel_token": nested("stack.tunnel_token", "another"),
    "drive.credentials": nested("drive.credentials", {**DRIVE, "refresh_token": "another"}),
    "alerts.urls": nested("alerts.urls", ["ntfy://ntfy.example.org/another"]),
    "alerts.ping_url": nested("alerts.ping_url", "https://ping.example.org/another"),
    "alerts.smtp.server": nested("alerts.smtp.server", "another.example.org"),
    "alerts.smtp.port": nested("alerts.smtp.port", 465),
    "alerts.smtp.use_ssl": nested("alerts.smtp.use_ssl", True),
    "alerts.smtp.username": nested("alerts.smtp", {"username": "another", "password": "words"}),
    "alerts.smtp.password": nested("alerts.smtp", {"username": "another", "password": "others"}),
    "alerts.smtp.from": nested("alerts.smtp.from", "another@example.org"),
    "alerts.smtp.to": nested("alerts.smtp.to", "another@example.org"),
    "hosts.*.secrets": nested("hosts.*.secrets", {"app": OTHER["app"]}),
}
#: What the Pi never gets as such: the test that goes through the verb, and would not pass without.
OPERATOR_ONLY = {
    "encryption.old_identities": "test_secrets_rotate.py",
    "drive.manager_credentials": "test_console_prune.py",
    "hosts.*.sudo_password": "test_console_doctor.py",
}


def secrets(more: dict[str, Any]) -> Secrets:
    return checked(yaml.safe_dump(desk.merged(BASE, more)), "x", desk.HOST)


def test_the_table_has_every_secret() -> None:
    assert sorted([*OTHERS, *OPERATOR_ONLY]) == sorted(leaves(Secrets))


@pytest.mark.parametrize("key", OTHERS)
def test_each_secret_changes_something(tmp_path: Path, key: str) -> None:
    before = everything(tmp_path, secrets({}))
    assert everything(tmp_path, secrets(OTHERS[key])) != before


@pytest.mark.parametrize("key", OPERATOR_ONLY)
def test_what_only_the_operator_s_machine_needs_is_used_there(key: str) -> None:
    assert key.rpartition(".")[2] in (Path(__file__).parent / OPERATOR_ONLY[key]).read_text()
