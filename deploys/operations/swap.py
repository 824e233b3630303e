"""A swap file of ours, beside whatever the system swaps to (rpi-swap's zram is left alone)."""

import shlex
from collections.abc import Generator

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host
from pyinfra.facts.files import FileContents

from deploys.facts.swap import SwapFact

from .reasons import because

#: Its name follows from the file's path, so the path is kept in a file of ours.
RECORD = "/etc/loomio-pi/swap"
_PAGE = 4096

_MAKE = """
set -e
swapoff %FILE% 2> /dev/null || true
free=$(df -B1 --output=avail "$(dirname %FILE%)" | tail -n 1)
if test "$free" -lt %NEEDED%; then
  echo 'there is too little room for the swap file: '"$free"' bytes are free, %NEEDED% are needed.' >&2
  exit 1
fi
rm -f %FILE%
# Written, not only reserved: a swap file must not have holes.
( umask 077; head -c %SIZE% /dev/zero > %FILE% )
mkswap %FILE% > /dev/null
unit=$(systemd-escape --path --suffix=swap %FILE%)
mkdir -p /etc/loomio-pi
cat > /etc/systemd/system/"$unit".new << END
# See system.swap in the settings.
[Unit]
Description=Swap file
[Swap]
What=%FILE%
[Install]
WantedBy=swap.target
END
mv -f /etc/systemd/system/"$unit".new /etc/systemd/system/"$unit"
systemctl daemon-reload
systemctl enable --quiet "$unit"
# systemd takes note of it by itself; asked to start it, it says nothing of what may be wrong.
swapon %FILE%
echo %WORD% > %RECORD%
"""
_REMOVE = """
set -e
unit=$(systemd-escape --path --suffix=swap %FILE%)
systemctl disable --quiet "$unit" 2> /dev/null || true
if grep -q ^%FILE%' ' /proc/swaps; then swapoff %FILE%; fi
rm -f %FILE% /etc/systemd/system/"$unit" %RECORD%
systemctl daemon-reload
"""


@operation()
def swap_file(path: str | None, size: int = 0) -> Generator[StringCommand, None, None]:
    """Swap to the file `path` of so many bytes (rounded to whole pages), and to no other one of ours; None:
    to none.
    """
    lines = host.get_fact(FileContents, path=RECORD)
    record = lines[0] if lines else ""
    whole = size // _PAGE * _PAGE
    wanted = f"{path} {whole}" if path else ""
    in_use = host.get_fact(SwapFact).get(path, 0) if path else 0
    # The kernel keeps one page for itself.
    if record == wanted and in_use == (whole - _PAGE if path else 0):
        host.noop("swap is as it should be")
        return
    before = record.rpartition(" ")[0]
    if before and before != path:
        because(f"{before} is still swapped to")
        yield StringCommand(_script(_REMOVE, before))
    if path:
        because(f"{path} is not swapped to, or has another size")
        made = _script(_MAKE, path).replace("%SIZE%", str(whole))
        # Some room is left beside it for those who live on the disk.
        yield StringCommand(
            made.replace("%NEEDED%", str(whole + 200_000_000 - in_use)).replace("%WORD%", shlex.quote(wanted))
        )


def _script(script: str, path: str) -> str:
    return script.replace("%FILE%", shlex.quote(path)).replace("%RECORD%", RECORD)
