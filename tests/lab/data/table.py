"""What the generator knows of a table besides its rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .ledger import FIRST_ID
from .spec import Spec


@dataclass(frozen=True)
class Table:
    """A seeded table. columns: in COPY's order, the key's columns first. rows: lines of COPY text in the
    key's order, without the newline. far_ahead: where its sequence stands, when that is not the last id.
    """

    name: str
    columns: tuple[str, ...]
    rows: Callable[[Spec], Iterator[str]]
    key: tuple[str, ...] = ("id",)
    far_ahead: int | None = None

    @property
    def has_sequence(self) -> bool:
        return self.key == ("id",)

    def select(self) -> str:
        """The query whose COPY output is the concatenation of the rows; what the ledger's writer added is
        left out.
        """
        order = ", ".join(key if key == "id" else f'{key} COLLATE "C"' for key in self.key)
        where = f" WHERE id < {FIRST_ID}" if self.has_sequence else ""
        return f"SELECT {', '.join(self.columns)} FROM public.{self.name}{where} ORDER BY {order}"

    def key_of(self, line: str) -> tuple[int | bytes, ...]:
        """Comparable, in the order of `select`. Text keys hold nothing that COPY escapes."""
        values = line.split("\t", len(self.key))
        return tuple(
            int(value) if name == "id" else value.encode()
            for name, value in zip(self.key, values, strict=False)
        )


def table(
    name: str, columns: str, rows: Callable[[Spec], Iterator[str]], far_ahead: int | None = None
) -> Table:
    """columns: their names, separated by spaces, starting with id."""
    return Table(name, tuple(columns.split()), rows, far_ahead=far_ahead)


def no_rows(_: Spec) -> Iterator[str]:
    """For tables that a young installation has not used yet: they must come back as well."""
    return iter(())
