"""Which version of the stack runs: what the settings name, or after a recovery what the backup was made by.

An app that starts on older data brings its schema up to date at once, and nothing leads back. On the evening
of a recovery nobody wants that, so the version that made the backup is put in place, and stays until somebody
says otherwise: a record on the Pi holds it against what the settings name.
"""

import dataclasses
import json
import re
import shlex
from typing import Any

from pyinfra import logger
from pyinfra.api.host import Host
from pyinfra.operations import files

from deploys.facts.version import Kept, KeptVersionFact, Named
from deploys.steps.paths import KEPT_VERSION
from deploys.steps.preflight import Target
from inventories.settings import Settings
from inventories.stack_settings import Layout

_GONE = re.compile(r"manifest unknown|manifest for .* not found|repository does not exist|: not found$")
_MAJOR = re.compile(r"\b(\d+)(?:\.\d+|beta|rc|\b)")


def in_force(host: Host, asked: Target) -> Target:
    """What to put on the Pi for what is asked for: the same, or with the version that a recovery kept.

    The record goes as soon as the settings name another version than they did then, or with an update.
    """
    kept = host.get_fact(KeptVersionFact, path=KEPT_VERSION)
    if kept is None:
        return asked
    if kept.instead_of == named(asked.settings):
        for sentence in sentences(kept):
            logger.warning(f"{host.print_prefix}{sentence}")
        return running(asked, kept.runs)
    # Before anything else: a setup that ends half-way must not put the older version back later.
    files.file(name="Let go of the version that the recovery kept", path=KEPT_VERSION, present=False)
    return asked


def expected(host: Host, asked: Target) -> Target:
    """What `in_force` would put on the Pi; changes nothing."""
    kept = host.get_fact(KeptVersionFact, path=KEPT_VERSION)
    keeps = kept is not None and kept.instead_of == named(asked.settings)
    return running(asked, kept.runs) if kept is not None and keeps else asked


def named(settings: Settings) -> Named:
    """The version that the settings name."""
    stack = settings.stack
    return Named(stack.ref, stack.images.loomio, stack.images.redis)


def running(target: Target, version: Named) -> Target:
    """The target with that version in place of what its settings name."""
    stack = target.settings.stack
    images = stack.images.model_copy(update={"loomio": version.loomio, "redis": version.redis})
    changed = stack.model_copy(update={"ref": version.ref, "images": images})
    settings = target.settings.model_copy(update={"stack": changed})
    return dataclasses.replace(target, settings=settings)


def of_backup(
    asked: Named, stack: dict[str, Any], layout: Layout, *, settings_commit: str, has_commit: bool
) -> Named:
    """The version that a backup was made by; what it does not say, or cannot be had, is as the settings say.

    `stack`: as the manifest has it; `settings_commit`: what `asked.ref` stands for; `has_commit`: the clone
    has the backup's commit with a compose file in it.
    """
    commit = stack.get("commit")
    images = stack.get("images") or {}
    return Named(
        ref=commit if commit and has_commit and commit != settings_commit else asked.ref,
        loomio=pullable(images.get(layout.app)) or asked.loomio,
        redis=pullable(images.get(layout.cache)) or asked.redis,
    )


def pullable(image: dict[str, Any] | None) -> str | None:
    """What an image of a manifest can be pulled by. A container that outlived its image's name knows only an
    id.
    """
    if image is None:
        return None
    reference = str(image.get("reference") or "")
    if reference and not re.fullmatch(r"(sha256:)?[0-9a-f]{12,64}", reference):
        return reference
    return next(iter(image.get("digests") or []), None)


def exact(reference: str, stack: dict[str, Any], layout: Layout) -> str | None:
    """The app's very image, `NAME@sha256:…`: its tag may have moved on since. None where it is not known."""
    image = (stack.get("images") or {}).get(layout.app) or {}
    if reference != image.get("reference") or "@" in reference:
        return None
    return next(iter(image.get("digests") or []), None)


def is_gone(why: str) -> bool:
    """Whether a registry says that there is no such image, and not that it cannot be asked just now."""
    return _GONE.search(why) is not None


def sentences(kept: Kept) -> list[str]:
    """What people are told for as long as it lasts."""
    pairs = [
        ("stack.images.loomio", kept.instead_of.loomio, kept.runs.loomio),
        ("stack.images.redis", kept.instead_of.redis, kept.runs.redis),
        ("stack.ref", kept.instead_of.ref, kept.runs.ref),
    ]
    differing = [pair for pair in pairs if pair[1] != pair[2]]
    asked = ", ".join(f"{value} ({key})" for key, value, _ in differing)
    runs = ", ".join(f"commit {value[:12]}" if key == "stack.ref" else value for key, _, value in differing)
    return [
        f"The settings name {asked}; {kept.backup} was made by {runs}, and that is what runs. Nothing is "
        "updated by itself after a recovery. When all is well, update with: loomio-pi deploy update"
    ]


def record(kept: Kept) -> str:
    """The file's text."""
    return json.dumps(dataclasses.asdict(kept), indent=1) + "\n"


def keep_script(kept: Kept | None) -> str:
    """A shell command that writes the record, or removes it. It holds no secret."""
    file = shlex.quote(KEPT_VERSION)
    if kept is None:
        return f"rm -f {file}"
    folder = shlex.quote(KEPT_VERSION.rpartition("/")[0])
    text = shlex.quote(record(kept))
    return f"mkdir -p {folder} && printf %s {text} > {file}.new && sync {file}.new && mv -f {file}.new {file}"


def database_problem(target: Target, answer: dict[str, Any], says: str) -> str | None:
    """Why the database image of the settings cannot take the backup in; `says`: its `postgres --version`."""
    found = _MAJOR.search(says)
    major = int(found[1]) if found else None
    needed = int(answer["server_version_num"]) // 10000
    if major is None or major >= needed:
        return None
    service = target.settings.stack.layout.database
    made_by = ((answer["stack"].get("images") or {}).get(service) or {}).get(
        "reference"
    ) or f"postgres:{needed}"
    return (
        f"{answer['backup']} was made by PostgreSQL {answer['postgresql_version']}, and "
        f"{target.settings.stack.images.postgres} (stack.images.postgres) is PostgreSQL {major}, which is "
        "older and cannot read it. Nothing was started or restored; the backups are untouched. Put this into "
        f"the settings, and run the same command again:  stack: {{images: {{postgres: '{made_by}'}}}}"
    )
