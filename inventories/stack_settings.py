"""The settings of the stack's optional parts, its images, and what names a stack's repository uses.

Descriptions complete the words "expected: …" (see settings.py).
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from inventories import checks
from inventories.checks import HostKey, Image, Name, Port
from inventories.group import Group

Volume = Literal["storage", "uploads", "files", "plugins", "import", "tmp"]
IMAGE = "name and tag of an image, with its digest after @sha256: or without"


class Images(Group):
    """Container images."""

    loomio: Image = Field(default="loomio/loomio:3.5", description=f"Loomio: {IMAGE}")
    postgres: Image = Field(default="postgres:17", description=f"PostgreSQL: {IMAGE}")
    redis: Image = Field(default="redis:8", description=f"Redis: {IMAGE}")
    tunnel: Image = Field(
        default="cloudflare/cloudflared:2025.11.1", description=f"the tunnel, from 2025.4.0 on: {IMAGE}"
    )
    netdata: Image = Field(default="netdata/netdata:v2.8", description=f"Netdata: {IMAGE}")
    adminer: Image = Field(default="adminer:5", description=f"Adminer: {IMAGE}")
    channels: Image = Field(
        default="loomio/loomio_channel_server:latest", description=f"the channel server: {IMAGE}"
    )
    mail_in: Image = Field(
        default="loomio/haraka-rails-docker:stable", description=f"the mail server for incoming mail: {IMAGE}"
    )


class Parts(Group):
    """The stack's optional parts: profiles of its compose file."""

    tunnel: bool = Field(default=False, description="true (a Cloudflare tunnel) or false")
    netdata: bool = Field(default=False, description="true (Netdata in a container) or false")
    adminer: bool = Field(default=False, description="true (Adminer, for the Pi itself only) or false")
    channels: bool = Field(default=False, description="true (what images before 3.1 need) or false")
    mail_in: bool = Field(default=False, description="true (replies by mail come in on port 25) or false")

    @property
    def on(self) -> list[str]:
        """The parts that are turned on, by their profiles' names."""
        return [name for name in type(self).model_fields if getattr(self, name)]


class Layout(Group):
    """How the stack's repository calls things. The defaults are those of files/stack."""

    compose_file: Annotated[str, AfterValidator(checks.subdirectory)] = Field(
        default="docker-compose.yml", description="name of the compose file, inside stack.subdirectory"
    )
    project: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")] = Field(
        default="loomio-pi-stack", description="the Compose project: lowercase letters, digits, dashes"
    )
    app: Name = Field(default="app", description="the service that answers on the web")
    database: Name = Field(default="db", description="the service that runs PostgreSQL")
    cache: Name = Field(default="redis", description="the service that runs Redis")
    database_name: Name = Field(default="loomio_production", description="the name of the database")
    database_user: Name = Field(default="loomio", description="the user who owns the database")
    database_volume: Name = Field(default="db-data", description="the volume that holds the database")
    volumes: dict[Volume, Name] = Field(
        default_factory=dict,
        description="what another repository calls our volumes, such as {uploads: app-data}",
    )
    web_port: Port = Field(default=3000, description="the port on the Pi where Loomio answers, 1 to 65535")

    @property
    def keep_services(self) -> tuple[str, str]:
        """The services that write nothing of the app's own."""
        return self.database, self.cache

    def volume(self, name: str) -> str:
        """The full name, on the Pi, of the volume that we call `name`."""
        return f"{self.project}_{dict(self.volumes).get(name, name)}"  # type: ignore[call-overload]

    @property
    def web_url(self) -> str:
        """Where the app answers on the Pi."""
        return f"http://127.0.0.1:{self.web_port}"


HostKeys = list[HostKey]
