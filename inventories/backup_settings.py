"""The settings of the backups: what, when, where to, how long, and who watches over them.

Descriptions complete the words "expected: …" (see settings.py).
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from inventories import checks
from inventories.checks import Cron, PiDirectory, Text, WebAddress, Word
from inventories.group import Group
from loomio_backup import config as agent

Count = Annotated[int, Field(ge=0, le=10_000)]


class RetentionSettings(Group):
    """How many backups a store keeps; the defaults are the agent's own."""

    hourly: Count = Field(default=agent.Retention().hourly, description="a number of hours, 0 for none")
    daily: Count = Field(default=agent.Retention().daily, description="a number of days, 0 for none")
    weekly: Count = Field(default=agent.Retention().weekly, description="a number of weeks, 0 for none")
    monthly: Count = Field(default=agent.Retention().monthly, description="a number of months, 0 for none")
    yearly: Count = Field(default=agent.Retention().yearly, description="a number of years, 0 for none")
    days: Annotated[Count | None, BeforeValidator(checks.off)] = Field(
        default=None, description="a number of days of which every backup is kept, or off"
    )
    space_limit: Annotated[
        Annotated[int, Field(ge=100_000_000)] | None,
        BeforeValidator(checks.size),
        BeforeValidator(checks.off),
    ] = Field(default=None, description="a size of at least 100 MB such as 10 GB, or off")

    def overlaid(self, over: "RetentionSettings") -> "RetentionSettings":
        """These, with what `over` says explicitly in its place."""
        return self.model_copy(update={name: getattr(over, name) for name in over.model_fields_set})

    @property
    def keeps_nothing(self) -> bool:
        """No rule keeps any backup: only the brakes would be left."""
        return not any((self.hourly, self.daily, self.weekly, self.monthly, self.yearly, self.days))


class LocalSettings(Group):
    """The store on the Pi itself, or on a disk plugged into it."""

    path: PiDirectory = Field(default="/var/backups/loomio", description="absolute path on the Pi")
    mount_point: Annotated[str, AfterValidator(checks.mount_point)] | None = Field(
        default=None, description="absolute path where the disk is mounted, such as /mnt/usb"
    )
    retention: RetentionSettings = Field(
        default=RetentionSettings(), description="what differs from backup.retention, as hourly, daily …"
    )

    @model_validator(mode="after")
    def _below_the_mount(self) -> "LocalSettings":
        if self.mount_point is not None and not f"{self.path}/".startswith(f"{self.mount_point}/"):
            raise ValueError(f"has the path {self.path}, which is not below its mount_point")
        return self


class DriveSettings(Group):
    """The store in Google Drive; the credentials are in the secrets file."""

    folder_id: Word | None = Field(default=None, description="the id of a folder, which ends its address")
    folder_name: Text = Field(default="Loomio backups", description="the name of the folder to use or create")
    shared_drive_id: Word | None = Field(default=None, description="the id of a shared drive")
    subject: Annotated[str, AfterValidator(checks.mail)] | None = Field(
        default=None, description="the mail address of the user that a service account acts for"
    )
    schedule: Cron | None = Field(
        default=None, description="minute hour day month weekday in quotes, or empty for every backup"
    )
    retention: RetentionSettings = Field(
        default=RetentionSettings(), description="what differs from backup.retention, as hourly, daily …"
    )
    deletion: Literal["delete", "trash"] = Field(default="delete", description="delete or trash")
    append_only: bool = Field(default=False, description="true (this Pi never deletes in Drive) or false")
    upload_limit: Annotated[
        Annotated[int, Field(ge=1024)] | None, BeforeValidator(checks.rate), BeforeValidator(checks.off)
    ] = Field(default=None, description="a rate such as 500 kB/s or 4 Mbit/s, or off")
    parallel_uploads: Annotated[int, Field(ge=1, le=4)] = Field(
        default=2, description="a number of uploads at the same time, 1 to 4"
    )
    api_root: WebAddress = Field(default="https://www.googleapis.com/", description="root of Google's APIs")
    token_uri: WebAddress = Field(
        default="https://oauth2.googleapis.com/token", description="address of Google's token endpoint"
    )
    auth_uri: WebAddress = Field(
        default="https://accounts.google.com/o/oauth2/v2/auth", description="address of Google's consent page"
    )
    device_uri: WebAddress = Field(
        default="https://oauth2.googleapis.com/device/code",
        description="address where Google hands out codes for machines without a browser",
    )


class BackupSettings(Group):
    """What is backed up, when, and where to."""

    schedule: Cron = Field(
        default="0 * * * *",
        description="minute hour day month weekday in quotes, such as '0 * * * *' or '0 */6 * * *'",
    )
    prune_schedule: Cron = Field(
        default="40 3 * * *", description="minute hour day month weekday in quotes, such as '40 3 * * *'"
    )
    watch_schedule: Cron = Field(
        default="*/15 * * * *", description="minute hour day month weekday in quotes, such as '*/15 * * * *'"
    )
    verify_schedule: Annotated[Cron | None, BeforeValidator(checks.off)] = Field(
        default="30 4 1 * *",
        description="minute hour day month weekday in quotes, such as '30 4 1 * *', or off",
    )
    verify_sample_schedule: Annotated[Cron | None, BeforeValidator(checks.off)] = Field(
        default="30 4 * * 0",
        description="minute hour day month weekday in quotes, such as '30 4 * * 0', or off",
    )
    verify_app: bool = Field(
        default=True, description="true (a drill starts the app against the copy) or false"
    )
    jitter_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        default=60, description="at most so many seconds of random delay, 0 to 3600"
    )
    clock_wait_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        default=300, description="at most so many seconds to wait for the right time, 0 to 3600"
    )
    format: Literal["age", "fernet"] = Field(
        default="age", description="age, or fernet (writes the older .sql.enc files as well)"
    )
    retention: RetentionSettings = Field(
        default=RetentionSettings(), description="how many backups to keep: hourly, daily, weekly …"
    )
    verified_kept: Annotated[int, Field(ge=0, le=100)] = Field(
        default=2, description="a number of backups that proved to restore and are kept, 0 to 100"
    )
    keep_replaced_days: Annotated[
        Annotated[int, Field(ge=1, le=3650)] | None, BeforeValidator(checks.off)
    ] = Field(default=None, description="a number of days, from 1, or off")
    local: Annotated[LocalSettings | None, BeforeValidator(checks.off)] = Field(
        default=LocalSettings(), description="path of a directory on the Pi, or off"
    )
    drive: Annotated[DriveSettings | None, BeforeValidator(checks.off)] = Field(
        default=None, description="the Drive folder's settings ({} for the defaults), or off"
    )
    app_data: list[Literal["storage", "uploads", "files", "plugins", "import", "tmp"]] = Field(
        default=["storage", "uploads", "files", "plugins"],
        description="a list of the stack's volumes: storage, uploads, files, plugins, import, tmp",
    )

    @property
    def stores(self) -> tuple[str, ...]:
        """The stores that are on, by name."""
        return tuple(name for name in ("local", "drive") if getattr(self, name) is not None)

    def retention_of(self, store: LocalSettings | DriveSettings) -> RetentionSettings:
        """What one store keeps: the common rules, with its own in their place."""
        return self.retention.overlaid(store.retention)

    @model_validator(mode="after")
    def _stores(self) -> "BackupSettings":
        if self.local is None and self.drive is None:
            raise ValueError("has no store: turn local or drive on")
        for name, store in (("local", self.local), ("drive", self.drive)):
            if store is not None and self.retention_of(store).keeps_nothing:
                raise ValueError(
                    f"has a retention for {name} that keeps nothing: give one of hourly, daily, weekly, "
                    "monthly, yearly and days a number"
                )
        if len(set(self.app_data)) != len(self.app_data):
            raise ValueError("names a volume twice in app_data")
        return self


class MonitoringSettings(Group):
    """When the watch unit speaks up (whom to, is in the secrets file), and what else may look at it."""

    stale_after_hours: Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(checks.off)] = Field(
        default=None, description="a number of hours, or empty to follow the schedule"
    )
    collapse_percent: Annotated[int, Field(ge=0, le=100)] = Field(
        default=50, description="a percentage, 0 to 100 (0: never)"
    )
    drive_full_days: Count = Field(default=30, description="a number of days, 0 for never")
    reminder_hours: Annotated[int, Field(ge=1)] = Field(default=24, description="a number of hours, from 1")
    prometheus_file: Annotated[str, AfterValidator(checks.prometheus_file)] | None = Field(
        default=None, description="absolute path of a file on the Pi that ends in .prom"
    )
    netdata: bool = Field(default=False, description="true (give our alarms to Netdata) or false")


class EncryptionSettings(Group):
    """Who can open backups."""

    extra_recipients: list[Annotated[str, AfterValidator(checks.recipient)]] = Field(
        default_factory=list, description="a list of age recipients: age1 and 58 more characters each"
    )
    offline_key: bool = Field(
        default=False, description="true (the Pi gets no key that opens backups) or false"
    )
