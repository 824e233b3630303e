"""Loomio-like data of any size, made from a seed, and the comparison that finds every difference from it.

Nothing here imports the product: what the agent restored is judged against the seed, not against the agent's
own idea.
"""

from .archive import write_tar
from .expected import Expected, expected
from .files import FileFact
from .script import TableFact, write_sql
from .spec import Spec

__all__ = ["Expected", "FileFact", "Spec", "TableFact", "expected", "write_sql", "write_tar"]
