"""`loomio-pi`: what the operator types, apart from pyinfra itself. One file per verb; this is the list."""

import difflib
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from inventories.validation import SettingsError
from inventories.variables import HOST_VARIABLE, PASSPHRASE_VARIABLE, SETTINGS_VARIABLE
from loomio_backup.errors import AgentError

Verb = Callable[[Sequence[str]], int]


def _of(module: str) -> Verb:
    # Imported when it is asked for: all of them together would take longer than some of them run.
    def run(arguments: Sequence[str]) -> int:
        verb: Verb = importlib.import_module(f"deploys.console.{module}").main
        return verb(arguments)

    return run


VERBS: dict[str, tuple[Verb, str]] = {
    "init": (_of("init"), "start here: asks, tries out, and writes settings and secrets"),
    "secrets": (_of("secrets"), "make and edit the encrypted secrets file"),
    "authorize": (_of("authorize"), "get a Google account's consent to keep the backups in its Drive"),
    "import-env": (_of("import_env"), "turn an older stack's .env into a settings file"),
    "pull": (_of("pull"), "copy the backups to this machine, and check them"),
    "import-folder": (_of("import_folder"), "make such a copy out of what a browser downloaded"),
    "export": (_of("export"), "write one backup of that copy into one file"),
    "kit": (_of("kit"), "print the recovery kit, prove that it works, come back with it"),
    "prune": (_of("prune"), "remove old backups from a Drive in which the Pi never deletes"),
    "report": (_of("report"), "have the Pi say on one page how everything stands"),
    "deploy": (_of("deploy"), "run one of the deploys, with exit codes for schedulers"),
    "drift": (_of("drift"), "say whether every Pi is as declared, for cron and CI"),
    "doctor": (_of("doctor"), "say what is wrong, in the order in which to put it right"),
    "schema": (_of("schema"), "print the settings' schema, for editors"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Exit codes: 0 done, 1 failed (one sentence on stderr), 2 wrong usage
    (of `deploy verify` and `drift`: a Pi is not as declared).
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if given[:1] == ["--host"] and len(given) > 1:
        # Read where the settings are: by every verb, and by the deploys that it starts.
        os.environ[HOST_VARIABLE] = given[1]
        given = given[2:]
    if not given or given[0] not in VERBS:
        print(_usage(), file=sys.stderr)
        if given:
            close = difflib.get_close_matches(given[0], VERBS, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            print(f"\nloomio-pi: there is no verb {given[0]!r}.{hint}", file=sys.stderr)
        return 2
    verb, _ = VERBS[given[0]]
    for variable in (SETTINGS_VARIABLE, PASSPHRASE_VARIABLE):
        # Relative to where the command is typed, also for what is started elsewhere.
        if value := os.environ.get(variable):
            os.environ[variable] = str(Path(value).absolute())
    try:
        return verb(given[1:])
    except (SettingsError, AgentError) as error:
        print(f"loomio-pi: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        reason = error.strerror or type(error).__name__
        print(f"loomio-pi: {place}{reason}. Put that right, then type the same again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("loomio-pi: interrupted.", file=sys.stderr)
        return 130


def _usage() -> str:
    verbs = "\n".join(f"  {name:15}{what}" for name, (_, what) in VERBS.items())
    return (
        f"usage: loomio-pi [--host NAME] VERB …\n\n{verbs}\n\n"
        "loomio-pi VERB --help says more. --host says which Pi is meant, where the\n"
        "settings name several. What exit codes mean is in docs/exit-codes.md."
    )


if __name__ == "__main__":
    sys.exit(main())
