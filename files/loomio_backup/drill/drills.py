"""What drills found, in the catalogue's table `drills`: the proof that retention, `status`, alerts and the
recovery report build on.
"""

from datetime import timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.errors import CatalogueError

KEPT = 100
"""So many drills of a store are remembered, and older ones as long as they prove a backup."""

LONGEST = timedelta(hours=24)
"""Its unit ends a drill that takes longer: it hangs, or the line is too slow to prove anything in time."""

Scope = Literal["whole", "sample"]


class Drill(BaseModel):
    """One drill: the restore of one backup, from one store only, for proof. Times are UTC, `phases` seconds.

    scope: with `sample` only some of the files were fetched, so the backup is not proven by it. problems:
    sentences; none when it passed. tables, rows: compared with the manifest. files, bytes: of app-data, read
    and compared. objects_fetched, bytes_fetched: as stored. attachments: rows whose file was looked for;
    attachments_missing: those without one, the manifest's own baseline included. database_bytes, users,
    latest_activity: answers of the copy; None where it could not be asked. app: `answered`, or `skipped: …`
    or `failed: …` with the reason; None when it did not come to that.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    store: str
    backup: str
    snapshot_at: AwareDatetime
    started_at: AwareDatetime
    finished_at: AwareDatetime
    scope: Scope
    passed: bool
    problems: list[str] = []
    phases: dict[str, float] = {}
    tables: int = 0
    rows: int = 0
    files: int = 0
    bytes: int = 0
    objects_fetched: int = 0
    bytes_fetched: int = 0
    attachments: int = 0
    attachments_missing: int = 0
    database_bytes: int | None = None
    users: int | None = None
    latest_activity: AwareDatetime | None = None
    app: str | None = None

    @property
    def proves(self) -> bool:
        """Whether the whole backup is known to come back."""
        return self.passed and self.scope == "whole"


def record(catalogue: Catalogue, drill: Drill) -> None:
    """Remember a drill; old ones of its store are forgotten."""
    with catalogue.transaction() as database:
        database.execute(
            "INSERT OR REPLACE INTO drills (store, backup, finished_at, passed, report) "
            "VALUES (?, ?, ?, ?, ?)",
            (
                drill.store,
                drill.backup,
                drill.finished_at.isoformat(),
                int(drill.passed),
                drill.model_dump_json(),
            ),
        )
        _forget_old(catalogue, drill.store)


def _forget_old(catalogue: Catalogue, store: str) -> None:
    """Forget all but the newest, and what shows that a backup which is still there is verified: without that,
    retention would let it go.
    """
    proven = verified(catalogue, store)
    old = catalogue.database.execute(
        "SELECT backup, finished_at, passed, EXISTS (SELECT 1 FROM manifests WHERE name = backup) "
        "FROM drills WHERE store = ? ORDER BY finished_at DESC LIMIT -1 OFFSET ?",
        (store, KEPT),
    ).fetchall()
    catalogue.database.executemany(
        "DELETE FROM drills WHERE store = ? AND backup = ? AND finished_at = ?",
        [
            (store, backup, finished_at)
            for backup, finished_at, passed, known in old
            if not (known and passed and backup in proven)
        ],
    )


def load(catalogue: Catalogue, store: str | None = None) -> list[Drill]:
    """The drills of a store, or of all, newest first. Raises CatalogueError."""
    rows = catalogue.database.execute(
        "SELECT report FROM drills WHERE report IS NOT NULL AND (?1 IS NULL OR store = ?1) "
        "ORDER BY finished_at DESC",
        (store,),
    )
    try:
        return [Drill.model_validate_json(report) for (report,) in rows.fetchall()]
    except ValidationError as error:
        raise CatalogueError(
            f"the catalogue holds a drill that this program cannot read ({error.error_count()} problems). "
            "The backups are untouched. Was an older version installed over a newer one? Install that again."
        ) from error


def verified(catalogue: Catalogue, store: str) -> set[str]:
    """The backups whose last whole drill from this store passed. A sample proves no backup, but one that
    failed disproves it until a whole one passes.
    """
    rows = catalogue.database.execute(
        "SELECT backup, passed FROM drills WHERE store = ? AND "
        "(NOT passed OR coalesce(json_extract(report, '$.scope'), 'whole') = 'whole') ORDER BY finished_at",
        (store,),
    )
    return {backup for backup, passed in dict(rows.fetchall()).items() if passed}
