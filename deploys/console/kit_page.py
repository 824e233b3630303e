"""The recovery kit as a page: one HTML file that asks nothing of any network, to be printed."""

import os
from itertools import groupby
from pathlib import Path

import segno
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from deploys.console.kit_content import MEANINGS, Kit
from deploys.console.kit_lines import Line
from deploys.steps.paths import TEMPLATES
from inventories.secrets import Secrets
from inventories.settings import Settings, display
from inventories.validation import SettingsError
from loomio_backup import clock
from loomio_backup.version import VERSION

# Apart from deploys.steps.templates, which writes no HTML and so escapes nothing.
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    undefined=StrictUndefined,
    autoescape=True,
    trim_blocks=True,
    keep_trailing_newline=True,
)


def page(settings: Settings, secrets: Secrets, *, with_key: bool) -> str:
    """The page's HTML: a secret."""
    kit = Kit.of(settings, secrets, with_key=with_key)
    name = next(iter(settings.hosts))
    host, local = settings.hosts[name], settings.backup.local
    known = secrets.drive.credentials if kit.drive else None
    lines = kit.lines()
    return _ENVIRONMENT.get_template("kit.html.j2").render(
        canonical_host=settings.stack.canonical_host,
        printed=f"{clock.now():%Y-%m-%d}",
        version=VERSION,
        with_key=with_key,
        key_option="" if with_key else " --identity FILE-WITH-THE-KEY",
        offline_key=settings.encryption.offline_key,
        drive=kit.drive is not None,
        google_account=kit.client is not None,
        service_account=known["client_email"] if known and kit.client is None else None,
        name=name,
        user=host.user,
        address=host.address,
        port=host.port,
        repository=settings.stack.repository,
        ref=settings.stack.ref,
        store=local.path if local else None,
        groups=_groups(lines),
        facts=_facts(kit, settings),
        qr=_qr(lines),
    )


def write(path: Path, text: str) -> None:
    """Make the file, for its owner only; what is there already is left alone. Raises `SettingsError`."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise SettingsError(
            f"{display(path)} exists already and was left as it is. If it is an older kit, delete it: it "
            "holds the key. Then run the same again, or name another file with --output."
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{display(path)} cannot be made: {error.strerror}. Nothing was written. Name another file with "
            "--output."
        ) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except BaseException:
        path.unlink()
        raise


def _groups(lines: list[Line]) -> list[dict[str, object]]:
    return [
        {"letter": letter, "meaning": MEANINGS[letter], "lines": list(found)}
        for letter, found in groupby(lines, key=lambda line: line.label[0])
    ]


def _qr(lines: list[Line]) -> Markup:
    # Error correction M: a fold or a stain does not matter. Without the namespace, it looks like a request.
    code = segno.make("\n".join(map(str, lines)), error="m", micro=False)
    # Not escaped: it is made here, of nothing but numbers.
    return Markup(code.svg_inline(scale=1, omitsize=True, svgclass=None, lineclass=None))  # noqa: S704


def _facts(kit: Kit, settings: Settings) -> list[tuple[str, str]]:
    """What the lines say in a form that other programs take, without the key."""
    found = [
        ("Loomio's address", settings.stack.canonical_host),
        ("The Pi", next(iter(settings.hosts))),
        ("Signing key, public half", kit.signing_public_key),
    ]
    if kit.client is not None:
        found += [
            ("OAuth client id", kit.client.client_id),
            ("OAuth client secret", kit.client.client_secret),
        ]
    if kit.drive is not None:
        shown = {
            "folder_id": "Drive folder, by its id",
            "folder_name": "Drive folder, by its name",
            "shared_drive_id": "Shared drive",
            "subject": "Acts for",
        }
        values = {name: getattr(kit.drive, name) for name in shown}
        if values["folder_id"] is not None:
            del values["folder_name"]
        found += [(shown[name], value) for name, value in values.items() if value is not None]
    return found
