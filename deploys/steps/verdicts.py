"""What a verification comes to: a verdict for each Pi, kept with pyinfra's host while everything is looked
at, then told to people and to programs.

Exit codes: 0 all is well, 1 something failed, 2 nothing failed, but the Pi is not as declared.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from paramiko import SSHException
from pyinfra.api.deploy import deploy
from pyinfra.api.exceptions import DeployError, PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import State

from deploys.operations.callback import call
from deploys.operations.run import complain
from deploys.steps.last_words import at_the_end

WELL, FAILED, DRIFTED = 0, 1, 2
_KEY = "loomio_verdict"


@dataclass
class Verdict:
    """`problems` and `drift`: sentences and lines, of which the first weigh more. `finished`: everything that
    was asked for was looked at, which with `only_drift` is no more than that.

    The agent's words: `backups` on the newest backup in the store that counts, `drill` on the drill (None
    without one), `outlook` on what would become of it if this Pi died now. `checksums`: whether the database
    notices damaged pages, None where it cannot be asked.
    """

    name: str
    problems: list[str] = field(default_factory=list)
    drift: list[str] = field(default_factory=list)
    backups: dict[str, Any] | None = None
    drill: dict[str, Any] | None = None
    outlook: str | None = None
    checksums: bool | None = None
    finished: bool = False
    only_drift: bool = False

    @property
    def code(self) -> int:
        """The exit code that this Pi deserves."""
        if self.problems or not self.finished:
            return FAILED
        return DRIFTED if self.drift else WELL

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "ok": self.code == WELL,
            "exit_code": self.code,
            "problems": self.problems,
            "drift": self.drift,
            "backups": self.backups,
            "drill": self.drill,
            "outlook": self.outlook,
            "data_checksums": self.checksums,
        }

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"{self.name}: {self._headline()}"]
        lines += [f"  failed   {problem}" for problem in self.problems]
        lines += [f"  drift    {line}" for line in self.drift]
        if self.backups and (backup := self.backups.get("backup")):
            lines.append(f"  backup   {backup} is the newest in {self.backups.get('store')}")
        if self.drill:
            lines.append(f"  drill    {drill_line(self.drill)}")
        if self.outlook:
            lines.append(f"  outlook  {self.outlook}")
        if self.checksums is False:
            lines.append("  database has no data checksums: what the card damages shows late, or never")
        if self.drift:
            lines.append("Nothing of that was changed. To make it as declared: loomio-pi deploy setup")
        return lines

    def _headline(self) -> str:
        if self.code == WELL:
            return "it is as declared." if self.only_drift else "all is well."
        if not (self.finished or self.problems or self.drift):
            return "nothing wrong was found, but no drill came to its end."
        parts = []
        if self.problems:
            parts.append(f"{len(self.problems)} failed" if len(self.problems) > 1 else "failed")
        if self.drift:
            many = len(self.drift)
            parts.append(f"not as declared in {many} points" if many > 1 else "not as declared in one point")
        return ", ".join(parts) + "."


def begin(host: Host, *, only_drift: bool = False) -> Verdict:
    """A verdict on this host, still empty. It is told when the host is left, whatever happens until then."""
    verdict = Verdict(host.data.host_name, only_drift=only_drift)
    host.connector_data[_KEY] = verdict
    at_the_end(host, verdict.lines)
    return verdict


@contextmanager
def noted(host: Host, verdict: Verdict) -> Iterator[None]:
    """Whatever stops the look at this host becomes a problem of it, and does not stop the look at others."""
    try:
        yield
    except DeployError as error:
        verdict.problems.append(str(error).removeprefix(f"{verdict.name}: "))
    except (PyinfraError, OSError, EOFError, SSHException) as error:
        verdict.problems.append(f"It stopped answering as it should while it was looked at ({error}).")
    else:
        if host in host.state.failed_hosts:
            verdict.problems.append("A question to it failed; the lines above say which.")


@deploy("Verify")
def conclude(verdict: Verdict) -> None:
    """Fail where something is not as it should be; what it is stands at the end of the output."""

    def end(state: State, host: Host) -> bool:
        return verdict.code == WELL or complain(host, verdict.lines()[0])

    call(name="Verdict", function=end)


def given(host: Host) -> Verdict | None:
    """The verdict on this host, None where none was begun."""
    return host.connector_data.get(_KEY)


def drill_line(drill: dict[str, Any]) -> str:
    """One drill in one line."""
    word = "passed" if drill.get("passed") else "failed"
    extent = "whole" if drill.get("scope") == "whole" else "a sample of the files"
    seconds = sum(float(value) for value in (drill.get("phases") or {}).values())
    return (
        f"{word} ({extent}) with {drill.get('backup')} from {drill.get('store')}: "
        f"{drill.get('rows', 0)} rows in {drill.get('tables', 0)} tables, {drill.get('files', 0)} files, "
        f"{drill.get('attachments', 0)} attachments, {seconds:.0f} s"
    )
