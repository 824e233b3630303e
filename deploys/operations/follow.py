"""Start a unit on the Pi and follow its journal: a lost SSH connection cannot end the work, and can be taken
up again.
"""

import shlex
from dataclasses import dataclass

from pyinfra.api.command import StringCommand
from pyinfra.api.host import Host

from .run import complain

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
queued() { case $(property Job) in ''|0) return 1;; esac; }
started() { test "$(property InvocationID)" != "$before"; }
if running; then
  echo "%WHAT% is running already: following it."
else
  %PREPARE% || exit 1
  before=$(property InvocationID)
  systemctl reset-failed %UNIT% 2>/dev/null
  systemctl start --no-block %UNIT% || exit 1
  tries=0
  while queued && ! started; do
    tries=$((tries + 1))
    test $tries -ne 25 || echo "%WHAT% waits for its turn."
    sleep 0.2
  done
  if ! started; then
    echo "%UNIT% could not be started: something that it needs does not run."
    echo "%VERDICT%not started"
    exit 1
  fi
fi
invocation=$(property InvocationID)
rm -f %CURSOR%
news() {
  journalctl --quiet --output=cat --no-pager --cursor-file=%CURSOR% "_SYSTEMD_INVOCATION_ID=$invocation"
}
while running; do news; sleep 0.5; done
journalctl --sync 2>/dev/null
news
rm -f %CURSOR%
echo "%VERDICT%$(property Result)"
"""
# What the follower prints when the unit has ended; without it the connection was lost.
_VERDICT = "It has ended: "


@dataclass(frozen=True)
class Words:
    """How people are told. `what`: A restore. `lost`: what goes on when the connection is lost. `failed`:
    what is still safe and what to do.
    """

    what: str
    lost: str
    failed: str


def followed(host: Host, unit: str, words: Words, *, prepare: str = "true", **arguments: object) -> bool:
    """Run `unit` to its end, or follow it where it runs already, and say how it ended; True for success.

    `prepare` is a shell command that comes before the start. systemd may let the unit wait for others.
    """
    client = getattr(host.connector, "client", None)
    if client is not None:
        # It can be silent for minutes, and routers forget silent connections.
        client.get_transport().set_keepalive(20)
    temporary = arguments.get("_temp_dir")
    cursor = host.get_temp_filename(f"{unit}-cursor", temp_directory=temporary)  # type: ignore[arg-type]
    script = (
        _FOLLOW.replace("%UNIT%", shlex.quote(unit))
        .replace("%CURSOR%", shlex.quote(cursor))
        .replace("%PREPARE%", prepare)
        .replace("%WHAT%", words.what)
        .replace("%VERDICT%", _VERDICT)
    )
    _done, output = host.run_shell_command(StringCommand(script), print_output=True, **arguments)
    verdicts = [line.removeprefix(_VERDICT) for line in output.stdout_lines if line.startswith(_VERDICT)]
    if not verdicts:
        return complain(host, f"The connection to the Pi was lost. {words.lost}")
    if verdicts[-1] != "success":
        return complain(
            host,
            f"{words.what} failed ({verdicts[-1]}); the lines above say why. {words.failed} The whole story, "
            f"on the Pi: sudo journalctl -u {unit}",
        )
    return True
