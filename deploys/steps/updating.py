"""An update that the operator asked for: what the settings name in place of what runs, through the agent,
told at the end. And why a setup makes none.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from pyinfra import logger
from pyinfra.api.deploy import deploy
from pyinfra.api.exceptions import DeployError
from pyinfra.api.host import Host
from pyinfra.api.state import BaseStateCallback, State
from pyinfra.facts.files import File
from pyinfra.operations import files

from deploys.facts.live_data import LiveDataFact
from deploys.facts.systemd import UnitsFact
from deploys.facts.version import Placed, PlacedFact, UpdateResultFact
from deploys.operations.callback import call
from deploys.operations.update import updated
from deploys.steps import agent_config, privilege
from deploys.steps.last_words import at_the_end
from deploys.steps.paths import (
    COMPOSE_RECORD,
    KEPT_VERSION,
    LENT_TO_UPDATE,
    UPDATE_MARKER,
    UPDATE_OPTIONS,
    UPDATE_RESULT,
    UPDATE_SERVICE,
)
from deploys.steps.preflight import Target

#: The agent's words for how an update ended, in a sentence.
_OUTCOMES = {"updated": "is updated", "went back": "went back", "not made": "was not updated"}
_IMAGES = ("loomio", "postgres", "redis")


def refuse_meanwhile(host: Host, target: Target) -> None:
    """A setup would meddle with an update. Raises DeployError while one is not at its end."""
    unit = host.get_fact(UnitsFact, units=(UPDATE_SERVICE,)).get(UPDATE_SERVICE)
    if (unit and unit.running) or host.get_fact(File, path=UPDATE_MARKER):
        raise DeployError(
            f"{target.name}: an update is running on this Pi, or being brought to its end. Nothing was "
            "changed. Follow it with: loomio-pi deploy update"
        )


def without(host: Host, target: Target, *, told: bool = True) -> Target:
    """The target with the images that the Pi's data belongs to, where the settings name others: changing them
    is an update. With `told`, people are told so.
    """
    placed = _placed(host, target)
    lines = differences(target, placed)
    if placed is None or not lines or not _holds_data(host, target, placed):
        return target
    if told:
        logger.warning(
            f"{host.print_prefix}The settings name other images than those that run: {', '.join(lines)}. "
            "What runs stays: setup updates nothing. To update, type: loomio-pi deploy update"
        )
    images = target.settings.stack.images
    kept = {name: getattr(placed, name) or getattr(images, name) for name in _IMAGES}
    stack = target.settings.stack.model_copy(update={"images": images.model_copy(update=kept)})
    return dataclasses.replace(target, settings=target.settings.model_copy(update={"stack": stack}))


def _placed(host: Host, target: Target) -> Placed | None:
    return host.get_fact(PlacedFact, directory=target.settings.stack.directory, record=COMPOSE_RECORD)


def _holds_data(host: Host, target: Target, placed: Placed) -> bool:
    """Whether anything would be migrated: after a first setup that ended half-way the settings count."""
    layout = target.settings.stack.layout
    state = host.get_fact(
        LiveDataFact,
        project=layout.project,
        service=layout.database,
        volume=layout.volume(layout.database_volume),
    ).state
    return state == "rows" or (state == "unknown" and placed.brought_up)


def differences(target: Target, placed: Placed | None) -> list[str]:
    """What the settings name in place of what `.env` names."""
    images = target.settings.stack.images
    pairs = [(name, getattr(placed, name), getattr(images, name)) for name in _IMAGES] if placed else []
    return [
        f"{wanted} (stack.images.{name}) in place of {runs}"
        for name, runs, wanted in pairs
        if runs and runs != wanted
    ]


@deploy("Update")
def update(host: Host, target: Target) -> None:
    """Bring what the settings name onto the Pi. Raises DeployError where there is nothing to update."""
    placed = _placed(host, target)
    if placed is None or not placed.brought_up:
        raise DeployError(
            f"{target.name}: this Pi is not set up yet, so there is nothing to update. Nothing was "
            "changed. Type: loomio-pi deploy setup"
        )
    images = target.settings.stack.images
    wanted = [word for name in _IMAGES for word in (f"--{name}", getattr(images, name))]
    if not _rehearse(host):
        wanted.append("--no-rehearsal")
    offline = target.settings.encryption.offline_key
    lines = differences(target, placed)
    report = _report(host) if lines else None
    updated(
        name=f"Update to {', '.join(lines)}" if lines else "Update",
        unit=UPDATE_SERVICE,
        options=UPDATE_OPTIONS,
        wanted=wanted,
        differences=lines,
        lent_identity=LENT_TO_UPDATE,
        identity=agent_config.identities(target.secrets) if offline else None,
    )
    files.file(name="Let go of the version that a recovery kept", path=KEPT_VERSION, present=False)
    if report is not None:
        report()


def _rehearse(host: Host) -> bool:
    word = host.data.get("rehearse")
    if word not in (None, False, True, "yes", "no"):
        raise DeployError(
            f"rehearse={word!r} is not understood. Nothing was changed. Say --data rehearse=no, or leave it "
            "out."
        )
    return word in (None, True, "yes")


class _Failed(BaseStateCallback):
    """Calls `read` when an operation on the host of that name fails: no later one is run there, and by the
    end the Pi cannot be asked any more.
    """

    def __init__(self, name: str, read: Callable[[Host], None]) -> None:
        self._name = name
        self._read = read

    def operation_host_error(  # type: ignore[override]
        self, _state: State, host: Host, _op_hash: str, retry_count: int = 0, max_retries: int = 0
    ) -> None:
        if host.name == self._name:
            self._read(host)


def _report(host: Host) -> Callable[[], object]:
    """What the agent says of the update, as the last words, also where it led back. Returns what is to be
    called after the update is declared.
    """
    told: list[str] = []
    before = host.get_fact(UpdateResultFact, path=UPDATE_RESULT)

    def read(host: Host) -> None:
        result = host.get_fact(UpdateResultFact, path=UPDATE_RESULT, **privilege.arguments(host))
        # One that failed early leaves the report of the one before.
        if result and result != before and not told:
            told.extend(lines_of(host.name, result))

    def read_at_its_end(state: State, host: Host) -> bool:
        read(host)
        return True

    at_the_end(host, lambda: told)
    host.state.add_callback_handler(_Failed(host.name, read))  # type: ignore[no-untyped-call]
    return lambda: call(name="Read the agent's report of the update", function=read_at_its_end)


def lines_of(name: str, result: dict[str, Any]) -> list[str]:
    """The report for people."""
    phases = ", ".join(f"{phase} {seconds:.0f} s" for phase, seconds in result["phases"].items())
    said = [
        f"{name} {_OUTCOMES[result['outcome']]}: {', '.join(result['changes'])}.",
        f"  started {result['started'][:19]}, ended {result['finished'][:19]} (UTC)",
        f"  rehearsal: {result['rehearsal']}",
        f"  each part: {phases}",
        f"  the backup of before: {result['backup']} (pinned)",
    ]
    if result["down_seconds"] is not None:
        said.insert(2, f"  Loomio was down for {result['down_seconds']:.0f} s")
    if result.get("problem"):
        said.append(f"  why: {result['problem']}")
    if result["old_cluster"]:
        said.append(
            f"  the old PostgreSQL's files are kept; when all is well, on the Pi: sudo docker volume rm "
            f"{result['old_cluster']}"
        )
    return said
