"""Loomio's hourly chores, which images before 3.1 leave to others: whether, and by which units. Pure."""

import re

from deploys.steps.paths import HOURLY_SERVICE, HOURLY_TIMER
from deploys.steps.templates import render
from inventories.settings import Settings

UNITS = (HOURLY_SERVICE, HOURLY_TIMER)
#: From this version on Loomio has a queue of its own, which the worker runs.
OWN_QUEUE = (3, 1)


def needed(settings: Settings) -> bool:
    """Whether somebody outside of Loomio has to run its chores: polls close by them."""
    if settings.stack.hourly_tasks is not None:
        return settings.stack.hourly_tasks
    found = image_version(settings.stack.images.loomio)
    return found is not None and found < OWN_QUEUE


def image_version(reference: str) -> tuple[int, int] | None:
    """The version in an image's tag; None where it has none (`latest`, `stable`, a digest alone)."""
    found = re.search(r":v?(\d+)\.(\d+)(?![\w/])", reference.partition("@")[0])
    return (int(found[1]), int(found[2])) if found else None


def contents(settings: Settings) -> dict[str, str]:
    """The text of both units by name."""
    layout = settings.stack.layout
    return {
        HOURLY_SERVICE: render(
            "loomio-hourly-tasks.service.j2",
            directory=settings.stack.directory,
            project=layout.project,
            app=layout.app,
        ),
        HOURLY_TIMER: render("loomio-hourly-tasks.timer.j2"),
    }
