"""Asks the agent on the Pi which backup a recovery would take."""

import json
import shlex
from typing import Any

from pyinfra.api.command import StringCommand
from pyinfra.api.host import Host

from deploys.steps import agent_config, privilege, verification
from deploys.steps.preflight import Target


def ask(host: Host, target: Target, backup: str | None = None) -> dict[str, Any] | str:
    """The agent's answer, or its sentence when there is none. The identity is lent to it where the Pi has
    none, through standard input, which is never printed.
    """
    arguments: dict[str, Any] = privilege.arguments(host)
    command = f"loomio-backup candidate --json --store {verification.store_of(target)}"
    if backup is not None:
        command += f" --backup {shlex.quote(backup)}"
    if target.settings.encryption.offline_key:
        command += " --lent-identity"
        arguments["_stdin"] = agent_config.identities(target.secrets) + "\n"
    done, output = host.run_shell_command(StringCommand(command), **arguments)
    if not done:
        said = [line.removeprefix("loomio-backup: ") for line in output.stderr_lines if line.strip()]
        return said[-1] if said else "the agent gives no answer."
    found: dict[str, Any] = json.loads(output.stdout)
    return found


def lines(answer: dict[str, Any]) -> list[str]:
    """What people should know before it begins."""
    said = [
        f"The backup {one['backup']} is newer, but cannot be restored: {one['reason']}"
        for one in answer["passed_over"]
    ]
    said.append(f"What will be restored is {answer['backup']}, from {' and '.join(answer['stores'])}.")
    if answer["stale"]:
        said.append(f"Mind its age: {answer['stale']}")
    return said
