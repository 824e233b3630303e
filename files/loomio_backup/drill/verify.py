"""`loomio-backup verify`: is the newest backup there, young enough and whole, and does it really come back?

The drill restores it from one store, Drive where there is one, never with the help of another: into a
throwaway database on a network that leads nowhere, compared and asked, and gone afterwards. Nothing live is
touched, no lock is held, and everything has the lowest priority, so backups go on meanwhile.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from loomio_backup import clock
from loomio_backup.access import open_stores
from loomio_backup.backup import reading
from loomio_backup.catalogue import check
from loomio_backup.catalogue.catalogue import Catalogue, Outcome, Summary
from loomio_backup.catalogue.history import History, Reader
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.drill import drill_bench, drills, leases
from loomio_backup.drill.drill_steps import Drilling
from loomio_backup.drill.drills import Drill, Scope
from loomio_backup.errors import CatalogueError, DrillError, WrongKey
from loomio_backup.progress import say, seconds_text
from loomio_backup.state import StateDirectory
from loomio_backup.stores import Store

_RESTORING = ("a restore", "an undo", "settling", "an update")
_NICE = 19
_TOLD = 8
"""Problems that the final sentence names."""
ELSEWHERE = (
    "this Pi holds no identity (offline key), so it cannot open its backups: the drill itself runs from the "
    "operator's machine, with: loomio-pi deploy verify"
)


@dataclass(frozen=True)
class Wish:
    """What the command line says. `store`: None for Drive where there is one. `backup`: None for the
    newest.
    """

    store: str | None
    backup: str | None
    sample: bool
    as_json: bool
    wait: bool


@dataclass
class Finding:
    """What came of it. `problems`: of the store, then of the drill; `drill`: None where none was made, `note`
    then says why, unless a problem does.
    """

    store: str
    problems: list[str] = field(default_factory=list)
    drill: Drill | None = None
    note: str | None = None


def run(config: Config, credentials: Credentials, wish: Wish) -> int:
    """The verb. Exit code 0: all is well; raises DrillError with all that is not.

    As JSON: `ok`, `store`, `problems` (sentences), `note`, and `drill` (see drills.Drill) or null. Progress
    goes to standard error then.
    """
    with contextlib.redirect_stdout(sys.stderr) if wish.as_json else contextlib.nullcontext():
        found = _verified(config, credentials, wish)
    if wish.as_json:
        print(json.dumps(_document(found), indent=1))
    if found.problems:
        raise DrillError(_sentence(found))
    return 0


def _verified(config: Config, credentials: Credentials, wish: Wish) -> Finding:
    state = StateDirectory(config.state_directory)
    _refuse_during_restore(state)
    _be_calm()
    with (
        reading.place(state, "verify", wish.wait) as directory,
        leases.hold(state) as lease,
        Catalogue(state.catalogue) as catalogue,
    ):
        number = catalogue.begin_run("verify")
        with _ended(catalogue, number):
            # Also when no drill follows: what a killed one left takes room.
            drill_bench.clear(config.project)
            found = _Verify(config, credentials, wish, state, catalogue, lease).make(directory)
        backup = found.drill.backup if found.drill else None
        outcome: Outcome = "failed" if found.problems else "complete"
        catalogue.end_run(number, outcome, backup, _sentence(found) if found.problems else None)
    return found


class _Verify:
    def __init__(
        self,
        config: Config,
        credentials: Credentials,
        wish: Wish,
        state: StateDirectory,
        catalogue: Catalogue,
        lease: leases.Lease,
    ) -> None:
        self._config = config
        self._wish = wish
        self._catalogue = catalogue
        self._lease = lease
        self._reader = Reader(config, credentials, state, catalogue)
        self._stores = open_stores(config, credentials)

    def make(self, directory: Path) -> Finding:
        """Look at the store, then make the drill, and remember it."""
        store = self._store()
        history = self._reader.read(store)
        verdict = check.judge(self._config, store, history, self._catalogue, clock.now())
        finding = Finding(store.kind, list(verdict.problems))
        chosen = self._chosen(history)
        if self._reader.keys.newest is None:
            finding.note = ELSEWHERE
            say(ELSEWHERE)
        elif chosen is not None:
            finding.drill = drill = self._drill(store, history, chosen, directory)
            drills.record(self._catalogue, drill)
            finding.problems += [problem for problem in drill.problems if problem not in finding.problems]
            _tell(drill)
        return finding

    def _store(self) -> Store:
        wanted = self._wish.store or ("drive" if "drive" in self._stores else "local")
        if wanted not in self._stores:
            raise DrillError(f"no store {wanted} is configured. Nothing was done.")
        return self._stores[wanted]

    def _chosen(self, history: History) -> Summary | None:
        """The backup to restore; None when there is none at all, which is a problem that was told already."""
        wanted = self._wish.backup
        newest_first = history.newest_first()
        if wanted is None:
            return newest_first[0] if newest_first else None
        for summary in newest_first:
            if summary.name == wanted:
                return summary
        raise DrillError(
            f"there is no backup {wanted} in {history.store}. Nothing was done. See loomio-backup list."
        )

    def _drill(self, store: Store, history: History, chosen: Summary, directory: Path) -> Drill:
        self._lease.take(chosen.name)
        manifest = self._catalogue.load(chosen)
        scope: Scope = "sample" if self._wish.sample else "whole"
        drilling = Drilling(self._config, store, manifest, scope, directory)
        lacking = check.missing_objects(manifest, store, history)
        if lacking:
            return drilling.refused(lacking)
        age = (clock.now() - manifest.snapshot_at).total_seconds()
        say(f"drill: restoring {manifest.name} from {store.kind}, {seconds_text(max(0.0, age))} old")
        try:
            identities = self._reader.keys.for_backup(manifest, [(store, history.objects)])
        except WrongKey as error:
            return drilling.refused([str(error)])
        return drilling.make(identities)


def _refuse_during_restore(state: StateDirectory) -> None:
    holder = state.running()
    if holder is not None and holder.startswith(_RESTORING):
        raise DrillError(
            f"no drill was begun: a restore or an update is going on ({holder}), and it needs all that the "
            "Pi has. It goes on undisturbed; try again when it has finished."
        )


def _be_calm() -> None:
    """Everybody else comes first. A unit says so itself, and then may not change it."""
    if os.getpriority(os.PRIO_PROCESS, 0) >= _NICE:
        return
    os.nice(_NICE)
    if shutil.which("ionice") is not None:
        subprocess.run(["ionice", "-c", "3", "-p", str(os.getpid())], capture_output=True)


@contextlib.contextmanager
def _ended(catalogue: Catalogue, number: int) -> Iterator[None]:
    """Note that the run failed, should it."""
    try:
        yield
    except BaseException as error:
        told = not isinstance(error, SystemExit | KeyboardInterrupt)
        reason = str(error) or type(error).__name__ if told else "it was told to end before it was done"
        # What happened matters more than that it could not be noted: the next run notes it, too.
        with contextlib.suppress(CatalogueError):
            catalogue.end_run(number, "failed", None, reason)
        raise


def _tell(drill: Drill) -> None:
    seconds = (drill.finished_at - drill.started_at).total_seconds()
    if drill.passed:
        what = "came back whole" if drill.scope == "whole" else "came back, as far as it was sampled"
        say(f"{drill.backup} {what} from {drill.store} in {seconds_text(seconds)}")


def _sentence(found: Finding) -> str:
    problems = [problem.rstrip(".") for problem in found.problems[:_TOLD]]
    if len(found.problems) > _TOLD:
        problems.append(f"and {len(found.problems) - _TOLD} more (see them all with --json)")
    return (
        f"the backups in {found.store} are not as they should be: {'; '.join(problems)}. Loomio itself is "
        "untouched. Make a new backup (loomio-backup run) and try it out (loomio-backup verify); what else "
        f"is damaged says: loomio-backup check --read-data --store {found.store}"
    )


def _document(found: Finding) -> dict[str, Any]:
    return {
        **asdict(found),
        "ok": not found.problems,
        "drill": found.drill.model_dump(mode="json") if found.drill else None,
    }
