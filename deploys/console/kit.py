"""`loomio-pi kit [check|status|recover]`: what is needed on paper when Pi and computer are gone."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from deploys.console import kit_check, kit_page, kit_record, kit_recover
from deploys.console.agent_here import Operator
from inventories.settings import display, settings_file

FILE = "recovery-kit.html"


def main(arguments: Sequence[str]) -> int:
    """The verb. Returns the exit code; raises `SettingsError` and `AgentError`."""
    parser = argparse.ArgumentParser(
        prog="loomio-pi kit",
        description="Writes the recovery kit: one page to be printed, with everything that is needed to come "
        "back with nothing left of the Pi and this computer, apart from the passphrase and the Google login. "
        "The page is a secret.",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE.html", help=f"the file to write (default: {FILE})"
    )
    parser.add_argument(
        "--without-key", action="store_true",
        help="a page without the key, for somebody who has a key of their own, or where it is kept elsewhere",
    )  # fmt: skip
    verbs = parser.add_subparsers(metavar="check|status|recover", dest="verb")
    check = verbs.add_parser(
        "check",
        help="type the kit from paper, and see whether it opens the newest backup",
        description="Takes the lines of the kit as you type them from paper, and proves that they open the "
        "newest backup: in Google Drive with the access in the secrets, or as the options say.",
    )
    kit_check.add_options(check)
    verbs.add_parser("status", help="whether the kit on paper is still right, and when it was tried out")
    recover = verbs.add_parser(
        "recover",
        help="on a new computer: type the kit, and get settings and secrets back",
        description="Takes the lines of the kit, asks for a Google login, fetches settings and secrets out "
        "of the newest backup, and writes them here. Nothing that exists is overwritten.",
    )
    kit_recover.add_options(recover)
    options = parser.parse_args(arguments)
    match options.verb:
        case "check":
            return kit_check.run(options)
        case "status":
            return _status()
        case "recover":
            return kit_recover.run(options)
        case _:
            return print_kit(
                Operator.at_hand(), options.output or Path(FILE), with_key=not options.without_key
            )


def print_kit(operator: Operator, path: Path, *, with_key: bool = True) -> int:
    """Write the page, and remember that. Returns the exit code."""
    kit_page.write(path, kit_page.page(operator.settings, operator.secrets, with_key=with_key))
    if not with_key:
        print(f"{display(path)} is written, without the key. Print it, and give it to whoever has a key.")
        return 0
    kit_record.note_printed(settings_file(), operator.settings, operator.secrets)
    print(
        f"{display(path)} is written. It holds the key that opens every backup. Open it in a browser, print "
        "it twice, and delete the file. Keep both copies sealed, in places that do not burn down "
        "together, and never beside the passphrase.\nNext, from the paper: loomio-pi kit check"
    )
    return 0


def _status() -> int:
    operator = Operator.at_hand()
    record = kit_record.load(settings_file(), operator.settings)
    said = kit_record.reminder(record, operator.settings, operator.secrets)
    if record is not None:
        print(f"printed here:  {record.printed_at or 'never'}")
        opened = f", it opened {record.backup}" if record.backup else ""
        print(f"tried out:     {record.checked_at or 'never'}{opened}")
    print(said or "The kit on paper is right.")
    return 0 if said is None else 1
