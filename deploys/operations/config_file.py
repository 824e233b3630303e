"""A small file of configuration, and what has to happen for it to count, as one step that cannot stop
half-way.
"""

import shlex
from collections.abc import Generator

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host
from pyinfra.facts.files import FileContents

from .reasons import because

#: What was there before is kept until the change counts; where it does not, it is put back, so that the next
#: run tries again instead of finding all as declared.
_CHANGE = """
set -e
keep=%FILE%.before
rm -f "$keep"
if test -e %FILE%; then cp -p %FILE% "$keep"; fi
%CHANGE%
if ! { %APPLY%; }; then
  if test -e "$keep"; then mv -f "$keep" %FILE%; else rm -f %FILE%; fi
  exit 1
fi
rm -f "$keep"
"""


@operation()
def config_file(path: str, content: str | None, apply: str = "true") -> Generator[StringCommand, None, None]:
    """Make `path` a file of mode 0644 of root with this content (no secret), or have none there (None); after
    a change the shell command `apply` makes it count.
    """
    lines = host.get_fact(FileContents, path=path)
    present = None if lines is None else "".join(f"{line}\n" for line in lines)
    if present == content:
        host.noop(f"{path} is as it should be")
        return
    file, folder = shlex.quote(path), shlex.quote(path.rpartition("/")[0])
    if content is None:
        because(f"{path} is there, and no longer declared")
        change = f"rm -f {file}"
    else:
        because(f"{path} is {'missing' if present is None else 'not as declared'}")
        fresh = shlex.quote(f"{path}.new")
        change = (
            f"mkdir -p {folder}\nprintf %s {shlex.quote(content)} > {fresh}\n"
            f"chown root:root {fresh}\nchmod 0644 {fresh}\nmv -f {fresh} {file}"
        )
    script = _CHANGE.replace("%FILE%", file).replace("%CHANGE%", change).replace("%APPLY%", apply)
    yield StringCommand(script)
