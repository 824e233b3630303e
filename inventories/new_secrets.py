"""A new secrets file's text: every key and password generated, every key explained."""

import base64
import secrets
from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from loomio_backup.encryption import crypto


def new_text(hosts: Iterable[str]) -> str:
    """YAML with fresh secrets, for the Pis that the settings call `hosts`."""
    identity = crypto.generate_identity()
    signing_key, _ = crypto.generate_signing_key()
    vapid_private, vapid_public = _vapid_pair()
    return _TEMPLATE.format(
        identity=identity,
        recipient=crypto.recipient_of(identity),
        signing_key=signing_key,
        postgres_password=secrets.token_hex(32),
        devise_secret=secrets.token_hex(32),
        secret_cookie_token=secrets.token_hex(32),
        secret_key_base=secrets.token_hex(64),
        rails_inbound_email_password=secrets.token_hex(32),
        vapid_public=vapid_public,
        vapid_private=vapid_private,
        hosts="\n".join(_HOST.format(host=host) for host in hosts) or "  {}",
    )


def _vapid_pair() -> tuple[str, str]:
    """(private, public) of a P-256 key as Web Push writes them: RFC 8292, url-safe base64 without padding."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_numbers().private_value.to_bytes(32, "big")
    public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return _text(private), _text(public)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


_HOST = """\
  {host}:
    # What sudo asks for on the Pi; empty where it asks for nothing.
    sudo_password:"""

_TEMPLATE = """\
# The secrets of your Pi. This text is encrypted with your passphrase; change it with: loomio-pi secrets edit
# Keep a copy of the encrypted file away from the Pi and from this computer: without it, or without the
# passphrase, no backup can be opened.

encryption:
  # Opens every backup. Never change it by hand: older backups would stay closed. For a new one there is
  # loomio-pi secrets rotate-key. Its public half is
  # {recipient}
  identity: {identity}
  # Signs the list of what each backup holds, so that nobody can slip in another one.
  signing_key: {signing_key}
  # Only after the older backup scripts: their BACKUP_ENCRYPTION_KEY, which opens .sql.enc files.
  legacy_passphrase:

# Loomio's own secrets. After the first setup leave them alone: sessions, attachment links and push
# subscriptions depend on them, and the database keeps the password that it was made with.
app:
  postgres_password: {postgres_password}
  devise_secret: {devise_secret}
  secret_cookie_token: {secret_cookie_token}
  secret_key_base: {secret_key_base}
  rails_inbound_email_password: {rails_inbound_email_password}
  vapid_public_key: {vapid_public}
  vapid_private_key: {vapid_private}
  # The password that belongs to stack.smtp.username in the settings.
  smtp_password:

# Only where the settings ask for them.
stack:
  # For a private repository: the private half of an SSH key without passphrase, all of its lines, after |
  deploy_key:
  # For stack.parts.tunnel: the token that Cloudflare shows for the tunnel.
  tunnel_token:

drive:
  # Access to Google Drive: paste the whole JSON (authorized user or service account) after the colon, such as
  # {{"type": "authorized_user", "client_id": "…", "client_secret": "…", "refresh_token": "…"}}
  # (loomio-pi authorize writes it for you, for an ordinary Google account).
  credentials:
  # Only with backup.drive.append_only: an account that may delete in the shared drive, for loomio-pi prune.
  # The Pi does not get it.
  manager_credentials:

# Who is told when the backups are in danger. Try it out on the Pi with: loomio-backup alert-test
alerts:
  # Apprise addresses (https://github.com/caronc/apprise/wiki), such as [ntfys://ntfy.sh/a-name-nobody-guesses]
  urls: []
  # A dead man's switch: a web address that is called at every look at the backups, as long as all is well.
  # Whoever is behind it speaks up when the calls end, because the Pi is dead or has no network.
  ping_url:
  # Or a mail account: {{server: smtp.example.org, port: 587, username: …, password: …, from: …, to: …}}
  smtp:

hosts:
{hosts}
"""
