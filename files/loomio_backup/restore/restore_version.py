"""Which version of Loomio runs here, and which one made a backup: the newer brings older data up to date the
moment it starts, and nothing but `undo` leads back.
"""

from collections.abc import Mapping

from loomio_backup import docker
from loomio_backup.catalogue.manifest import Manifest
from loomio_backup.progress import say
from loomio_backup.restore.restore_journal import Journal


def running(project: str) -> dict[str, str]:
    """The image of every service that has a container, by the name that it was started with."""
    return {found.service: found.image for found in docker.containers(project) if not found.one_off}


def differing(manifest: Manifest, here: Mapping[str, str]) -> list[str]:
    """Words for each service whose image was another one."""
    return [
        f"{service}: {image.reference}, here {here[service]}"
        for service, image in sorted(manifest.stack.images.items())
        if service in here and here[service] != image.reference
    ]


def settle_start(journal: Journal, manifest: Manifest, app: str, *, leave_other: bool) -> None:
    """Note in a new journal, whose `ran` says what runs here, whether the app is to be started afterwards.
    `app`: the service that knows the schema.

    With `leave_other` it is not where another version made the database: whoever asked brings that one.
    """
    made_by, here = manifest.stack.images.get(app), journal.ran.get(app)
    other = made_by is not None and here is not None and made_by.reference != here
    if leave_other and other and "database" in journal.parts:
        journal.leave_stopped = journal.left_for_version = True


def say_left(journal: Journal, app: str) -> None:
    """Say it where the app is left stopped for that reason."""
    if journal.left_for_version:
        made_by = (journal.stack.get("images") or {}).get(app)
        say(
            f"Loomio is not started: {made_by} made {journal.backup}, and {journal.ran.get(app)} ran here. "
            "Whoever asked for this restore starts the version that made it"
        )


def say_undone(last: Journal, here: Mapping[str, str], app: str) -> None:
    """After an undo: say which version belongs to the data that is live again, if it does not run."""
    ran = last.ran.get(app)
    if ran is not None and here.get(app, ran) != ran:
        say(
            f"mind the version: before that restore {ran} ran here, now it is {here[app]}. To have the one "
            "that the settings name again, type on your computer: loomio-pi deploy update"
        )
