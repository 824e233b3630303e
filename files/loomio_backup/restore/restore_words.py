"""What a person reads before typing yes: what will come, what will go, and what is kept."""

from collections.abc import Mapping

from loomio_backup import clock
from loomio_backup.catalogue.manifest import Manifest
from loomio_backup.config import Config
from loomio_backup.progress import bytes_text, seconds_text
from loomio_backup.restore import restore_version
from loomio_backup.restore.restore_choice import Wish


def question(config: Config, wish: Wish, manifest: Manifest, live: str | None) -> str:
    """The whole text; `live`: words for the data that is there now."""
    what = " and ".join("the database" if part == "database" else "the files" for part in wish.parts)
    age = seconds_text(max(0.0, (clock.now() - manifest.snapshot_at).total_seconds()))
    lines = [
        "",
        f"{manifest.name}, made on {manifest.host}, data of {manifest.snapshot_at:%Y-%m-%d %H:%M:%S} UTC: "
        f"{manifest.database.rows} rows, {manifest.app_data.files} files "
        f"({bytes_text(manifest.app_data.bytes)}).",
        f"It takes the place of {what} of this Pi. What was written in the last {age} is not in it.",
        *version_lines(manifest, restore_version.running(config.project)),
    ]
    if live is None:
        lines.append("This Pi holds no data of people.")
    elif wish.streaming:
        lines.append(
            f"What is there now ({live}) is backed up first (pinned), and then removed to make room: it is "
            "not kept aside, there is no undo, and Loomio is down until the restore is done."
        )
    else:
        lines.append(
            f"What is there now ({live}) is backed up first (pinned), and kept aside: loomio-backup undo "
            "brings it back. Loomio is down for a moment, when the new takes its place."
        )
    return "\n".join(lines) + "\nType yes to go on: "


def version_lines(manifest: Manifest, here: Mapping[str, str]) -> list[str]:
    """What to say where other versions made the backup than run `here` (images by service), and how."""
    differing = restore_version.differing(manifest, here)
    if not differing:
        return []
    return [
        f"It was made by other versions than run here ({'; '.join(differing)}). A newer Loomio brings "
        "an older database up to date when it starts; an older one may not understand a newer database. To "
        "have the version run that made it, type on your computer, instead of this: loomio-pi deploy restore "
        f"--data backup={manifest.name} --data replace_live_data=yes"
    ]
