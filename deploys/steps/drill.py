"""The drill of a verification: the agent restores the newest backup for proof, beside what is live."""

from typing import Any

from pyinfra.api.deploy import deploy
from pyinfra.api.exceptions import DeployError
from pyinfra.api.host import Host

from deploys.operations.drill import drilled
from deploys.steps import agent_config, verification
from deploys.steps.paths import LENT_TO_DRILL, LENT_TO_SAMPLE, SAMPLE_SERVICE, VERIFY_SERVICE
from deploys.steps.preflight import Target
from deploys.steps.verdicts import Verdict

#: What can be said with --data drill=…; the unit that does it, and the file through which it is lent a key.
UNITS = {
    "whole": (VERIFY_SERVICE, LENT_TO_DRILL),
    "sample": (SAMPLE_SERVICE, LENT_TO_SAMPLE),
    "off": None,
}


def wanted(host: Host) -> str:
    """The word that was given with --data drill=…: whole where none was. Raises DeployError."""
    word = host.data.get("drill", "whole")
    if not isinstance(word, str) or word not in UNITS:
        raise DeployError(
            f"drill={word!r} is not understood. Nothing was looked at. Say --data drill=whole (what is meant "
            "without it), --data drill=sample (some of the files), or --data drill=off."
        )
    return word


@deploy("Verify")
def run(target: Target, verdict: Verdict, scope: str) -> None:
    """Restore for proof, unless that is not wanted, and put into the verdict what came of it."""
    chosen = UNITS[scope]
    if chosen is None:
        verdict.finished = True
        return
    unit, lent_identity = chosen
    offline = target.settings.encryption.offline_key

    def ended(problem: str | None, drill: dict[str, Any] | None, outlook: str | None) -> None:
        verdict.drill, verdict.outlook, verdict.finished = drill, outlook, True
        if problem:
            verdict.problems.append(problem)

    drilled(
        name=f"Restore the newest backup for proof ({scope})",
        unit=unit,
        store=verification.store_of(target),
        lent_identity=lent_identity,
        identity=agent_config.identities(target.secrets) if offline else None,
        ended=ended,
    )
