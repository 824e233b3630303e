"""Settings of the Pi itself: what the system step sees to. Descriptions complete the words "expected: …"."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from inventories import checks
from inventories.checks import PiDirectory
from inventories.group import Group


def _locale(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]+\.UTF-8", text):
        raise ValueError("is not a UTF-8 locale")
    return text


def _label(text: str) -> str:
    # A single label: what the Pi calls itself, not where it is.
    if "." in checks.host_name(text) or len(text) > 63 or text != text.lower():
        raise ValueError("is not a single name in lower case")
    return text


def published(value: Any) -> Any:
    """`80` and `51820/udp` → "80/tcp", "51820/udp"."""
    found = re.fullmatch(r"(\d{1,5})(?:/(tcp|udp))?", str(value)) if not isinstance(value, bool) else None
    if found is None or not 1 <= int(found[1]) <= 65535:
        raise ValueError("is not a port")
    return f"{int(found[1])}/{found[2] or 'tcp'}"


#: In bytes; less is of no use to anybody.
Size = Annotated[int, Field(ge=10_000_000), BeforeValidator(checks.size)]


class Journal(Group):
    """How much systemd's journal may take, and where it lies."""

    max_size: Size = Field(default=200_000_000, description="a size of at least 10 MB, such as 200 MB")
    storage: Literal["as_is", "volatile", "persistent"] = Field(
        default="as_is", description="as_is (as the system has it), volatile (in memory) or persistent"
    )


class Swap(Group):
    """A swap file of ours, beside what the system has."""

    size: Size = Field(description="a size of at least 10 MB, such as 1 GB")
    path: PiDirectory = Field(
        default="/var/lib/loomio-pi-stack/swapfile", description="absolute path of the file on the Pi"
    )


class Firewall(Group):
    """What may be reached from the network, beside SSH."""

    allow: list[Annotated[str, BeforeValidator(published)]] = Field(
        default_factory=list, description="a list of ports, such as [80, 443, 51820/udp]"
    )


class DockerData(Group):
    """A disk of its own for all that Docker keeps: images, containers, volumes."""

    path: PiDirectory = Field(description="absolute path of a folder on the disk, such as /mnt/ssd/loomio")
    mount_point: Annotated[str, AfterValidator(checks.mount_point)] = Field(
        description="absolute path where the disk is mounted, such as /mnt/ssd"
    )

    @model_validator(mode="after")
    def _below_the_mount(self) -> "DockerData":
        if not f"{self.path}/".startswith(f"{self.mount_point}/"):
            raise ValueError(f"has the path {self.path}, which is not below its mount_point")
        return self


class SystemSettings(Group):
    """The Pi itself."""

    wait_for_cloud_init_seconds: Annotated[int, Field(ge=0, le=7200)] = Field(
        default=1200, description="seconds from 0 (do not wait) to 7200"
    )
    wait_for_clock_seconds: Annotated[int, Field(ge=0, le=7200)] = Field(
        default=300, description="seconds from 0 (do not look) to 7200"
    )
    set_timezone: bool = Field(default=True, description="true or false")
    hostname: Annotated[str, AfterValidator(_label)] | None = Field(
        default=None, description="a name in lower case without dots, such as loomio"
    )
    locale: Annotated[str, AfterValidator(_locale)] | None = Field(
        default=None, description="a UTF-8 locale such as en_GB.UTF-8"
    )
    unattended_upgrades: bool = Field(default=True, description="true or false")
    journal: Annotated[Journal | None, BeforeValidator(checks.off)] = Field(
        default=Journal(), description="max_size and storage, or off"
    )
    memory_limits: bool = Field(default=True, description="true or false")
    swap: Annotated[Swap | None, BeforeValidator(checks.off)] = Field(
        default=None, description="size and path of a swap file, or off"
    )
    firewall: Annotated[Firewall | None, BeforeValidator(checks.off)] = Field(
        default=None, description="allow, a list of ports, or off"
    )
    ssh_keys_only: bool = Field(default=False, description="true or false")
