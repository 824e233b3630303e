"""`loomio-pi deploy NAME`: one of the deploys, with an exit code that schedulers and people can rely on.

0: done, nothing failed. 1: anything else, except that verify and drift say 2 where nothing failed, but a Pi
is not as declared. What follows NAME goes to pyinfra (--dry, --diff, --limit, --data, --json …).
"""

import difflib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from inventories.variables import HOST_VARIABLE, SETTINGS_VARIABLE

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = Path("inventories/pi.py")
#: What only these answer with.
NOT_AS_DECLARED = 2
_JUDGES = ("verify", "drift")


_USAGE = """\
usage: loomio-pi deploy NAME [options of pyinfra]

NAME: {names}

Often used options: --dry shows what would be done and does nothing, --diff
shows how files change, --limit NAME works on one Pi only, --data NAME=VALUE
says something to the deploy.

Exit codes: 0 done, 1 failed. Of verify and drift: 2 nothing failed, but a Pi
is not as declared."""


class DeployNameError(ValueError):
    """There is no deploy of that name."""


def names() -> list[str]:
    """The deploys that there are."""
    return sorted(path.stem for path in (ROOT / "deploys").glob("*.py") if path.stem != "__init__")


def run(name: str, options: Sequence[str] = ()) -> int:
    """Run the deploy `name` on every host of the settings, and return 0 or 1 (verify, drift: or 2). Raises
    DeployNameError, one sentence.
    """
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(names())}."
        raise DeployNameError(f"There is no deploy called {name!r}. {hint}")
    given = _from_here(options)
    if (host := os.environ.get(HOST_VARIABLE)) and "--limit" not in options:
        given += ["--limit", host]
    command = [sys.executable, "-m", "deploys.console.runner", str(INVENTORY), f"deploys/{name}.py", *given]
    if not {"--dry", "-y", "--yes"}.intersection(options):
        # Whoever names a deploy wants it done; --dry is for looking first.
        command.append("--yes")
    # Ctrl-C reaches the child as well, which ends in its own time: it still has to clear up on the Pi.
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = subprocess.Popen(command, cwd=ROOT, env=_environment(), preexec_fn=_with_interrupts)
        code = child.wait()
        return code if code == 0 or (code == NOT_AS_DECLARED and name in _JUDGES) else 1
    finally:
        signal.signal(signal.SIGINT, previous)


def _from_here(options: Sequence[str]) -> list[str]:
    """The options, with the folder of `--data from=FOLDER` meant from where the command was typed."""
    beginning = "from="
    return [
        beginning + str(Path(option.removeprefix(beginning)).expanduser().absolute())
        if option.startswith(beginning) and before == "--data"
        else option
        for before, option in zip(["", *options], options, strict=False)
    ]


def _with_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    if settings := environment.get(SETTINGS_VARIABLE):
        # The child works in the root of the checkout: a relative path means the place where the command was
        # typed.
        environment[SETTINGS_VARIABLE] = str(Path(settings).absolute())
    if not sys.stderr.isatty():
        environment.setdefault("PYINFRA_PROGRESS", "off")
    return environment


def main(arguments: Sequence[str]) -> int:
    """The verb: NAME and options of pyinfra."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE.format(names=", ".join(names())), file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    try:
        return run(arguments[0], arguments[1:])
    except DeployNameError as error:
        print(f"loomio-pi: {error}", file=sys.stderr)
        return 1
