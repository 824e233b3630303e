"""`loomio-pi`: what the operator types, apart from pyinfra itself. One file per verb; this is the list."""

import difflib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from deploys.console import (
    authorize,
    deploy,
    doctor,
    drift,
    export,
    import_env,
    import_folder,
    init,
    kit,
    prune,
    pull,
    report,
    schema,
    secrets,
)
from inventories.passphrase import VARIABLE as PASSPHRASE_VARIABLE
from inventories.settings import HOST_VARIABLE
from inventories.settings import VARIABLE as SETTINGS_VARIABLE
from inventories.validation import SettingsError
from loomio_backup.errors import AgentError

VERBS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "init": (init.main, "start here: asks, tries out, and writes settings and secrets"),
    "secrets": (secrets.main, "make and edit the encrypted secrets file"),
    "authorize": (authorize.main, "get a Google account's consent to keep the backups in its Drive"),
    "import-env": (import_env.main, "turn an older stack's .env into a settings file"),
    "pull": (pull.main, "copy the backups to this machine, and check them"),
    "import-folder": (import_folder.main, "make such a copy out of what a browser downloaded"),
    "export": (export.main, "write one backup of that copy into one file"),
    "kit": (kit.main, "print the recovery kit, prove that it works, come back with it"),
    "prune": (prune.main, "remove old backups from a Drive in which the Pi never deletes"),
    "report": (report.main, "have the Pi say on one page how everything stands"),
    "deploy": (deploy.main, "run one of the deploys, with exit codes for schedulers"),
    "drift": (drift.main, "say whether every Pi is as declared, for cron and CI"),
    "doctor": (doctor.main, "say what is wrong, in the order in which to put it right"),
    "schema": (schema.main, "print the settings' schema, for editors"),
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
