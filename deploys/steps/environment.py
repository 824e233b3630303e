"""The stack's `.env`, from settings and secrets: pure, so that every character of it can be tested."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from urllib.parse import quote as url_quote

from deploys.steps import dotenv, templates
from deploys.steps.paths import TUNNEL_TOKEN
from inventories.secrets import Secrets
from inventories.settings import Settings

#: Keys that data in the database or in people's browsers depends on: a restore needs the same ones.
APPLICATION_KEYS = (
    "DEVISE_SECRET",
    "SECRET_COOKIE_TOKEN",
    "SECRET_KEY_BASE",
    "VAPID_PUBLIC_KEY",
    "VAPID_PRIVATE_KEY",
)


def render(settings: Settings, secrets: Secrets) -> str:
    """The whole file. A name in `stack.environment` replaces ours; with an empty value it removes ours.

    Raises dotenv.DotenvError for a value that the file cannot hold.
    """
    lines = _Lines(settings.stack.environment)
    text = templates.render("env.j2", set=lines.set, others=lines.others, **_variables(settings, secrets))
    return _spaced(text)


def _variables(settings: Settings, secrets: Secrets) -> dict[str, object]:
    stack = settings.stack
    layout, images = stack.layout, stack.images
    app = secrets.app
    password = app.postgres_password.get_secret_value()
    smtp = stack.smtp
    return {
        "compose_file": compose_file(settings),
        "profiles": ",".join([*stack.parts.on, *stack.profiles]),
        "project": layout.project,
        "env_file": f"{stack.directory}/.env",
        "loomio_image": images.loomio,
        "postgres_image": images.postgres,
        "redis_image": images.redis,
        "part_images": [(f"{part.upper()}_IMAGE", getattr(images, part)) for part in stack.parts.on],
        "metrics_directory": _metrics_directory(settings),
        "tunnel_token_file": TUNNEL_TOKEN if stack.parts.tunnel else None,
        "tunnel_token_mark": _mark(secrets) if stack.parts.tunnel else None,
        "channels_url": f"wss://channels.{stack.canonical_host}" if stack.parts.channels else None,
        "private_app_url": f"http://{layout.app}:3000",
        "site_name": stack.site_name,
        "canonical_host": stack.canonical_host,
        "support_email": stack.support_email,
        "smtp_domain": stack.canonical_host if smtp else None,
        "smtp_server": smtp.server if smtp else None,
        "smtp_port": smtp.port if smtp else None,
        "smtp_username": smtp.username if smtp else None,
        "smtp_password": app.smtp_password.get_secret_value() if smtp and app.smtp_password else None,
        "smtp_auth": smtp.auth if smtp and smtp.username else None,
        "smtp_use_ssl": "1" if smtp and smtp.use_ssl else None,
        "database": layout.database_name,
        "database_user": layout.database_user,
        "postgres_password": password,
        "initdb_args": "--data-checksums" if stack.data_checksums else None,
        "database_url": f"postgresql://{layout.database_user}:{url_quote(password, safe='')}"
        f"@{layout.database}/{layout.database_name}",
        "redis_url": f"redis://{layout.cache}:6379/0",
        "devise_secret": app.devise_secret.get_secret_value(),
        "secret_cookie_token": app.secret_cookie_token.get_secret_value(),
        "secret_key_base": app.secret_key_base.get_secret_value(),
        "rails_inbound_email_password": app.rails_inbound_email_password.get_secret_value(),
        "vapid_public_key": app.vapid_public_key.get_secret_value(),
        "vapid_private_key": app.vapid_private_key.get_secret_value(),
        "vapid_subject": f"mailto:{stack.support_email}",
    }


def compose_file(settings: Settings) -> str:
    """The compose file's place in the clone."""
    stack = settings.stack
    return str(PurePosixPath(stack.subdirectory) / stack.layout.compose_file)


def _metrics_directory(settings: Settings) -> str | None:
    """Where Netdata finds the figures, if not where the compose file has them anyway."""
    file = settings.monitoring.prometheus_file
    return str(PurePosixPath(file).parent) if file and settings.stack.parts.netdata else None


def _mark(secrets: Secrets) -> str | None:
    """Changes when the tunnel's token does and tells nothing of it: so Compose replaces the container."""
    token = secrets.stack.tunnel_token
    return hashlib.sha256(token.get_secret_value().encode()).hexdigest()[:12] if token else None


class _Lines:
    """The two functions that the template calls."""

    def __init__(self, extra: Mapping[str, str]) -> None:
        self.extra = dict(extra)
        self.seen: set[str] = set()

    def set(self, name: str, value: object) -> str:
        """One line; nothing for None or an empty value, because a name that is present is on."""
        self.seen.add(name)
        text = self.extra.get(name, "" if value is None else str(value))
        return dotenv.line(name, text) if text else ""

    def others(self) -> Iterator[str]:
        """The rest of `stack.environment`."""
        names = [name for name in self.extra if name not in self.seen]
        if names:
            yield "# From stack.environment"
        for name in names:
            yield self.set(name, None)


def _spaced(text: str) -> str:
    """One empty line before each comment that opens a section, and no other."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.strip():
            continue
        if line.startswith("#") and lines and not lines[-1].startswith("#"):
            lines.append("")
        lines.append(line)
    return "\n".join(lines) + "\n"
