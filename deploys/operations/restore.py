"""Run a restore as a unit on the Pi and follow its journal: a lost SSH connection cannot end it, and can be
taken up again.
"""

import shlex
from collections.abc import Generator

from pyinfra.api.command import FunctionCommand, PyinfraCommand, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from deploys.facts.live_data import LiveDataFact
from deploys.facts.systemd import UnitsFact

from .run import complain, own_arguments

#: How to say that data may be replaced; also what people are told to type.
REPLACE = "--data replace_live_data=yes"
#: What the follower prints when the unit has ended; without it the connection was lost.
VERDICT = "The restore has ended: "

# Starts the unit unless it runs already, prints its journal from its first line on, ends when the unit ends.
# %UNIT% and %CURSOR% are quoted. The journal is read again and again from where it was left, so no line is
# lost or doubled.
_FOLLOW = r"""
export LC_ALL=C
property() { systemctl show --property="$1" --value %UNIT%; }
running() {
  case $(property ActiveState) in activating|active|deactivating|reloading) return 0;; esac
  return 1
}
if running; then
  echo "A restore is running already: following it."
else
  %PREPARE% || exit 1
  before=$(property InvocationID)
  systemctl reset-failed %UNIT% 2>/dev/null
  systemctl start --no-block %UNIT% || exit 1
  tries=0
  until test "$(property InvocationID)" != "$before"; do
    tries=$((tries + 1))
    test $tries -lt 60 || { echo "The unit did not start within a minute."; break; }
    sleep 1
  done
fi
invocation=$(property InvocationID)
rm -f %CURSOR%
news() {
  journalctl --quiet --output=cat --no-pager --cursor-file=%CURSOR% "_SYSTEMD_INVOCATION_ID=$invocation"
}
while running; do news; sleep 1; done
journalctl --sync 2>/dev/null
news
rm -f %CURSOR%
echo "%VERDICT%$(property Result)"
"""


@operation()
def restored(
    unit: str, project: str, options: str, replace: bool, finish: bool
) -> Generator[PyinfraCommand, None, None]:
    """Bring the data back through `unit`, which restores the newest backup.

    Fails where it would replace live data, unless `replace` says that it may go, or `finish` that a restore
    which has begun to replace it was interrupted. An active unit is followed, never started twice. `options`
    is the unit's file of options.
    """
    arguments = own_arguments(host)
    cursor = host.get_temp_filename(f"{unit}-cursor", temp_directory=arguments.get("_temp_dir"))

    def follow(state: State, host: Host) -> bool:
        units = host.get_fact(UnitsFact, units=(unit,), **arguments)
        if unit in units and units[unit].running:
            return _follow(host, unit, cursor, "", arguments)
        live = host.get_fact(LiveDataFact, project=project, **arguments)
        if live.state == "unknown":
            return complain(
                host, f"Cannot tell whether this Pi holds data ({live.reason}). Nothing was restored."
            )
        if live.state == "rows" and not replace and not finish:
            return complain(host, live_data_sentence(live.tables))
        prepare = f"rm -f {options}"
        if replace:
            prepare = f"echo RESTORE_OPTIONS=--replace-live-data > {options}"
        return _follow(host, unit, cursor, prepare, arguments)

    yield FunctionCommand(follow, (), {})


def live_data_sentence(tables: int) -> str:
    """What people read when a recovery would replace data."""
    found = (
        "1 table of its database has rows" if tables == 1 else f"{tables} tables of its database have rows"
    )
    return (
        f"This Pi holds data ({found}). Nothing was restored, and the data is untouched. Is this the right "
        f"Pi? To replace its data with the newest backup, say so: {REPLACE}"
    )


def _follow(host: Host, unit: str, cursor: str, prepare: str, arguments: dict[str, object]) -> bool:
    client = getattr(host.connector, "client", None)
    if client is not None:
        # A restore can be silent for minutes, and routers forget silent connections.
        client.get_transport().set_keepalive(20)
    script = (
        _FOLLOW.replace("%UNIT%", shlex.quote(unit))
        .replace("%CURSOR%", shlex.quote(cursor))
        .replace("%PREPARE%", prepare or "true")
        .replace("%VERDICT%", VERDICT)
    )
    _done, output = host.run_shell_command(StringCommand(script), print_output=True, **arguments)
    verdicts = [line.removeprefix(VERDICT) for line in output.stdout_lines if line.startswith(VERDICT)]
    if not verdicts:
        return complain(
            host,
            "The connection to the Pi was lost. The restore goes on there by itself, and nothing is in "
            "danger. Run the same command again to follow it.",
        )
    if verdicts[-1] != "success":
        return complain(
            host,
            f"The restore failed ({verdicts[-1]}); the lines above say why. The backups are untouched. "
            "Run the same command again when the reason is gone. The whole story, on the Pi: sudo "
            f"journalctl -u {unit}",
        )
    return True
