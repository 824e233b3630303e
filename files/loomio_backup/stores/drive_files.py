"""Files of the Drive folder: one method for each thing that is asked of them.

Lists lag behind; reading by id never does. So a file is created with an id that Drive gave out beforehand: a
repetition answers 409, "that id exists", and is then read by its id.
"""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from loomio_backup.errors import StoreConflict, StoreDamaged, StoreNotFound
from loomio_backup.stores.base import Progress, StoredObject, UploadMemory
from loomio_backup.stores.drive_answers import FileAnswer, IdAnswer, IdsAnswer, content_answer
from loomio_backup.stores.drive_errors import Refused, sentence
from loomio_backup.stores.drive_folder import FOLDER_TYPE, Folder, FolderFinder, quoted

if TYPE_CHECKING:
    from loomio_backup.catalogue.objects import Digests
    from loomio_backup.stores.drive_client import DriveClient

_FIELDS = "id,name,size,md5Checksum,sha256Checksum,createdTime,trashed"
_IDS_AT_ONCE = 100
TRIES = 2
"""Of a transfer that arrived with another hash than it left with."""


class DriveFiles:
    """What can be done with files through one client. Raises the StoreError to show, unless it says
    otherwise.
    """

    def __init__(self, drive: "DriveClient", finder: FolderFinder) -> None:
        self._drive, self._finder = drive, finder
        self._ids: list[str] = []

    def reserve_id(self) -> str:
        """An id for a file to come."""
        if not self._ids:
            what = "asking Drive for file ids"
            with self._finder.told(what):
                request = self._drive.files.generateIds(count=_IDS_AT_ONCE, fields="ids")
                self._ids = list(self._drive.call(what, request, IdsAnswer.model_validate).ids)
        return self._ids.pop()

    def create(
        self,
        folder: Folder,
        name: str,
        path: Path,
        digests: "Digests",
        file_id: str | None,
        progress: Progress | None,
        memory: UploadMemory | None,
    ) -> StoredObject:
        """Upload a new file, as what Drive then says that it is: the caller compares. A file of this id that
        is there already is left as it is.
        """
        what = f"storing {name} in Drive"
        for _ in range(TRIES):
            file_id = file_id or self.reserve_id()
            body = {"id": file_id, "name": name, "parents": [folder.id]}
            start = functools.partial(
                self._drive.files.create, body=body, supportsAllDrives=True, fields=_FIELDS
            )
            with self._finder.told(what):
                try:
                    answer = self._drive.upload(
                        what, start, path, digests.stored_size, progress, content_answer, memory
                    )
                except Refused as refused:
                    if refused.status != 409:
                        raise
                    # An earlier try got through, its answer did not; or the file was removed since.
                    if (found := self.by_id(folder, name, file_id)) is not None:
                        return found
                    file_id = None
                    continue
            if answer.trashed:
                self._finder.forget()
                raise self._finder.in_trash()
            return answer.stored()
        raise conflict(name)

    def overwrite(
        self, what: str, stored: StoredObject, path: Path, digests: "Digests", progress: Progress | None
    ) -> StoredObject:
        """Give a file new content; the caller compares."""
        start = functools.partial(
            self._drive.files.update, fileId=stored.id, supportsAllDrives=True, fields=_FIELDS
        )
        with self._finder.told(what):
            size = digests.stored_size
            return self._drive.upload(what, start, path, size, progress, content_answer).stored()

    def remove(self, stored: StoredObject, to_trash: bool) -> None:
        """Delete for good, or into the trash: also where an account may do no more (a content manager of a
        shared drive). Raises Refused.
        """
        what, files = f"deleting {stored.name} in Drive", self._drive.files
        try:
            if not to_trash:
                self._drive.delete(what, files.delete(fileId=stored.id, supportsAllDrives=True))
                return
        except Refused as refused:
            if not refused.about_role:
                raise
        trash = files.update(fileId=stored.id, body={"trashed": True}, supportsAllDrives=True, fields="id")
        self._drive.call(what, trash, IdAnswer.model_validate)

    def fetch(self, stored: StoredObject, partial: Path, progress: Progress | None) -> None:
        """Download into the new file `partial` (mode 0600), compared with what Drive says that it holds."""
        what = f"fetching {stored.name} from Drive"
        assert stored.id is not None
        # MD5 costs more than all else that is done with an object: only where Drive knows nothing better.
        algorithm, said = ("sha256", stored.sha256) if stored.sha256 else ("md5", stored.md5)
        for _ in range(TRIES):
            partial.unlink(missing_ok=True)
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
                try:
                    came = self._drive.download(what, stored.id, target, stored.size, progress, algorithm)
                except Refused as refused:
                    if refused.status == 404:
                        raise StoreNotFound(f"{stored.name} is no longer in the Drive folder.") from refused
                    if refused.status == 416:
                        raise _damaged(stored) from refused
                    raise sentence(what, refused) from refused
            if said in (None, came):
                return
        raise _damaged(stored)

    def by_id(self, folder: Folder, name: str, file_id: str) -> StoredObject | None:
        """The file of this id, if it has this name and is (still) in the folder; never out of date."""
        what = f"looking for {name} in Drive"
        request = self._drive.files.get(fileId=file_id, supportsAllDrives=True, fields=f"{_FIELDS},parents")
        try:
            answer = self._drive.call(what, request, FileAnswer.model_validate)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise sentence(what, refused) from refused
        elsewhere = answer.parents is not None and not folder.holds(answer.parents)
        if answer.trashed or elsewhere or answer.name != name or not answer.has_content:
            return None
        return answer.stored()

    def is_there(self, stored: StoredObject) -> bool:
        """Whether the file can be read by its id, wherever it is by now."""
        what = f"looking for {stored.name} in Drive"
        request = self._drive.files.get(fileId=stored.id, supportsAllDrives=True, fields="id")
        try:
            self._drive.call(what, request, IdAnswer.model_validate)
        except Refused as refused:
            if refused.status == 404:
                return False
            raise sentence(what, refused) from refused
        return True

    def named(self, folder: Folder, name: str) -> list[StoredObject]:
        """Files of exactly this name, oldest first (Drive itself compares without regard to case).

        Each is read once more by its id: a list may still show what has been deleted.
        """
        listed = self._search(folder, f"looking for {name} in Drive", f"name = '{quoted(name)}' and ")
        ids = {stored.id: stored.created for stored in listed if stored.name == name and stored.id}
        found = (self.by_id(folder, name, file_id) for file_id in sorted(ids, key=ids.__getitem__))
        return [stored for stored in found if stored is not None]

    def all(self, folder: Folder) -> Iterator[StoredObject]:
        """Every file. Each once: what moves from page to page meanwhile would look like two of one name."""
        seen: set[str | None] = set()
        for stored in self._search(folder, "listing the Drive folder"):
            if stored.id not in seen:
                seen.add(stored.id)
                yield stored

    def _search(self, folder: Folder, what: str, more: str = "") -> Iterator[StoredObject]:
        parents = " or ".join(f"'{quoted(folder_id)}' in parents" for folder_id in folder.all_ids)
        query = f"{more}({parents}) and mimeType != '{FOLDER_TYPE}' and trashed = false"
        for answer in self._finder.pages(self._drive, what, query, folder.drive_id, _FIELDS):
            if answer.has_content:  # Google's own documents have none; they are nothing of ours
                yield answer.stored()


def conflict(name: str) -> StoreConflict:
    """A file of this name that is not ours is in the way."""
    return StoreConflict(
        f"the Drive folder holds another object called {name}. It was left as it is, and the new one was "
        "not stored. Move that file out of the folder, then run the backup again."
    )


def _damaged(stored: StoredObject) -> StoreDamaged:
    return StoreDamaged(
        f"{stored.name} in Drive is damaged: its content does not have the size and hash that Drive "
        "reports. It was left as it is, and nothing was kept here. Take another backup, or the copy in "
        "another store."
    )
