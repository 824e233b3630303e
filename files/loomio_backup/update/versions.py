"""May this version become that one? Pure, from the names of images alone.

Loomio's migrations are cleared up now and then: from an older version one has to stop at certain versions on
the way, each of which brings the schema to where the next one can take it over.
"""

import re

STEPPING_STONES = ("2.4.2", "2.8.8", "2.11.13", "2.15.4", "2.17.1", "3.2.0", "3.3.0")
"""The versions that no update may jump over, as Loomio's own instructions for upgrades list them (README of
github.com/loomio/loomio-deploy; of github.com/loomio/loomio, deploy/, today).
"""
Version = tuple[int, ...]


def version_of(image: str) -> Version | None:
    """The version that an image's tag names; None for one that names none (latest, stable, a digest)."""
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    found = re.fullmatch(r"v?(\d+(?:\.\d+)*)(?:[-+_].*)?", tag)
    return tuple(int(part) for part in found[1].split(".")) if found else None


def refusal(running: str, wanted: str) -> str | None:
    """Why the Loomio image `wanted` must not follow `running`, as sentences; None when it may.

    Where a tag names no version nothing can be said, and the rehearsal has to show it.
    """
    before, after = version_of(running), version_of(wanted)
    if before is None or after is None:
        return None
    if _padded(after) < _padded(before):
        return (
            f"{wanted} is older than {running}, which runs, and an older Loomio cannot read what a newer one "
            "has made of the database. To go back to an older time, restore a backup that the older version "
            "made: sudo loomio-backup list shows them, sudo loomio-backup show NAME says by what each was "
            "made."
        )
    # 3.3 means the newest of 3.3, so nothing of it is before the stone 3.3.0.
    between = (one for one in STEPPING_STONES if _padded(before) < _parsed(one) < _padded(after))
    stone = next(between, None)
    if stone is None:
        return None
    return (
        f"from {running} to {wanted} leads no direct way: Loomio's own instructions stop at {stone} on the "
        f"way. Name that first (stack.images.loomio: {_renamed(wanted, stone)}), update, and then go on."
    )


def major_of(postgres_says: str) -> int | None:
    """The major version out of what `postgres --version` prints."""
    found = re.search(r"\b(\d+)(?:\.\d+|beta|rc|\b)", postgres_says)
    return int(found[1]) if found else None


def _parsed(text: str) -> Version:
    return tuple(int(part) for part in text.split("."))


def _padded(version: Version) -> Version:
    return (*version, 0, 0, 0)[:3]


def _renamed(image: str, version: str) -> str:
    return f"{image.partition('@')[0].rpartition(':')[0]}:{version}"
