"""Write a file that holds secrets: never shown, never readable by others, not even for a moment.

pyinfra's own `files.put` prints whole files with `--diff`, sets the mode after the upload, and leaves a
readable copy in /tmp while it works. Here the content goes through standard input, which is never printed,
into a file that is born 0600 beside its destination and then renamed.
"""

import shlex
from collections.abc import Generator

from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import FactError
from pyinfra.api.operation import operation
from pyinfra.context import host

from .reasons import because, listened
from .run import ask, own_arguments

#: Names of variables whose lines differ, from two `.env` files: the wanted one (standard input) and the one
#: that is there (%FILE%). Never a value: what does not look like a name of ours is only counted, because it
#: may be a part of a value that has several lines.
NAMES = r"""
awk '
  function name(line) { sub(/=.*/, "", line); return line }
  NR == FNR { if (/^[A-Za-z_][A-Za-z0-9_]*=/) wanted[name($0)] = $0; next }
  /^[ \t]*(#|$)/ { next }
  /^[A-Za-z_][A-Za-z0-9_]*=/ && name($0) in wanted { present[name($0)] = $0; next }
  /^[A-Z][A-Z0-9]*_[A-Z0-9_]*=/ { print "added " name($0); next }
  { others++ }
  END {
    for (one in wanted) {
      if (!(one in present)) print "missing " one
      else if (present[one] != wanted[one]) print "differs " one
    }
    if (others) print "others " others
  }
' - %FILE% | LC_ALL=C sort
"""


@operation()
def secret_file(
    path: str, content: str, user: str, group: str, names: bool = False
) -> Generator[StringCommand, None, None]:
    """Make `path` a file of mode 0600 with this content (text; a final line break is added where it lacks
    one).

    The comparison happens on the host: neither the content nor a hash of it comes back. `names`: it is a
    `.env`, of which it may be said which variables differ.
    """
    text = content if content.endswith("\n") else f"{content}\n"
    destination = shlex.quote(path)
    state = _state(destination, text)
    if state == f"same {user} {group} 600":
        host.noop(f"{path} is as it should be")
        return
    if state.startswith("same"):
        because(f"{path} is {state.removeprefix('same ')} instead of {user} {group} 600")
        yield StringCommand(f"chown {user}:{group} {destination} && chmod 0600 {destination}")
        return
    because(_difference(path, destination, text, state, names))
    fresh = shlex.quote(f"{path}.new")
    # rm: a leftover could be readable, and `>` would keep its mode.
    yield StringCommand(
        f"umask 077 && rm -f {fresh} && cat > {fresh} && chown {user}:{group} {fresh} && mv -f {fresh} "
        f"{destination}",
        _stdin=text,
    )


def _difference(path: str, destination: str, text: str, state: str, names: bool) -> str:
    if state == "absent":
        return f"{path} is missing"
    if not (names and listened()):
        return f"the content of {path} is not as declared"
    done, output = ask(host, NAMES.replace("%FILE%", destination), stdin=text, **own_arguments(host))
    words: dict[str, list[str]] = {"differs": [], "missing": [], "added": [], "others": []}
    for line in output.stdout_lines if done else []:
        word, _, name = line.partition(" ")
        words[word].append(name)
    said = [f"{word}: {', '.join(words[word])}" for word in ("differs", "missing", "added") if words[word]]
    said += [f"{count} other lines" for count in words["others"]]
    return f"{path} is not as declared ({'; '.join(said) or 'order or comments'})"


def _state(destination: str, text: str) -> str:
    """`absent`, `differs`, or `same USER GROUP MODE`."""
    script = (
        f"if ! test -f {destination} || test -L {destination}; then cat > /dev/null; echo absent; "
        f"elif cmp -s - {destination}; then stat -c 'same %U %G %a' {destination}; else echo differs; fi"
    )
    done, output = ask(host, script, stdin=text, **own_arguments(host))
    if not done or not output.stdout_lines:
        # No OperationError: that is what an operation says that found something which it must not touch.
        raise FactError(f"{host.name}: cannot look at {destination}: {output.stderr or 'no answer'}")
    return output.stdout_lines[-1]
