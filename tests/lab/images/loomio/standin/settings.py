"""The environment the image is given by compose, checked before anything else happens."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

# Without these the real application does not boot: sessions and attachment links depend on the first two.
REQUIRED = ("SECRET_COOKIE_TOKEN", "DEVISE_SECRET", "CANONICAL_HOST")


class SettingsError(Exception):
    """A variable is missing; the text is the whole message."""


@dataclass(frozen=True)
class Settings:
    """database_url: a libpq URL. redirect_to_ssl: what no proxy marked as https is sent there."""

    database_url: str
    canonical_host: str
    site_name: str
    redirect_to_ssl: bool


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Raises SettingsError naming every variable that is missing or empty."""
    missing = [name for name in REQUIRED if not environment.get(name)]
    url = environment.get("DATABASE_URL", "")
    if not url and not environment.get("POSTGRES_PASSWORD"):
        missing.append("DATABASE_URL")
    if missing:
        raise SettingsError(f"cannot start: {', '.join(missing)} not set")
    return Settings(
        database_url=url or _url_from_parts(environment),
        canonical_host=environment["CANONICAL_HOST"],
        site_name=environment.get("SITE_NAME", "Loomio"),
        # As in the real image, presence enables: FORCE_SSL=0 is still on.
        redirect_to_ssl="FORCE_SSL" in environment and "ASSUME_SSL" not in environment,
    )


def _url_from_parts(environment: Mapping[str, str]) -> str:
    user = quote(environment.get("POSTGRES_USER") or "postgres", safe="")
    password = quote(environment["POSTGRES_PASSWORD"], safe="")
    host = environment.get("POSTGRES_HOST") or "db"
    name = quote(environment.get("POSTGRES_DB") or "loomio_production", safe="")
    return f"postgresql://{user}:{password}@{host}/{name}"
