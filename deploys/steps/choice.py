"""Which backup a recovery takes, asked of the agent on the new Pi, and its version of the stack put in place.

Everything here is decided while the deploy runs: before, there is nobody on the Pi who could be asked.
"""

import shlex
from dataclasses import dataclass, field
from typing import Any

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.deploy import deploy
from pyinfra.api.host import Host
from pyinfra.api.state import State

from deploys.facts.agent import RestoreStateFact
from deploys.facts.git import CheckoutFact
from deploys.facts.version import Kept, Named
from deploys.operations.callback import call
from deploys.operations.compose import compose_pull
from deploys.operations.git_checkout import git_checkout
from deploys.operations.run import complain
from deploys.operations.secret_file import secret_file
from deploys.steps import candidate, environment, git_ssh, privilege, version
from deploys.steps.paths import (
    COMPOSE_RECORD,
    RESTORE_JOURNAL,
    RESTORE_RESULT,
)
from deploys.steps.preflight import Target


@dataclass
class Choice:
    """What is known so far. `asked`: what the settings say; `answer`: the agent's `candidate`, None before it
    was asked or where it names none; `runs`: the version that is in place, `kept` unless it is as asked.
    """

    asked: Target
    answer: dict[str, Any] | None = None
    runs: Named | None = None
    kept: Kept | None = None
    notes: list[str] = field(default_factory=list)


@deploy("Recovery")
def take_version(choice: Choice, *, place: bool) -> None:
    """Ask which backup it will be, say so, and put its version of the stack in place of the settings' one.

    Without `place` only `settle_version` does: where an app runs, its version stays with its data until that
    is replaced.
    """

    def take(state: State, host: Host) -> bool:
        found = candidate.ask(host, choice.asked)
        if isinstance(found, str):
            # Older formats have no manifest: whether anything can be restored is for the restore to say.
            logger.warning(f"{host.print_prefix}{found}")
            return True
        choice.answer = found
        for line in candidate.lines(found):
            logger.warning(f"{host.print_prefix}{line}")
        return _put(host, choice, found["backup"], found["stack"]) if place else True

    call(name="Take the version that made the backup", function=take)


@deploy("Recovery")
def fetch_app(choice: Choice) -> None:
    """Fetch the app's very image, by its digest: what its tag names may be newer by now."""

    def fetch(state: State, host: Host) -> bool:
        if choice.answer is None or choice.runs is None:
            return True
        return _fetch_exact(host, choice, choice.answer["stack"])

    # As the other images: home networks break off, and a tag is no image to fall back on for that.
    call(name="Fetch the app's image as the backup knows it", function=fetch, _retries=2, _retry_delay=10)


def _fetch_exact(host: Host, choice: Choice, stack: dict[str, Any]) -> bool:
    """Have the image that was decided for, by its digest in `stack` (as a manifest has it) if that is known.
    What its tag names by now is taken only where the registry says that there is no such image any more.
    """
    if choice.runs is None:
        return True
    reference = choice.runs.loomio
    exact = version.exact(reference, stack, choice.asked.settings.stack.layout)
    why = _pull(host, reference, exact) if exact else None
    if why is None:
        return True
    if not version.is_gone(why):
        return complain(
            host,
            f"The very image that made the backup ({exact}) could not be fetched ({why}). The backups are "
            "untouched. When its registry can be reached, run the same command again.",
        )
    note = (
        f"The very image that the old Pi ran ({exact}) cannot be had any more ({why}); {reference} "
        "is used as it is now."
    )
    choice.notes.append(note)
    logger.warning(f"{host.print_prefix}{note}")
    return True


def _pull(host: Host, reference: str, exact: str | None) -> str | None:
    """Have the image `reference` on the Pi, fetched as `exact` if that is given; why not, or None."""
    name, source = shlex.quote(reference), shlex.quote(exact or reference)
    script = (
        f"docker image inspect {name} >/dev/null 2>&1 || "
        f"{{ docker pull --quiet {source} && docker tag {source} {name}; }}"
    )
    done, output = host.run_shell_command(StringCommand(script), **privilege.arguments(host))
    if done:
        return None
    return output.stderr_lines[-1] if output.stderr_lines else "no reason given"


@deploy("Recovery")
def check_database(choice: Choice) -> None:
    """Refuse a PostgreSQL that is older than the backup's, before it has made files that none else reads."""

    def judge(state: State, host: Host) -> bool:
        if choice.answer is None:
            return True
        image = choice.asked.settings.stack.images.postgres
        script = f"docker run --rm --network none --entrypoint postgres {shlex.quote(image)} --version"
        done, output = host.run_shell_command(StringCommand(script), **privilege.arguments(host))
        if not done:
            # An image that is put together otherwise: the restore compares the servers themselves.
            return True
        problem = version.database_problem(choice.asked, choice.answer, output.stdout)
        return complain(host, problem) if problem else True

    call(name="Compare PostgreSQL's version with the backup's", function=judge)


@deploy("Recovery")
def settle_version(choice: Choice) -> None:
    """Once the data is back: the version that runs is that of the backup that it came from, whichever it
    became.
    """

    def settle(state: State, host: Host) -> bool:
        as_root = privilege.arguments(host)
        found = host.get_fact(RestoreStateFact, journal=RESTORE_JOURNAL, result=RESTORE_RESULT, **as_root)
        result = found.result or {}
        backup, reported = result.get("backup"), result.get("stack")
        if not backup or not reported or _is_placed(choice, backup):
            return True
        return _put_reported(host, choice, backup, reported)

    call(name="Keep to the version that made the backup", function=settle)


@deploy("Restore")
def follow_backup(choice: Choice) -> None:
    """After a restore on a Pi that runs: where another version made the backup, the agent has left the app
    stopped, and that version is put in place.
    """

    def follow(state: State, host: Host) -> bool:
        as_root = privilege.arguments(host)
        found = host.get_fact(RestoreStateFact, journal=RESTORE_JOURNAL, result=RESTORE_RESULT, **as_root)
        result = found.result or {}
        if not result.get("left_for_version"):
            return True
        backup, reported = str(result["backup"]), dict(result["stack"])
        stack, layout = _as_manifest(reported), choice.asked.settings.stack.layout
        made_by = stack["images"][layout.app]
        reference = version.pullable(made_by) or made_by["reference"]
        exact = version.exact(reference, stack, layout)
        why = _pull(host, reference, exact)
        if why is not None and exact is not None and version.is_gone(why):
            choice.notes.append(
                f"The very image that made the backup ({exact}) is gone; {reference} is used as it is now."
            )
            why = _pull(host, reference, None)
        if why is not None:
            return complain(
                host,
                f"{backup} is restored, but {reference}, which made it, cannot be fetched "
                f"({why}), so Loomio was not started: the version that ran here would change the data at "
                "once. When it can be fetched, run the same command again. To go back to what was here "
                "before, type on the Pi: sudo loomio-backup undo. To go on with the version that ran here "
                "all the same: loomio-pi deploy setup",
            )
        return _put_reported(host, choice, backup, reported)

    call(name="Run the version that made the backup", function=follow)


def _put_reported(host: Host, choice: Choice, backup: str, reported: dict[str, Any]) -> bool:
    """Place the version that the agent's report of a restore names, and fetch its images."""
    stack = _as_manifest(reported)
    if not _put(host, choice, backup, stack) or not _fetch_exact(host, choice, stack):
        return False
    compose_pull(
        name="Fetch what that version needs",
        directory=choice.asked.settings.stack.directory,
        project=choice.asked.settings.stack.layout.project,
        record=COMPOSE_RECORD,
    )
    return True


def _as_manifest(reported: dict[str, Any]) -> dict[str, Any]:
    """The agent's report of what a backup ran with, in the shape that a manifest has it in."""
    digests = reported.get("digests") or {}
    images = {
        service: {"reference": reference, "digests": digests.get(service) or []}
        for service, reference in (reported.get("images") or {}).items()
    }
    return {"commit": reported.get("commit"), "images": images}


def _is_placed(choice: Choice, backup: str) -> bool:
    """Whether this run has put that backup's version in place."""
    return bool(choice.answer and choice.answer["backup"] == backup and choice.runs)


def _put(host: Host, choice: Choice, backup: str, stack: dict[str, Any]) -> bool:
    """Place the version; the record of it first, so that no interruption leads to another one."""
    asked = version.named(choice.asked.settings)
    has_commit, settings_commit = _commits(host, choice.asked, stack.get("commit"))
    choice.runs = version.of_backup(
        asked,
        stack,
        choice.asked.settings.stack.layout,
        settings_commit=settings_commit,
        has_commit=has_commit,
    )
    choice.kept = Kept(backup, choice.runs, asked) if choice.runs != asked else None
    if stack.get("commit") and not has_commit:
        choice.notes.append(
            f"The commit that the old Pi had checked out ({stack['commit'][:12]}) is not in "
            f"{choice.asked.settings.stack.repository}; {asked.ref} is used."
        )
    for sentence in [*choice.notes, *(version.sentences(choice.kept) if choice.kept else [])]:
        logger.warning(f"{host.print_prefix}{sentence}")
    as_root = privilege.arguments(host)
    done, _output = host.run_shell_command(StringCommand(version.keep_script(choice.kept)), **as_root)
    if not done:
        return complain(host, "What was decided could not be written down on the Pi. Nothing was started.")
    target = version.running(choice.asked, choice.runs)
    stack_settings, machine = target.settings.stack, target.machine
    git_checkout(
        name="Check out the stack as the backup knows it",
        directory=stack_settings.directory,
        repository=stack_settings.repository,
        ref=stack_settings.ref,
        ssh=git_ssh.command(target.settings, target.secrets),
        _sudo=False,
    )
    secret_file(
        name="Write the stack's .env for that version",
        path=f"{stack_settings.directory}/.env",
        content=environment.render(target.settings, target.secrets),
        user=machine.user,
        group=machine.group,
        _sudo=False,
    )
    return True


def _commits(host: Host, target: Target, commit: str | None) -> tuple[bool, str]:
    """Whether the clone has the backup's commit with a compose file in it, and what the settings' ref is."""
    stack = target.settings.stack
    checkout = host.get_fact(
        CheckoutFact,
        directory=stack.directory,
        repository=stack.repository,
        ref=stack.ref,
        ssh=git_ssh.command(target.settings, target.secrets),
        _sudo=False,
    )
    if not commit:
        return False, checkout.wanted
    file = shlex.quote(f"{commit}:{environment.compose_file(target.settings)}")
    script = f"cd {shlex.quote(stack.directory)} && git cat-file -e {file} 2>/dev/null"
    done, _output = host.run_shell_command(StringCommand(script), _sudo=False)
    return done, checkout.wanted
