"""What this Pi backs up, where to, and for which keys: the agent's configuration.

The deploys build a `Config` and write `dump(config)`; there is no template, so the file cannot hold anything
that the agent does not accept. Secrets are not part of it: they are files of their own (see credentials.py).
"""

from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from loomio_backup.errors import ConfigError

DEFAULT_PATH = Path("/etc/loomio-backup/config.yml")
LABEL = r"[a-z0-9][a-z0-9_-]{0,39}"
"""What a backup can be labelled with: it becomes part of a unit's name as it stands."""


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def zone(name: str) -> tzinfo:
    """A time zone by its name. UTC needs no database of zones, which a minimal Debian lacks."""
    return UTC if name in ("UTC", "Etc/UTC") else ZoneInfo(name)


def _timezone(name: str) -> str:
    try:
        zone(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError("must be a time zone such as Etc/UTC or Europe/Berlin") from error
    return name


def _cron(expression: str) -> str:
    # CronSim wants a moment to start from; for checking the expression any will do.
    try:
        CronSim(expression, datetime.now(UTC))
    except CronSimError as error:
        raise ValueError(f"must be a cron expression such as '0 * * * *' ({error})") from error
    return expression


def _root_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("must start with https:// (or http://)")
    return url if url.endswith("/") else url + "/"


def _recipient(text: str) -> str:
    if not text.startswith("age1"):
        raise ValueError("must be an age recipient (age1…)")
    return text


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
Count = Annotated[int, Field(ge=0)]


class Model(BaseModel):
    """Unknown keys are errors, and a loaded configuration never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Database(Model):
    """The Compose service that runs PostgreSQL, and what to ask it for."""

    service: str = "db"
    name: str = "loomio_production"
    user: str = "loomio"


class AppDataSource(Model):
    """One part of the app-data: a Docker volume (its full name) or a directory, exactly one of the two.

    `name` is the first component of every path that this source has in a backup (`storage/ab/cd/key`).
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    volume: str | None = None
    directory: AbsolutePath | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "AppDataSource":
        if (self.volume is None) == (self.directory is None):
            raise ValueError("needs exactly one of: volume, directory")
        return self


class Retention(Model):
    """How many backups a store keeps: the newest of each of the last `hourly` hours that have one, and so on
    for days, weeks, months and years (in the Pi's time zone); and every backup that is at most `days` days
    older than the newest, when given. Beyond `space_limit_bytes` (all objects of the store together) the
    oldest go first, whatever the rest says.
    """

    hourly: Count = 24
    daily: Count = 7
    weekly: Count = 4
    monthly: Count = 12
    yearly: Count = 3
    days: Count | None = None
    space_limit_bytes: Annotated[int, Field(gt=0)] | None = None


class LocalStore(Model):
    """A folder on this Pi, or on a disk plugged into it: then `mount_point` says what has to be mounted
    before anything is written below it.
    """

    path: AbsolutePath = Path("/var/backups/loomio")
    mount_point: AbsolutePath | None = None
    retention: Retention = Retention()

    @model_validator(mode="after")
    def _below_the_mount(self) -> "LocalStore":
        if self.mount_point is not None and not self.path.is_relative_to(self.mount_point):
            raise ValueError(f"path must be {self.mount_point} (mount_point) or below it")
        return self


class DriveStore(Model):
    """A Google Drive folder, by id or by name; `shared_drive_id` and `subject` are for service accounts.

    `schedule`: a cron expression where Drive is to get fewer backups than are made. `append_only`: this Pi
    never deletes there. `upload_limit_bytes`: per second, over all uploads together.
    """

    folder_id: str | None = None
    folder_name: str = "Loomio backups"
    shared_drive_id: str | None = None
    subject: str | None = None
    api_root: Annotated[str, AfterValidator(_root_url)] = "https://www.googleapis.com/"
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, not a secret
    schedule: Annotated[str, AfterValidator(_cron)] | None = None
    retention: Retention = Retention()
    deletion: Literal["delete", "trash"] = "delete"
    append_only: bool = False
    upload_limit_bytes: Annotated[int, Field(ge=1024)] | None = None
    parallel_uploads: Annotated[int, Field(ge=1, le=4)] = 2


class Stores(Model):
    """Where backups go. At least one of them."""

    local: LocalStore | None = None
    drive: DriveStore | None = None

    @model_validator(mode="after")
    def _at_least_one(self) -> "Stores":
        if self.local is None and self.drive is None:
            raise ValueError("needs at least one store: local, drive")
        return self


class Watch(Model):
    """When the watch unit speaks up. `stale_after_hours`: None follows the schedule. `collapse_percent`:
    rows, files or bytes below so many percent of what the last backups had are an alarm (0: never).
    `drive_full_days`: warn when Drive will be full within so many days. An open alarm is repeated after
    `reminder_hours`.
    """

    stale_after_hours: Annotated[int, Field(gt=0)] | None = None
    collapse_percent: Annotated[int, Field(ge=0, le=100)] = 50
    drive_full_days: Count = 30
    reminder_hours: Annotated[int, Field(gt=0)] = 24
    prometheus_file: AbsolutePath | None = None


class Verify(Model):
    """Drills. `schedule`: when a whole one is due (None: never); `app`: start the app against the copy.
    `offline_key`: this Pi holds no identity, so its drills are started by the operator's machine.
    """

    schedule: Annotated[str, AfterValidator(_cron)] | None = None
    app: bool = True
    offline_key: bool = False


class Update(Model):
    """Updates of the stack. `rehearse`: try the migration out on a restored copy first. `healthy_seconds`: so
    long a new version may take to answer, migration not included.
    """

    rehearse: bool = True
    healthy_seconds: Annotated[int, Field(gt=0)] = 900


class Config(Model):
    """Everything the agent needs to know that is not a secret."""

    host: str
    project: str = "loomio-pi-stack"
    stack_directory: AbsolutePath = Path("/opt/loomio-pi-stack")
    env_file: AbsolutePath | None = None
    database: Database = Database()
    app_service: str = "app"
    cache_service: str = "redis"
    keep_services: list[str] = ["db", "redis"]
    app_data: list[AppDataSource] = []
    config_files: list[AbsolutePath] = []
    stores: Stores
    format: Literal["age", "fernet"] = "age"
    recipients: Annotated[list[Annotated[str, AfterValidator(_recipient)]], Field(min_length=1)]
    signing_public_key: str
    old_signing_public_keys: list[str] = []
    verified_kept: Count = 2
    keep_replaced_days: Annotated[int, Field(ge=1)] | None = None
    clock_wait_seconds: Count = 300
    watch: Watch = Watch()
    verify: Verify = Verify()
    update: Update = Update()
    state_directory: AbsolutePath = Path("/var/lib/loomio-backup")
    credentials_directory: AbsolutePath = Path("/etc/loomio-backup/credentials")
    schedule: Annotated[str, AfterValidator(_cron)] = "0 * * * *"
    timezone: Annotated[str, AfterValidator(_timezone)] = "Etc/UTC"
    application_keys: list[str] = []

    @property
    def stack_env_file(self) -> Path:
        """The stack's `.env`: `env_file`, or the one in the root of the stack's directory."""
        return self.env_file or self.stack_directory / ".env"

    @model_validator(mode="after")
    def _distinct_sources(self) -> "Config":
        names = [source.name for source in self.app_data]
        if len(set(names)) != len(names):
            raise ValueError("app_data: two sources have the same name")
        return self


def load(path: Path) -> Config:
    """Read and check the configuration.

    Raises ConfigError with one sentence: file, key, value, what is expected.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {path} ({error.strerror}). Nothing was done. "
            "Name another file with --config, or run the setup deploy again."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the configuration {path} is not valid YAML: {error}. Nothing was done."
        ) from error
    if not isinstance(document, dict):
        raise ConfigError(f"the configuration {path} is not a mapping of keys to values. Nothing was done.")
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_sentence(error)} Nothing was done.") from error


def dump(config: Config) -> str:
    """The YAML that `load` reads back as an equal Config; defaults are written out, absent parts left out."""
    return yaml.safe_dump(
        config.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True, width=100
    )


def _sentence(error: ValidationError) -> str:
    problems = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "the whole file"
        problems.append(f"{key}: {_value(item['input'])}{item['msg']}")
    return "; ".join(problems) + "."


def _value(value: Any) -> str:
    return f"{value!r}: " if isinstance(value, str | int | float | bool) else ""
