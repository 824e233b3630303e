"""What the stack needs beside its compose file: the tunnel's token, Loomio's hourly chores."""

import io

from pyinfra.api.deploy import deploy
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.operations import files

from deploys.operations.callback import call
from deploys.operations.secret_file import secret_file
from deploys.operations.systemd import units_active, units_gone, units_loaded
from deploys.steps import hourly, version
from deploys.steps.choice import Choice
from deploys.steps.paths import HOURLY_TIMER, TUNNEL_TOKEN
from deploys.steps.preflight import Target


@deploy("Stack")
def tokens(target: Target) -> None:
    """Write the tunnel's token, which its container alone is given, or take it away."""
    token = target.secrets.stack.tunnel_token
    if target.settings.stack.parts.tunnel and token:
        secret_file(
            name="Write the tunnel's token",
            path=TUNNEL_TOKEN,
            content=token.get_secret_value(),
            user="root",
            group="root",
        )
    else:
        files.file(name="Remove the tunnel's token", path=TUNNEL_TOKEN, present=False)


@deploy("Stack")
def chores(target: Target) -> None:
    """Have Loomio's chores run every hour, where its image does not see to them itself."""
    _chores(target)


@deploy("Stack")
def chores_of(choice: Choice, target: Target) -> None:
    """The same for the version that a recovery puts in place while it runs; else for that of `target`."""

    def settle(state: State, host: Host) -> bool:
        _chores(version.running(choice.asked, choice.runs) if choice.runs else target)
        return True

    call(name="See to Loomio's hourly chores", function=settle)


def _chores(target: Target) -> None:
    if not hourly.needed(target.settings):
        units_gone(name="Remove Loomio's hourly chores", units=hourly.UNITS)
        return
    for unit, content in hourly.contents(target.settings).items():
        files.put(
            name=f"Write {unit}",
            src=io.StringIO(content),
            dest=f"/etc/systemd/system/{unit}",
            user="root",
            group="root",
            mode="0644",
            create_remote_dir=False,
        )
    units_loaded(name="Make systemd read Loomio's hourly chores", units=hourly.UNITS)
    units_active(name=f"Enable {HOURLY_TIMER}", units=(HOURLY_TIMER,))
