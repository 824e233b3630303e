"""The operator's settings: the one place that knows every setting, its default and its check.

The file is `inventories/pi.yml` (`LOOMIO_PI_SETTINGS` names another one); `pi.example.yml` beside it explains
every key to people. Nothing in it is secret: see secrets.py. Descriptions complete the words "expected: …".
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from inventories import checks, git_server, several
from inventories.backup_settings import BackupSettings, EncryptionSettings, MonitoringSettings
from inventories.checks import ExistingFile, LocalPath, Name, PiDirectory, Port, Text, WebAddress, Word
from inventories.group import Group
from inventories.overrides import laid_over
from inventories.stack_settings import HostKeys, Images, Layout, Parts
from inventories.system_settings import DockerData, Size, SystemSettings
from inventories.update_settings import UpdateSettings
from inventories.validation import Document, KeyPath, SettingsError, dotted, model_of, parsed
from inventories.variables import HOST_VARIABLE, SETTINGS_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_FILE = ROOT / "inventories" / "pi.yml"
#: Where values are text as it stands there.
_AS_WRITTEN: list[KeyPath] = [
    ("stack", "environment"),
    ("hosts", "*", "settings", "stack", "environment"),
]

_DOCKER_KEY_FINGERPRINT = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"
_SECRET_NAMES = frozenset(
    "POSTGRES_PASSWORD DATABASE_URL DEVISE_SECRET SECRET_COOKIE_TOKEN SECRET_KEY_BASE "
    "RAILS_INBOUND_EMAIL_PASSWORD VAPID_PRIVATE_KEY SMTP_PASSWORD".split()
)
#: What deploys and agent rely on: another value would send backups and restores to the wrong place.
_STRUCTURAL_NAMES = frozenset(
    "COMPOSE_FILE COMPOSE_PROFILES COMPOSE_PROJECT_NAME LOOMIO_ENV_FILE LOOMIO_IMAGE POSTGRES_IMAGE "
    "REDIS_IMAGE TUNNEL_IMAGE TUNNEL_TOKEN_FILE TUNNEL_TOKEN_MARK NETDATA_IMAGE ADMINER_IMAGE CHANNELS_IMAGE "
    "MAIL_IN_IMAGE METRICS_DIRECTORY POSTGRES_DB POSTGRES_USER".split()
)


class Host(Group):
    """One Pi, and how to reach it."""

    address: Annotated[str, AfterValidator(checks.address)] = Field(
        description="host name or IP address of the Pi, such as 192.168.1.20 or loomio.local"
    )
    port: Port = Field(default=22, description="the SSH port, 1 to 65535")
    user: Word = Field(default="pi", description="the user to log in as, who may use sudo")
    ssh_key: ExistingFile | None = Field(default=None, description="path of an SSH private key of yours")
    known_hosts: LocalPath | None = Field(default=None, description="path of a known_hosts file of yours")
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="what differs on this Pi from the rest of the file, such as stack: {ref: v2}, or {}",
    )


class DockerSettings(Group):
    """Where the Docker engine comes from."""

    source: Literal["docker", "debian"] = Field(
        default="docker", description="docker (Docker's own apt repository) or debian (Debian's packages)"
    )
    apt_url: WebAddress = Field(
        default="https://download.docker.com/linux/debian", description="address of Docker's apt repository"
    )
    apt_key: LocalPath = Field(
        default=ROOT / "files" / "docker.asc",
        description="path of the apt repository's public key, on this machine",
    )
    apt_key_fingerprint: Annotated[str, Field(pattern=r"^[0-9A-Fa-f ]{40,50}$")] = Field(
        default=_DOCKER_KEY_FINGERPRINT, description="the key's fingerprint, 40 hexadecimal digits"
    )
    registry_mirrors: list[WebAddress] = Field(
        default_factory=list, description="a list of web addresses of mirrors of Docker Hub"
    )
    insecure_registries: list[Word] = Field(
        default_factory=list, description="a list of registries (host:port) that speak plain HTTP"
    )
    version: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)*$")] | None = Field(
        default=None, description="a version of the engine such as 29.1.3, or empty for the newest"
    )
    check_images: bool = Field(default=True, description="true or false")
    log_size: Size = Field(
        default=10_000_000, description="a size of at least 10 MB for each log file of a container"
    )
    log_files: Annotated[int, Field(ge=1, le=100)] = Field(
        default=3, description="how many log files each container has, 1 to 100"
    )
    data: Annotated[DockerData | None, BeforeValidator(checks.off)] = Field(
        default=None, description="path and mount_point of a disk for Docker's data, or off"
    )


class Smtp(Group):
    """How Loomio sends mail; the password is in the secrets file."""

    server: Annotated[str, AfterValidator(checks.address)] = Field(description="host name of the mail server")
    port: Port = Field(default=587, description="the mail server's port, 1 to 65535")
    username: Text | None = Field(default=None, description="the name to log in to the mail server with")
    auth: Literal["plain", "login", "cram_md5"] = Field(default="plain", description="plain, login, cram_md5")
    use_ssl: bool = Field(
        default=False, description="true (TLS from the start, usually port 465) or false (STARTTLS)"
    )


class StackSettings(Group):
    """The Loomio stack."""

    repository: Annotated[str, AfterValidator(checks.repository)] = Field(
        description="address of the git repository that the Pi clones, such as https://github.com/you/loomio-pi-stack.git"
    )
    ref: Word = Field(description="the tag, branch or commit to check out; a tag or commit is best")
    host_keys: HostKeys = Field(
        default_factory=list,
        description="a list of the git server's public keys, such as ['ssh-ed25519 AAAA…']",
    )
    subdirectory: Annotated[str, AfterValidator(checks.subdirectory)] = Field(
        default="files/stack", description="path of the compose file's directory inside the repository"
    )
    directory: PiDirectory = Field(
        default="/opt/loomio-pi-stack",
        description="absolute path of the clone on the Pi, such as /opt/loomio-pi-stack",
    )
    canonical_host: Annotated[str, AfterValidator(checks.host_name)] = Field(
        description="the host name under which people reach Loomio, without https://"
    )
    support_email: Annotated[str, AfterValidator(checks.mail)] = Field(
        description="the mail address that people can write to"
    )
    site_name: Text = Field(default="Loomio", description="the name of the site, as text")
    images: Images = Field(
        default=Images(), description="loomio, postgres and redis, each with name and tag of an image"
    )
    parts: Parts = Field(default=Parts(), description="the optional parts, each true or false")
    profiles: list[Name] = Field(
        default_factory=list, description="a list of more profiles of the compose file to turn on"
    )
    data_checksums: bool = Field(
        default=True, description="true (a new database notices damaged pages) or false"
    )
    hourly_tasks: bool | None = Field(
        default=None, description="true, false, or empty to go by the version of the Loomio image"
    )
    layout: Layout = Field(
        default=Layout(), description="what another repository calls its services, volumes and database"
    )
    environment: dict[str, str] = Field(
        default_factory=dict, description="more variables for Loomio's .env, as NAME: value"
    )
    smtp: Annotated[Smtp | None, BeforeValidator(checks.off)] = Field(
        default=None, description="server, port, username …, or off"
    )

    @model_validator(mode="after")
    def _known_server(self) -> "StackSettings":
        if problem := git_server.unknown(self.repository, self.host_keys):
            raise ValueError(problem)
        return self

    @field_validator("environment", mode="after")
    @classmethod
    def _names(cls, environment: dict[str, str]) -> dict[str, str]:
        for name, value in environment.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise ValueError(f"has {name!r}, which is not the name of a variable")
            if name in _SECRET_NAMES:
                raise ValueError(f"has {name}, which is a secret: type loomio-pi secrets edit")
            if name in _STRUCTURAL_NAMES:
                raise ValueError(f"has {name}, which follows from other settings or is the same on every Pi")
            if "\n" in value or "\0" in value:
                raise ValueError(f"has a value with a line break, {name}")
        return environment


class PullSettings(Group):
    """The copy of the backups on this machine, which loomio-pi pull makes."""

    directory: LocalPath | None = Field(default=None, description="path of a folder of yours")


class Settings(Group):
    """Everything that the operator decides, for one Pi: the first of `hosts` (the others stand beside it in
    the same file).
    """

    hosts: dict[str, Host] = Field(description="a name for the Pi, and below it its address")
    timezone: Annotated[str, AfterValidator(checks.timezone)] = Field(
        default="Etc/UTC", description="a name of the time zone database, such as Etc/UTC or Europe/Berlin"
    )
    system: SystemSettings = Field(default=SystemSettings(), description="settings of the Pi itself")
    docker: DockerSettings = Field(default=DockerSettings(), description="settings of the Docker engine")
    stack: StackSettings = Field(
        description="settings of the Loomio stack: repository, ref, canonical_host …"
    )
    backup: BackupSettings = Field(default=BackupSettings(), description="settings of the backups")
    monitoring: MonitoringSettings = Field(
        default=MonitoringSettings(), description="settings of the watch over the backups"
    )
    encryption: EncryptionSettings = Field(default=EncryptionSettings(), description="encryption settings")
    update: UpdateSettings = Field(default=UpdateSettings(), description="settings of updates: rehearse …")
    pull: PullSettings = Field(default=PullSettings(), description="settings of loomio-pi pull: directory")

    @property
    def name(self) -> str:
        """What the operator calls this Pi."""
        return next(iter(self.hosts))

    @model_validator(mode="after")
    def _offline_key_alone(self) -> "Settings":
        if self.encryption.offline_key and self.backup.format == "fernet":
            # Whoever can write the older format can also open it: there is only one key.
            raise ValueError(
                "has both encryption.offline_key and backup.format: fernet, whose passphrase would have to "
                "be on the Pi; choose one of them"
            )
        return self

    @field_validator("hosts", mode="after")
    @classmethod
    def _named(cls, hosts: dict[str, Host]) -> dict[str, Host]:
        if not hosts:
            raise ValueError("names no Pi")
        for name in hosts:
            if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", name):
                raise ValueError(
                    f"has {name!r}, which is not a usable name (letters, digits, dots and dashes)"
                )
        return hosts


def settings_file() -> Path:
    """The settings file to use."""
    return Path(os.environ.get(SETTINGS_VARIABLE) or DEFAULT_FILE).absolute()


def load_settings(path: Path, name: str | None = None) -> Settings:
    """Read and check a settings file, and return what it says about the Pi called `name`.

    Without `name` it is the one that LOOMIO_PI_HOST names or else the only one. Raises `SettingsError`, one
    sentence.
    """
    return one_of(load_every(path), display(path), name)


def one_of(found: Mapping[str, Settings], shown: str, name: str | None = None) -> Settings:
    """The settings of the Pi called `name`; see `load_settings`. `shown` is what messages call the file."""
    wanted = name or os.environ.get(HOST_VARIABLE)
    if wanted is None and len(found) == 1:
        return next(iter(found.values()))
    if wanted is None:
        raise SettingsError(
            f"{shown} names {len(found)} Pis ({', '.join(found)}). Nothing was done. Say which one is meant: "
            f"loomio-pi --host {next(iter(found))} and the rest as before."
        )
    if wanted not in found:
        raise SettingsError(
            f"There is no Pi {wanted} in {shown} (hosts: {', '.join(found)}). Nothing was done. Name one "
            "of them."
        )
    return found[wanted]


def load_every(path: Path) -> dict[str, Settings]:
    """The settings of every Pi in a settings file, by its name. Raises `SettingsError`, one sentence."""
    shown = display(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(
            f"The settings file {shown} is not there. Copy inventories/pi.example.yml to it and fill it in "
            f"(loomio-pi init does that with you), or name another file in {SETTINGS_VARIABLE}."
        ) from None
    except OSError as error:
        raise SettingsError(f"The settings file {shown} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise SettingsError(f"The settings file {shown} is not UTF-8 text.") from None
    return settings_in(text, shown, path.absolute().parent)


def settings_in(text: str, shown: str, directory: Path) -> dict[str, Settings]:
    """As `load_every`, for the text of a file in `directory`."""
    document = parsed(text, shown, as_written=_AS_WRITTEN)
    context = {"directory": directory}
    names = _names(document)
    found: dict[str, Settings] = {}
    for name in names:
        one = laid_over(document, ("hosts", name, "settings"))
        # Whoever asks for the settings of one Pi finds it first.
        one.data = {**one.data, "hosts": {name: document.data["hosts"][name], **document.data["hosts"]}}
        about = name if len(names) > 1 else None
        found[name] = model_of(Settings, one, context=context, about=about)
    if not found:
        model_of(Settings, document, context=context)
    several.keep_apart(found, document)
    return found


def _names(document: Document) -> list[str]:
    """The Pis of a file that is not checked yet."""
    hosts = document.data.get("hosts") if isinstance(document.data, dict) else None
    if not isinstance(hosts, dict):
        return []
    for name, host in hosts.items():
        path = ("hosts", name, "settings", "hosts")
        own = host.get("settings") if isinstance(host, dict) else None
        if isinstance(own, dict) and "hosts" in own:
            raise SettingsError(
                f"{document.place(path)}: {dotted(path)} is not possible here; what is said about a Pi "
                f"itself, such as its address, stands below hosts.{name}."
            )
    return list(hosts)


def display(path: Path) -> str:
    """A path as messages show it: relative to where the command was typed, if it is below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
