"""Runs pyinfra in this process, and answers with an exit code that can be trusted.

pyinfra exits with 0 for an inventory that names no host, for `--limit` that matches nothing, and for Ctrl-C.
Started as a child by `loomio-pi deploy`: `python -m deploys.console.runner INVENTORY DEPLOY [options of
pyinfra]`.
"""

import signal
import sys
from types import FrameType

from pyinfra.api.state import State, StateStage
from pyinfra.context import ctx_state
from pyinfra_cli import main as pyinfra_main  # type: ignore[import-untyped]

from deploys.console import judgement

FAILED = 1
#: Where an operator comes by anyway, and is in no hurry.
_ROUTINE = ("deploys/setup.py", "deploys/verify.py", "deploys/backup.py")


def main() -> int:
    """Run pyinfra with this process's arguments. 0: every host was reached and nothing failed; 2 (only of
    verify): a Pi is not as declared; 1: anything else.
    """
    if not judgement.asked_for(sys.argv):
        return _run()
    arguments = judgement.Arguments.taken_from(sys.argv)
    return judgement.conclude(_run(), arguments, ctx_state.get())  # type: ignore[no-untyped-call]


def _run() -> int:
    interrupted = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        sys.exit(FAILED)

    # pyinfra installs a handler that exits with 0, just before it starts to work: replace it when it does.
    install = signal.signal
    signal.signal = lambda number, handler: install(number, note if number == signal.SIGINT else handler)  # type: ignore[assignment]
    try:
        pyinfra_main.main()
        code: object = 0
    except SystemExit as exit_:
        code = exit_.code
    finally:
        signal.signal = install
    if interrupted:
        print(
            "Interrupted. What was started on the Pi has been left as it is; run the same command again.",
            file=sys.stderr,
        )
        return FAILED
    if code not in (0, None):
        return FAILED
    problem = _untold_problem("--dry" in sys.argv)
    if problem:
        print(problem, file=sys.stderr)
        return FAILED
    if any(argument.endswith(_ROUTINE) for argument in sys.argv):
        for sentence in _reminders():
            print(f"\nReminder: {sentence}", file=sys.stderr)
    return 0


def _reminders() -> list[str]:
    """What the operator should know about their recovery kit. Here, because the secrets are open here."""
    # Slow to import, and not needed by those who are in a hurry.
    from deploys.console import kit_record
    from inventories.secrets import Secrets
    from inventories.settings import Settings

    state: State | None = ctx_state.get()  # type: ignore[no-untyped-call]
    assert state is not None
    said: list[str] = []
    for host in state.activated_hosts:
        settings, secrets = host.data.get("settings"), host.data.get("secrets")
        if isinstance(settings, Settings) and isinstance(secrets, Secrets):
            sentence = kit_record.remind(host.data.settings_file, settings, secrets)
            said += [sentence] if sentence else []
    return said


def _untold_problem(dry: bool) -> str | None:
    """Why a run that pyinfra calls a success is none."""
    state: State | None = ctx_state.get()  # type: ignore[no-untyped-call]
    if state is None or not state.initialised:
        return "Nothing was run."
    if not state.activated_hosts:
        return "No host was worked on: does --limit name a host of the settings?"
    if state.failed_hosts:
        return f"Failed: {', '.join(sorted(host.name for host in state.failed_hosts))}."
    if not dry and state.current_stage < StateStage.Disconnect:
        return "Stopped before the end."
    return None


if __name__ == "__main__":
    sys.exit(main())
