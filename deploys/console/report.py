"""`loomio-pi report`: the recovery report, made on the Pi just now, on this machine."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from deploys.console.agent_here import Operator
from deploys.console.pi_ssh import PiConnection
from deploys.steps.paths import AGENT_COMMAND
from inventories.settings import display
from inventories.validation import SettingsError
from loomio_backup.progress import say
from loomio_backup.report.report import refuse_other_file
from loomio_backup.report.report_page import MARK
from loomio_backup.state import write_private


def main(arguments: Sequence[str]) -> int:
    """The verb. Returns the exit code; raises `SettingsError` and `AgentError`."""
    parser = argparse.ArgumentParser(
        prog="loomio-pi report",
        description="Has the Pi make its recovery report (loomio-backup report), and puts it here: one page "
        "for a browser, which needs nothing else. Changes nothing on the Pi.",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE",
        help="write it there (default: recovery-report- and the Pi's name, in this folder)",
    )  # fmt: skip
    parser.add_argument("--host", metavar="NAME", help="of this Pi, where the settings name several")
    options = parser.parse_args(arguments)
    operator = Operator.at_hand(options.host)
    name, hosts = operator.name, operator.settings.hosts
    destination = (options.output or Path(f"recovery-report-{name}.html")).absolute()
    refuse_other_file(destination)
    secrets = operator.secrets.hosts.get(name)
    word = secrets.sudo_password.get_secret_value() if secrets and secrets.sudo_password else None
    with (
        PiConnection(name, hosts[name], word) as pi,
        pi.command("making the report", AGENT_COMMAND, "report", "--output", "-") as output,
    ):
        page = output.read().decode("utf-8", "replace")
    if MARK not in page or not page.rstrip().endswith("</html>"):
        raise SettingsError(
            f"What came from {name} is no report. Nothing was written. Is the agent there up to date? Type: "
            "loomio-pi deploy setup"
        )
    write_private(destination, page)
    say(f"the recovery report of {name} is {display(destination)}: open {destination.as_uri()} in a browser")
    return 0
