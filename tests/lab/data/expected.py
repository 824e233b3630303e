"""What a data set looks like once loaded, computed from its numbers alone."""

from dataclasses import dataclass

from .archive import file_facts
from .files import FileFact
from .script import TableFact, table_facts
from .spec import Spec


@dataclass(frozen=True)
class Expected:
    """tables: by name. files: by path, which starts with the root's name; directories and symlinks are among
    them.
    """

    tables: dict[str, TableFact]
    files: dict[str, FileFact]


def expected(spec: Spec) -> Expected:
    return Expected(table_facts(spec), file_facts(spec))
