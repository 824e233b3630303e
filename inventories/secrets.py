"""The operator's secrets: what the encrypted file holds, and its checks (its bytes: secrets_file.py)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from inventories import checks, git_server
from inventories.overrides import laid_over
from inventories.secret_values import (
    Apprise,
    DeployKey,
    Identity,
    OneLine,
    PublicKey,
    SecretAddress,
    SigningKey,
    unpadded,
)
from inventories.secrets_file import decrypted
from inventories.settings import Settings, display
from inventories.validation import Document, KeyPath, SettingsError, dotted, model_of, parsed
from loomio_backup.encryption import keyring
from loomio_backup.errors import CryptoError

#: What a Pi can have for itself.
_GROUPS = ("encryption", "app", "stack", "drive", "alerts")


class Group(BaseModel):
    """A group of secrets: unknown keys are errors, nothing is converted, no message contains a value."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    def to_json(self) -> str:
        """What pyinfra shows of host data."""
        return "(secret)"


class Encryption(Group):
    """The keys of the backups."""

    identity: Identity = Field(description="the age identity (AGE-SECRET-KEY-1…) that opens the backups")
    signing_key: SigningKey = Field(description="the key that signs manifests, base64 of 32 bytes")
    legacy_passphrase: OneLine | None = Field(
        default=None, description="the BACKUP_ENCRYPTION_KEY of older backups (.sql.enc), one line"
    )
    old_identities: list[Identity] = Field(
        default_factory=list, description="a list of the identities that were used before, newest first"
    )
    keyring: str | None = Field(
        default=None,
        repr=False,
        description="the old identities as an age file for the present one; secrets rotate-key makes it",
    )
    old_signing_public_keys: list[PublicKey] = Field(
        default_factory=list,
        description="a list of the public halves of earlier signing keys, base64 of 32 bytes each",
    )

    @model_validator(mode="after")
    def _keys_belong_together(self) -> "Encryption":
        identity = self.identity.get_secret_value()
        old = [one.get_secret_value() for one in self.old_identities]
        if identity in old or len(set(old)) != len(old):
            raise ValueError("names an identity twice in identity and old_identities")
        if self.keyring is not None:
            try:
                keyring.opened(self.keyring.encode(), [identity], "encryption.keyring")
            except CryptoError:
                raise ValueError("has a keyring that encryption.identity does not open") from None
        return self


class App(Group):
    """What Loomio and its database need."""

    postgres_password: OneLine = Field(description="the database's password, one line")
    devise_secret: OneLine = Field(description="DEVISE_SECRET, one line")
    secret_cookie_token: OneLine = Field(description="SECRET_COOKIE_TOKEN, one line")
    secret_key_base: OneLine = Field(description="SECRET_KEY_BASE, one line")
    rails_inbound_email_password: OneLine = Field(description="RAILS_INBOUND_EMAIL_PASSWORD, one line")
    vapid_public_key: OneLine = Field(description="public half of the VAPID key, url-safe base64 of 65 bytes")
    vapid_private_key: OneLine = Field(
        description="private half of the VAPID key, url-safe base64 of 32 bytes"
    )
    smtp_password: OneLine | None = Field(default=None, description="the mail server's password, one line")

    @model_validator(mode="after")
    def _vapid_pair(self) -> "App":
        private = unpadded(self.vapid_private_key.get_secret_value())
        public = unpadded(self.vapid_public_key.get_secret_value())
        try:
            key = (
                ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())
                if len(private) == 32
                else None
            )
        except ValueError:
            key = None
        if key is None:
            raise ValueError("has a vapid_private_key that is none: expected url-safe base64 of 32 bytes")
        if key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) != public:
            raise ValueError("has a vapid_public_key that does not belong to vapid_private_key")
        return self


class StackSecrets(Group):
    """What the stack needs beside Loomio's own secrets."""

    deploy_key: DeployKey | None = Field(
        default=None, description="the private half of an SSH key without passphrase, all of its lines"
    )
    tunnel_token: OneLine | None = Field(default=None, description="the token of the Cloudflare tunnel")


class Drive(Group):
    """Access to Google Drive."""

    # Not part of repr: host data is printed by pyinfra's debug commands.
    credentials: dict[str, Any] | None = Field(
        default=None, repr=False, description="the JSON of an authorized user or a service account"
    )
    manager_credentials: dict[str, Any] | None = Field(
        default=None,
        repr=False,
        description="the JSON of an account that may delete in the shared drive, for loomio-pi prune",
    )

    @field_validator("credentials", "manager_credentials", mode="after")
    @classmethod
    def _usable(cls, credentials: dict[str, Any] | None) -> dict[str, Any] | None:
        if credentials is None:
            return None
        if "installed" in credentials or "web" in credentials:
            raise ValueError("is an OAuth client only; its authorized_user (with a refresh_token) is needed")
        needed = {
            "authorized_user": ("client_id", "client_secret", "refresh_token"),
            "service_account": ("client_email", "private_key"),
        }.get(str(credentials.get("type")))
        if needed is None:
            raise ValueError("has a type that is neither authorized_user nor service_account")
        for key in needed:
            if not isinstance(credentials.get(key), str) or not credentials[key]:
                raise ValueError(f"lacks {key}")
        return credentials


class AlertMail(Group):
    """A mail account that alerts are sent from."""

    server: Annotated[str, AfterValidator(checks.address)] = Field(description="host name of the mail server")
    port: checks.Port = Field(default=587, description="the mail server's port, 1 to 65535")
    username: checks.Text | None = Field(
        default=None, description="the name to log in to the mail server with"
    )
    password: OneLine | None = Field(default=None, description="the mail account's password, one line")
    use_ssl: bool = Field(
        default=False, description="true (TLS from the start, usually port 465) or false (STARTTLS)"
    )
    sender: Annotated[str, AfterValidator(checks.mail)] = Field(
        alias="from", description="the mail address that alerts come from"
    )
    to: Annotated[str, AfterValidator(checks.mail)] = Field(
        description="the mail address that alerts are sent to"
    )

    @model_validator(mode="after")
    def _login(self) -> "AlertMail":
        if (self.username is None) != (self.password is None):
            raise ValueError("has only one of username and password: give both, or none of them")
        return self


class Alerts(Group):
    """Who is told when backups are in danger, and how."""

    urls: list[Apprise] = Field(
        default_factory=list,
        description="a list of Apprise addresses, such as ntfy://ntfy.sh/topic or tgram://token/chat",
    )
    ping_url: SecretAddress | None = Field(
        default=None, description="a web address that is called as long as all is well"
    )
    smtp: AlertMail | None = Field(default=None, description="server, port, username, password, from, to …")


class HostSecrets(Group):
    """What is secret about one Pi."""

    sudo_password: OneLine | None = Field(default=None, description="the sudo password of the user on the Pi")
    # Checked where it is laid over the rest; not part of repr.
    secrets: dict[str, Any] = Field(
        default_factory=dict,
        repr=False,
        description="whole groups for this Pi alone, such as app: and encryption: with all their keys, or {}",
    )


class Secrets(Group):
    """Everything in the secrets file."""

    encryption: Encryption = Field(description="the keys of the backups: identity, signing_key")
    app: App = Field(description="Loomio's own secrets: postgres_password, devise_secret …")
    stack: StackSecrets = Field(
        default=StackSecrets(), description="the stack's own: deploy_key, tunnel_token"
    )
    drive: Drive = Field(default=Drive(), description="access to Google Drive: credentials")
    alerts: Alerts = Field(default=Alerts(), description="where alerts go: urls, ping_url, smtp")
    hosts: dict[str, HostSecrets] = Field(
        default_factory=dict, description="below a Pi's name from the settings: sudo_password"
    )


def load_secrets(path: Path, passphrase: str, name: str | None = None) -> Secrets:
    """Open and check the secrets file. Raises `SettingsError`, one sentence without any secret in it."""
    return checked(decrypted(path, passphrase), display(path), name)


def checked(text: str, shown: str, name: str | None = None) -> Secrets:
    """The secrets in decrypted text, of the Pi called `name` if it has some of its own; `shown` is what
    messages call the file. What belongs to other Pis is checked, too. Raises `SettingsError`.
    """
    document = parsed(text, shown, secret=True)
    shared = model_of(Secrets, document, secret=True)
    found = {host: _own(document, host) for host, own in shared.hosts.items() if own.secrets}
    return found.get(name or "", shared)


def every(text: str, shown: str) -> list[Secrets]:
    """The shared secrets, and those of each Pi that has some of its own. Raises `SettingsError`."""
    shared = checked(text, shown)
    return [shared, *(checked(text, shown, name) for name, own in shared.hosts.items() if own.secrets)]


def _own(document: Document, host: str) -> Secrets:
    over: KeyPath = ("hosts", host, "secrets")
    for group in document.data["hosts"][host]["secrets"]:
        if group not in _GROUPS:
            there = (*over, group)
            raise SettingsError(
                f"{document.place(there)}: {dotted(there)} is not a known key; known here: "
                f"{', '.join(_GROUPS)}."
            )
    # Whole groups: half of another Pi's keys would be nobody's.
    return model_of(Secrets, laid_over(document, over, depth=0), secret=True)


def group_for(secrets: Secrets, name: str, group: str) -> tuple[str, ...]:
    """The key path of a group as it holds for the Pi called `name`: its own one, or the shared one."""
    own = secrets.hosts.get(name)
    return ("hosts", name, "secrets", group) if own and group in own.secrets else (group,)


def check_apart(every: Mapping[str, Secrets], shown: str) -> None:
    """Refuse two Pis that share Loomio's own keys. Raises `SettingsError`."""
    seen: dict[str, str] = {}
    for name, secrets in every.items():
        key = secrets.app.secret_key_base.get_secret_value()
        if key in seen:
            raise SettingsError(
                f"{shown}: hosts.{name}.secrets.app is missing: {seen[key]} and {name} would share Loomio's "
                "keys, and a sign-in to one would be one to the other. Make keys of its own with: loomio-pi "
                f"secrets add-host {name}"
            )
        seen[key] = name


def check_together(settings: Settings, secrets: Secrets, shown: str) -> None:
    """Refuse settings that need a secret which is not there. Raises `SettingsError`."""
    mend = "Put it in with: loomio-pi secrets edit"
    for name in secrets.hosts:
        if name not in settings.hosts:
            raise SettingsError(
                f"{shown}: hosts.{name} is no Pi of the settings, which name {', '.join(settings.hosts)}. "
                "Correct it with: loomio-pi secrets edit"
            )
    if settings.backup.drive and secrets.drive.credentials is None:
        raise SettingsError(
            f"{shown}: drive.credentials is missing, and the settings have backup.drive turned on. "
            "Get access with: loomio-pi authorize (for a service account, put its JSON in with: loomio-pi "
            "secrets edit)"
        )
    if settings.backup.format == "fernet" and secrets.encryption.legacy_passphrase is None:
        raise SettingsError(
            f"{shown}: encryption.legacy_passphrase is missing, and the settings have backup.format: fernet. "
            f"{mend}"
        )
    if settings.stack.smtp and settings.stack.smtp.username and secrets.app.smtp_password is None:
        raise SettingsError(
            f"{shown}: app.smtp_password is missing, and the settings have stack.smtp.username. {mend}"
        )
    if settings.stack.parts.tunnel and secrets.stack.tunnel_token is None:
        raise SettingsError(
            f"{shown}: stack.tunnel_token is missing, and the settings have stack.parts.tunnel turned on. "
            f"{mend}"
        )
    if secrets.stack.deploy_key and not git_server.over_ssh(settings.stack.repository):
        raise SettingsError(
            f"{shown}: stack.deploy_key is there, and the settings' stack.repository is no address over SSH, "
            "where it could be used. Name the repository as git@SERVER:OWNER/NAME.git in the settings, or "
            "take the key out with: loomio-pi secrets edit"
        )
