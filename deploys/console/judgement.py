"""What `loomio-pi deploy verify` and `drift` answer with, from the verdicts that the deploys left with hosts.

pyinfra knows success and failure only, and its own --json tells of operations: both are put right here.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyinfra.api.host import Host
from pyinfra.api.state import State

from deploys.steps import verdicts
from deploys.steps.verdicts import DRIFTED, FAILED, WELL
from inventories import unreached

#: Those that come to a verdict.
_DEPLOYS = (("deploys", "verify.py"), ("deploys", "drift.py"))


def asked_for(arguments: Sequence[str]) -> bool:
    """Whether this is a run of a deploy that comes to a verdict."""
    return any(Path(argument).parts[-2:] in _DEPLOYS for argument in arguments)


@dataclass(frozen=True)
class Arguments:
    """What was asked of the run: one JSON document on standard output; only a look, without a drill."""

    as_json: bool
    dry: bool

    @classmethod
    def taken_from(cls, given: list[str]) -> "Arguments":
        """Take out of `given` what is not for pyinfra, which would print a document of its own."""
        found = cls("--json" in given, "--dry" in given)
        given[:] = [argument for argument in given if argument != "--json"]
        if found.as_json:
            os.environ.setdefault("PYINFRA_PROGRESS", "off")
        if not {"-y", "--yes"}.intersection(given):
            # There is nothing to confirm, and nobody to ask: verify changes nothing.
            given.append("--yes")
        return found


def conclude(code: int, arguments: Arguments, state: State | None) -> int:
    """The exit code: the worst of all hosts, failure over drift. `code` is what the run by itself came to."""
    answers = _answers(state, arguments) if state is not None and state.initialised else {}
    codes = {document["exit_code"] for document in answers.values()}
    if FAILED in codes or not codes or (code != WELL and codes == {WELL}):
        worst = FAILED
    else:
        worst = DRIFTED if DRIFTED in codes else WELL
    if arguments.as_json:
        print(json.dumps({"ok": worst == WELL, "exit_code": worst, "hosts": answers}, indent=1))
    return worst


def _answers(state: State, arguments: Arguments) -> dict[str, dict[str, Any]]:
    return {
        host.name: _answer(host, unreached.TOLD.get(host.name), arguments.dry)
        for host in sorted(state.inventory, key=lambda host: host.name)
        if state.is_host_in_limit(host)
    }


def _answer(host: Host, silent: str | None, dry: bool) -> dict[str, Any]:
    verdict = verdicts.given(host)
    if verdict is None:
        verdict = verdicts.Verdict(host.name)
        verdict.problems.append(silent or "It was not looked at.")
    elif dry:
        # Only a look was asked for.
        verdict.finished = True
    elif not verdict.finished and not verdict.problems:
        verdict.problems.append("It was not verified to the end.")
    return verdict.document()
