"""Is the ledger what a snapshot of its writer's work must be: 1 … n without a gap, the same in every table
and on disk?
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from . import ledger
from .files import FileFact

TABLES = ("ledger_entries", "ledger_counter")
QUERIES = {
    "ledger counter": "SELECT seed, last_number FROM public.ledger_counter",
    "ledger entries": "SELECT number, sha256, blob_key, body FROM public.ledger_entries ORDER BY number",
    "ledger comments": (
        f"SELECT id - {ledger.FIRST_ID}, body FROM public.comments WHERE id > {ledger.FIRST_ID} ORDER BY id"
    ),
    "ledger attachments": (
        f"SELECT a.id - {ledger.FIRST_ID}, b.key FROM public.active_storage_attachments a"
        f" LEFT JOIN public.active_storage_blobs b ON b.id = a.blob_id AND a.record_id = a.id"
        f" WHERE a.id > {ledger.FIRST_ID} ORDER BY a.id"
    ),
    "ledger topic": f"SELECT items_count FROM public.topics WHERE id = {ledger.TOPIC_ID}",
}
_MOST_DETAILS = 20
# A file precedes its row: those of entries that committed after the snapshot may be there.
_LOOK_AHEAD = 20_000


@dataclass(frozen=True)
class Ledger:
    """rows: entries found. gap_free: they are 1 … rows, and the counter says the same. agrees: comments,
    attachments and files are exactly those of these entries, with the right content. files_ahead: whole
    files of later entries. details: what is wrong, as sentences.
    """

    rows: int = 0
    gap_free: bool = True
    agrees: bool = True
    attachments: int = 0
    files_ahead: int = 0
    details: tuple[str, ...] = ()


class LedgerReader:
    """Takes the sections of QUERIES as they arrive, then the files."""

    def __init__(self) -> None:
        self._seed, self._counter, self._topic = 0, 0, 0
        self._numbers = 0
        self._gaps: list[str] = []
        self._disagreements: list[str] = []
        self._keys: dict[int, str] = {}
        self._comments = 0
        self._attachments: dict[int, str] = {}

    def read(self, section: str, lines: Iterable[bytes]) -> None:
        """The counter comes first, because the entries' content follows from its seed."""
        for line in lines:
            values = line.decode().split("\t")
            match section:
                case "ledger counter":
                    self._seed, self._counter = int(values[0]), int(values[1])
                case "ledger entries":
                    self._entry(int(values[0]), values[1], values[2], "\t".join(values[3:]))
                case "ledger comments":
                    self._comment(int(values[0]), "\t".join(values[1:]))
                case "ledger attachments":
                    self._attachments[int(values[0])] = values[1]
                case "ledger topic":
                    self._topic = int(values[0])

    def finish(self, files: Mapping[str, FileFact]) -> Ledger:
        """files: the ledger's own, by path."""
        if self._counter != self._numbers:
            self._gaps.append(f"the counter stands at {self._counter}, with {self._numbers} entries")
        if self._topic != self._numbers:
            self._disagreements.append(f"the topic counts {self._topic} items")
        if self._comments != self._numbers:
            self._disagreements.append(f"there are {self._comments} comments for {self._numbers} entries")
        if self._attachments != self._keys:
            wrong = sorted(set(self._attachments.items()) ^ set(self._keys.items()))
            self._disagreements += [f"attachment of entry {number}: {key}" for number, key in wrong]
        ahead = self._check_files({path: fact for path, fact in files.items() if fact.type == "file"})
        return Ledger(
            rows=self._numbers,
            gap_free=not self._gaps,
            agrees=not self._disagreements,
            attachments=len(self._keys),
            files_ahead=ahead,
            details=tuple((self._gaps + self._disagreements)[:_MOST_DETAILS]),
        )

    def _entry(self, number: int, sha256: str, key: str, body: str) -> None:
        self._numbers += 1
        if number != self._numbers and not self._gaps:
            self._gaps.append(f"entry {self._numbers} is missing, {number} is there")
        text = ledger.body(self._seed, number)
        if sha256 != ledger.sha256(text) or body != _copied(text):
            self._disagreements.append(f"entry {number} has another text")
        if key != r"\N":
            self._keys[number] = key
            if key != ledger.blob_key(self._seed, number):
                self._disagreements.append(f"entry {number} has another attachment: {key}")

    def _comment(self, number: int, body: str) -> None:
        self._comments += 1
        if body != _copied(ledger.body(self._seed, number)):
            self._disagreements.append(f"the comment of entry {number} has another text")

    def _check_files(self, files: dict[str, FileFact]) -> int:
        for number, key in self._keys.items():
            found = files.pop(f"storage/{ledger.blob_path(key)}", None)
            if found is None:
                self._disagreements.append(f"entry {number}: its file is missing")
            elif found.sha256 != self._content_sha256(number):
                self._disagreements.append(f"entry {number}: its file has another content")
        # Half-written files are the writer's business: no row mentions them.
        left = {path: fact for path, fact in files.items() if not path.endswith(ledger.TEMPORARY_SUFFIX)}
        ahead = 0
        for number in range(self._numbers + 1, self._numbers + _LOOK_AHEAD) if left else ():
            key = ledger.blob_key(self._seed, number)
            found = left.pop(f"storage/{ledger.blob_path(key)}", None)
            if found is not None:
                ahead += 1
                if found.sha256 != self._content_sha256(number):
                    self._disagreements.append(f"{found.path} has another content")
        self._disagreements += [f"{path} belongs to no entry" for path in left]
        return ahead

    def _content_sha256(self, number: int) -> str:
        return hashlib.sha256(ledger.content(self._seed, number)).hexdigest()


def _copied(text: str) -> str:
    """As COPY writes it; a body holds no other character that COPY escapes."""
    return text.replace("\t", r"\t").replace("\n", r"\n")
