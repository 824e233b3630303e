"""What a person reads at the end of that evening: which backup it was, what is lost, what took how long."""

import time
from collections.abc import Mapping
from typing import Any

from pyinfra.api.command import StringCommand
from pyinfra.api.deploy import deploy
from pyinfra.api.host import Host
from pyinfra.api.state import BaseStateCallback, State
from pyinfra.context import state as current_state

from deploys.facts.agent import RestoreStateFact
from deploys.operations.callback import call
from deploys.operations.run import complain
from deploys.steps import privilege, version
from deploys.steps.choice import Choice
from deploys.steps.last_words import at_the_end
from deploys.steps.paths import RESTORE_ASKED, RESTORE_JOURNAL, RESTORE_RESULT
from deploys.steps.preflight import Target

#: Beginnings of operations' names, and what their time is called (the first that fits counts). In the report
#: they stand in the order of the evening.
PHASES = (
    ("System | ", "packages"),
    ("Docker | ", "Docker"),
    ("Agent | Try out", "stores tried"),
    ("Agent | ", "agent"),
    ("Copy | ", "copy to Pi"),
    ("Recovery | Take the version", "choice"),
    ("Recovery | Fetch", "images"),
    ("Fetch what that version needs", "images"),
    ("Stack | Fetch", "images"),
    ("Stack | Begin", "images"),
    ("Recovery | Restore", "restore"),
    ("Stack | Start every", "start"),
    ("Stack | Wait until healthy: every", "start"),
    ("Stack | Start", "database up"),
    ("Stack | Wait", "database up"),
    ("Stack | Look", "database up"),
    ("Stack | ", "clone, .env"),
    ("Check out the stack", "clone, .env"),
    ("Write the stack's .env", "clone, .env"),
    ("Recovery | Verify", "verification"),
    ("Schedule | ", "units"),
)
OTHER = "other"


class Clock(BaseStateCallback):
    """Adds up how long operations take, by phase. What an operation starts itself counts for that one's own
    phase only.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._running: list[tuple[str, float, float]] = []
        self.phases: dict[str, float] = {}

    @property
    def total(self) -> float:
        """Seconds since the deploy began."""
        return time.monotonic() - self._began

    def operation_host_start(self, state: State, _host: Host, op_hash: str) -> None:  # type: ignore[override]
        name = ", ".join(sorted(state.get_op_meta(op_hash).names))
        self._running.append((phase_of(name), time.monotonic(), 0.0))

    def operation_host_success(  # type: ignore[override]
        self, _state: State, _host: Host, _op_hash: str, retry_count: int = 0
    ) -> None:
        self._stop()

    def operation_host_error(  # type: ignore[override]
        self, _state: State, _host: Host, _op_hash: str, retry_count: int = 0, max_retries: int = 0
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        phase, began, inner = self._running.pop()
        seconds = time.monotonic() - began
        self.phases[phase] = self.phases.get(phase, 0.0) + seconds - inner
        if self._running:
            outer, its_beginning, of_it = self._running[-1]
            self._running[-1] = outer, its_beginning, of_it + seconds


def phase_of(name: str) -> str:
    """What an operation's time is called."""
    return next((phase for beginning, phase in PHASES if name.startswith(beginning)), OTHER)


def start_clock() -> Clock:
    """The clock of this deploy, which runs from now on."""
    clock = Clock()
    current_state.add_callback_handler(clock)  # type: ignore[no-untyped-call]
    return clock


@deploy("Recovery")
def report(target: Target, choice: Choice | None = None, clock: Clock | None = None) -> None:
    """Have the report printed, last of all. A restore on a running Pi has no clock."""

    def keep(state: State, host: Host) -> bool:
        as_root = privilege.arguments(host)
        found = host.get_fact(RestoreStateFact, journal=RESTORE_JOURNAL, result=RESTORE_RESULT, **as_root)
        result = with_choice(found.result or {}, choice)
        at_the_end(host, lambda: _lines(target.name, result, clock))
        # From now on the same words are a new wish: this one has come to its end, and its end is told.
        command = StringCommand("rm", "-f", RESTORE_ASKED)
        done, _output = host.run_shell_command(command, **as_root)
        return done or complain(
            host, f"{RESTORE_ASKED} cannot be removed on the Pi. The data is restored. Run the same again."
        )

    call(name="Read the agent's report", function=keep)


def _lines(name: str, result: Mapping[str, Any], clock: Clock | None) -> list[str]:
    phases, total = (clock.phases, clock.total) if clock else ({}, None)
    return report_lines(name, result, phases, total)


def with_choice(result: Mapping[str, Any], choice: Choice | None) -> dict[str, Any]:
    """The agent's report, and what was known before the restore began."""
    if choice is None:
        return dict(result)
    answer = choice.answer or {}
    passed = {
        one["backup"]: one for one in [*answer.get("passed_over", []), *(result.get("passed_over") or [])]
    }
    about = [*choice.notes, *(version.sentences(choice.kept) if choice.kept else [])]
    return {
        **result,
        "passed_over": [passed[name] for name in sorted(passed, reverse=True)],
        "stale": result.get("stale") or answer.get("stale"),
        "about_version": about,
    }


def report_lines(
    name: str, result: Mapping[str, Any], phases: Mapping[str, float], total: float | None
) -> list[str]:
    """What a person wants to read; `result` is the agent's report, `phases` are the deploy's own seconds."""
    lines = [
        f"{name} is back, from {result.get('backup', 'a backup')}: "
        f"{result.get('rows', 0)} rows in {result.get('tables', 0)} tables, {result.get('files', 0)} files."
    ]
    lines += [
        f"NOT the newest: {one['backup']} could not be restored. {one['reason']}"
        for one in result.get("passed_over") or []
    ]
    if lost := result.get("lost"):
        lines.append(str(lost))
    elif (age := result.get("age_seconds")) is not None:
        lines.append(f"What was written in the last {spoken(age)} before the restore is not in it.")
    if stale := result.get("stale"):
        lines.append(f"It is older than it should be: {stale}")
    lines += [f"Compared: {sentence}" for sentence in result.get("compared") or []]
    lines += result.get("about_version") or []
    lines += _times(phases, result.get("phases") or {}, total)
    if kept := result.get("database_kept_as"):
        lines.append(f"The database that was here before is kept as {kept}.")
    return lines


def _times(phases: Mapping[str, float], restore: Mapping[str, float], total: float | None) -> list[str]:
    """One line for each phase in the order of the evening; the restore's own below its own."""
    lines = []
    for phase, seconds in phases.items():
        if seconds >= 0.5 or phase == "restore":
            lines.append(f"  {phase:<14}{spoken(seconds)}")
        if phase == "restore":
            lines += [f"    {inner:<12}{spoken(seconds)}" for inner, seconds in restore.items()]
    if "restore" not in phases:
        # Done in an earlier run, or all that there was to do.
        lines += [f"    {inner:<12}{spoken(seconds)}" for inner, seconds in restore.items()]
    if total is not None:
        lines.append(f"  {'in all':<14}{spoken(total)}")
    return ["How long it took:", *lines]


def spoken(seconds: float) -> str:
    """A duration as people say it."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.0f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 2 * 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} days {whole % 86400 // 3600} h"
