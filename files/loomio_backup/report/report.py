"""`loomio-backup report`: how everything stands, as one page for a browser.

Made when it is asked for, and not by a timer: a page of yesterday says less than one of now, which takes
seconds; and what cannot wait is told by the watch.
"""

import sys
from pathlib import Path

from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.history import Reader
from loomio_backup.config import Config
from loomio_backup.credentials import Credentials
from loomio_backup.errors import AgentError
from loomio_backup.monitoring import status_text
from loomio_backup.monitoring.store_status import open_each
from loomio_backup.progress import say
from loomio_backup.report import report_data, report_page
from loomio_backup.state import StateDirectory, write_private

NAME = "report.html"
"""The page in the state directory."""
STDOUT = Path("-")
_HEAD = 1000


def run(config: Config, credentials: Credentials, output: Path | None) -> int:
    """The verb. `output`: where to write the page (`-`: to standard output); the state directory when None.

    Looks only, takes no lock, and changes nothing but that file. Exit code 0 also when the page tells of
    problems: for scripts there is `status`.
    """
    state = StateDirectory(config.state_directory)
    destination = output or state.path / NAME
    if destination != STDOUT:
        refuse_other_file(destination)
    with Catalogue(state.catalogue) as catalogue:
        opened = open_each(config, credentials, Reader(config, credentials, state, catalogue))
        look = status_text.look(config, credentials, state, catalogue, opened)
        facts = report_data.gather(config, credentials, state, catalogue, look, opened)
    page = report_page.render(config, facts)
    if destination == STDOUT:
        sys.stdout.write(page)
        return 0
    write_private(destination.absolute(), page)
    problems = f"{len(facts.problems)} open problems" if facts.problems else "no open problem"
    say(f"the recovery report is {destination.absolute()}: {problems}. Open it in a browser")
    return 0


def refuse_other_file(path: Path) -> None:
    """Only an earlier report is written over. Raises AgentError."""
    try:
        with path.open("rb") as file:
            known = report_page.MARK.encode() in file.read(_HEAD)
    except FileNotFoundError:
        return
    except OSError as error:
        raise AgentError(
            f"{path} cannot be the report ({error.strerror}). Nothing was written. Name a file: --output FILE"
        ) from error
    if not known:
        raise AgentError(
            f"{path} is there already, and no report. It was left as it is. Name another file with --output"
        )
