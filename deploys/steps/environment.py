"""The stack's `.env`, from settings and secrets: pure, so that every character of it can be tested."""

from collections.abc import Iterator, Mapping
from urllib.parse import quote as url_quote

from deploys.steps import dotenv, templates
from deploys.steps.paths import DATABASE, DATABASE_USER, PROJECT
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
    app = secrets.app
    password = app.postgres_password.get_secret_value()
    smtp = stack.smtp
    return {
        "compose_file": f"{stack.subdirectory}/docker-compose.yml",
        "project": PROJECT,
        "env_file": f"{stack.directory}/.env",
        "loomio_image": stack.images.loomio,
        "postgres_image": stack.images.postgres,
        "redis_image": stack.images.redis,
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
        "database": DATABASE,
        "database_user": DATABASE_USER,
        "postgres_password": password,
        "database_url": f"postgresql://{DATABASE_USER}:{url_quote(password, safe='')}@db/{DATABASE}",
        "devise_secret": app.devise_secret.get_secret_value(),
        "secret_cookie_token": app.secret_cookie_token.get_secret_value(),
        "secret_key_base": app.secret_key_base.get_secret_value(),
        "rails_inbound_email_password": app.rails_inbound_email_password.get_secret_value(),
        "vapid_public_key": app.vapid_public_key.get_secret_value(),
        "vapid_private_key": app.vapid_private_key.get_secret_value(),
        "vapid_subject": f"mailto:{stack.support_email}",
    }


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
