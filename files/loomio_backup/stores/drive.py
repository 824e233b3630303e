"""The Drive store: a folder in Google Drive, of a user or in a shared drive.

Names are not unique in Drive, lists lag behind, and requests get repeated behind our back. So a file is
created with an id that Drive gave out beforehand (a repetition then answers 409, "it is there"), and every
object is compared with Drive's own size and hashes before `put` returns. Overwriting is only for RECOVERY.md.
"""

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from loomio_backup.config import DriveStore
from loomio_backup.errors import StoreAppendOnly, StoreConflict, StoreDamaged, StoreNotFound
from loomio_backup.stores import probe
from loomio_backup.stores.bandwidth import Bandwidth
from loomio_backup.stores.base import Progress, Space, StoredObject, UploadMemory, check_name, check_source
from loomio_backup.stores.drive_answers import (
    AboutAnswer,
    FileAnswer,
    IdAnswer,
    IdsAnswer,
    content_answer,
    no_answer,
)
from loomio_backup.stores.drive_errors import Refused, may_not_delete, sentence
from loomio_backup.stores.drive_folder import FOLDER_TYPE, Folder, FolderFinder, quoted
from loomio_backup.stores.patience import Backoff

if TYPE_CHECKING:
    from loomio_backup.objects import Digests
    from loomio_backup.stores.drive_client import DriveClient

_FIELDS = "id,name,size,md5Checksum,sha256Checksum,createdTime,trashed"
_IDS_AT_ONCE = 100
_TRIES = 2  # of a transfer that arrived with another hash than it left with
_Objects = list[StoredObject]  # inside the class, `list` is the method
_Names = list[str]


class DriveFolder:
    """Objects as files of one Drive folder, reached with the credentials in `secret` (the JSON file's
    dictionary).
    """

    kind: Literal["drive"] = "drive"

    def __init__(
        self,
        settings: DriveStore,
        secret: Mapping[str, Any],
        backoff: "Backoff | None" = None,
        bandwidth: Bandwidth | None = None,
    ) -> None:
        self._settings, self._secret, self._backoff = settings, secret, backoff or Backoff()
        self._bandwidth = bandwidth or Bandwidth(settings.upload_limit_bytes)
        self._finder = FolderFinder(settings, secret)
        self._client: DriveClient | None = None
        self._folder: Folder | None = None
        self._ids: _Names = []

    @property
    def append_only(self) -> bool:
        """See Store.append_only."""
        return self._settings.append_only

    def clone(self) -> "DriveFolder":
        """See Store.clone."""
        return DriveFolder(self._settings, self._secret, self._backoff, self._bandwidth)

    def now(self) -> datetime:
        """See Store.now: Google's clock."""
        with self._finder.told("asking Drive for the time"):
            return self._drive().now()

    def space(self) -> Space:
        """See Store.space. A shared drive has no limit of its own that a member may ask for."""
        folder = self._open()
        if self._settings.shared_drive_id or (folder is not None and folder.drive_id):
            return Space(None, None, None)
        what, drive = "asking Drive how much room there is", self._drive()
        with self._finder.told(what):
            quota = drive.call(what, drive.about.get(fields="storageQuota"), AboutAnswer.model_validate).quota
        free = None if quota.limit is None else max(0, quota.limit - quota.used)
        return Space(quota.limit, quota.used, free, quota.trash)

    def source_path(self, name: str) -> None:
        """Everything has to be fetched."""

    def verify_access(self) -> None:
        """Find out whether backups could be stored here, storing nothing but the folder itself: a cheap
        canary.
        """
        self._client = self._folder = None  # a token that is still good would hide that the next is refused
        self._open_to_write()

    def probe(self) -> None:
        """See Store.probe."""
        probe.probe(self)

    def reserve_id(self) -> str:
        """See Store.reserve_id."""
        if not self._ids:
            what, drive = "asking Drive for file ids", self._drive()
            with self._finder.told(what):
                request = drive.files.generateIds(count=_IDS_AT_ONCE, fields="ids")
                self._ids = list(drive.call(what, request, IdsAnswer.model_validate).ids)
        return self._ids.pop()

    def put(
        self,
        name: str,
        path: Path,
        digests: "Digests",
        *,
        object_id: str | None = None,
        progress: Progress | None = None,
        memory: UploadMemory | None = None,
    ) -> StoredObject:
        """See Store.put."""
        check_name(name)
        check_source(name, path, digests)
        folder = self._open_to_write()
        present = self._named(folder, name)
        for stored in present:
            if stored.matches(digests):
                if memory:
                    memory.remember(None)
                return stored
        if present:
            raise _conflict(name)
        for _ in range(_TRIES):
            stored = self._create(
                folder, name, path, digests, object_id or self.reserve_id(), progress, memory
            )
            if stored.matches(digests):
                return stored
            self._take_back(stored)
            object_id = None  # an id serves only once
        raise StoreDamaged(
            f"{name} arrived in Drive with another hash than it was sent with, {_TRIES} times. It was "
            "removed there; all other backups are untouched. Run the backup again; if this repeats, test "
            "the Pi's memory."
        )

    def replace(self, name: str, path: Path, digests: "Digests") -> StoredObject:
        """See Store.replace."""
        check_name(name)
        check_source(name, path, digests)
        present = self._named(self._open_to_write(), name)
        if not present:
            return self.put(name, path, digests)
        if present[0].matches(digests):
            return present[0]
        what, drive, file_id = f"replacing {name} in Drive", self._drive(), present[0].id
        with self._finder.told(what):
            answer = drive.upload(
                what,
                lambda media: drive.files.update(
                    fileId=file_id, media_body=media, supportsAllDrives=True, fields=_FIELDS
                ),
                path,
                digests.stored_size,
                None,
                content_answer,
            )
        stored = answer.stored()
        if not stored.matches(digests):
            raise StoreDamaged(
                f"{name} arrived in Drive with another hash than it was sent with. Drive keeps its previous "
                "version for 30 days. Run the backup again."
            )
        return stored

    def get(
        self, name_or_object: str | StoredObject, destination: Path, progress: Progress | None = None
    ) -> StoredObject:
        """See Store.get."""
        stored = self.stat(name_or_object) if isinstance(name_or_object, str) else name_or_object
        if stored is None:
            raise StoreNotFound(f"there is no object {name_or_object} in the Drive folder.")
        partial = destination.with_name(f".{destination.name}.partial")
        try:
            self._fetch(stored, partial, progress)
            partial.rename(destination)
        finally:
            partial.unlink(missing_ok=True)
        return stored

    def list(self) -> Iterator[StoredObject]:
        """See Store.list. A folder that is known by name and not made yet holds nothing."""
        folder = self._open()
        if folder is not None:
            yield from self._search(folder, "listing the Drive folder")

    def stat(self, name: str, object_id: str | None = None) -> StoredObject | None:
        """See Store.stat; of several files of that name the oldest. With an id, only the file of that id."""
        check_name(name)
        folder = self._open()
        if folder is None:
            return None
        if object_id is not None:
            return self._by_id(folder, name, object_id)
        found = self._named(folder, name)
        return found[0] if found else None

    def delete(self, stored: StoredObject) -> None:
        """See Store.delete. A content manager of a shared drive may not delete: then it goes to the trash."""
        if self.append_only:
            raise StoreAppendOnly(
                f"{stored.name} was not deleted: this Pi never deletes in Drive (backup.drive.append_only). "
                "Nothing was changed. Prune from the operator's machine with a Manager's credentials."
            )
        what = f"deleting {stored.name} in Drive"
        try:
            self._remove(stored, to_trash=self._settings.deletion == "trash")
        except Refused as refused:
            if refused.status == 403 and refused.about_role:
                raise may_not_delete(what, refused) from refused
            if refused.status != 404:
                raise sentence(what, refused) from refused

    # -- objects ---------------------------------------------------------------------------------------------

    def _create(
        self,
        folder: Folder,
        name: str,
        path: Path,
        digests: "Digests",
        file_id: str,
        progress: Progress | None,
        memory: UploadMemory | None,
    ) -> StoredObject:
        what, drive = f"storing {name} in Drive", self._drive()
        body = {"id": file_id, "name": name, "parents": [folder.id]}
        with self._finder.told(what):
            try:
                answer = drive.upload(
                    what,
                    lambda media: drive.files.create(
                        body=body, media_body=media, supportsAllDrives=True, fields=_FIELDS
                    ),
                    path,
                    digests.stored_size,
                    progress,
                    content_answer,
                    memory,
                )
            except Refused as refused:
                if refused.status != 409:
                    raise
                # "That id exists": an earlier try got through, its answer did not. Reading by id never lags.
                request = drive.files.get(fileId=file_id, supportsAllDrives=True, fields=_FIELDS)
                answer = drive.call(what, request, FileAnswer.model_validate)
                if answer.name != name or not answer.has_content or not answer.stored().matches(digests):
                    raise _conflict(name) from refused
        if answer.trashed:
            self._folder = None
            raise self._finder.in_trash()
        return answer.stored()

    def _take_back(self, stored: StoredObject) -> None:
        try:
            self._remove(stored)
        except Refused as refused:
            raise StoreDamaged(
                f"{stored.name} arrived in Drive with another hash than it was sent with, and this account "
                "may not delete it. All other backups are untouched. Delete that file in Drive, then run "
                "the backup again."
            ) from refused

    def _remove(self, stored: StoredObject, to_trash: bool = False) -> None:
        what, drive = f"deleting {stored.name} in Drive", self._drive()
        try:
            if not to_trash:
                drive.call(what, drive.files.delete(fileId=stored.id, supportsAllDrives=True), no_answer)
        except Refused as refused:
            if refused.status != 403:
                raise
            to_trash = True
        if to_trash:
            trash = drive.files.update(
                fileId=stored.id, body={"trashed": True}, supportsAllDrives=True, fields="id"
            )
            drive.call(what, trash, IdAnswer.model_validate)

    def _fetch(self, stored: StoredObject, partial: Path, progress: Progress | None) -> None:
        what, drive = f"fetching {stored.name} from Drive", self._drive()
        assert stored.id is not None
        for _ in range(_TRIES):
            partial.unlink(missing_ok=True)
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
                try:
                    md5 = drive.download(what, stored.id, target, stored.size, progress)
                except Refused as refused:
                    if refused.status == 404:
                        raise StoreNotFound(f"{stored.name} is no longer in the Drive folder.") from refused
                    if refused.status == 416:
                        raise _damaged(stored) from refused
                    raise sentence(what, refused) from refused
                target.flush()
                os.fsync(target.fileno())
            if stored.md5 in (None, md5):
                return
        raise _damaged(stored)

    def _by_id(self, folder: Folder, name: str, file_id: str) -> StoredObject | None:
        what, drive = f"looking for {name} in Drive", self._drive()
        request = drive.files.get(fileId=file_id, supportsAllDrives=True, fields=f"{_FIELDS},parents")
        try:
            answer = drive.call(what, request, FileAnswer.model_validate)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise sentence(what, refused) from refused
        elsewhere = answer.parents is not None and folder.id not in answer.parents
        if answer.trashed or elsewhere or answer.name != name or not answer.has_content:
            return None
        return answer.stored()

    def _named(self, folder: Folder, name: str) -> _Objects:
        """Files of exactly this name, oldest first (Drive itself compares without regard to case)."""
        found = self._search(folder, f"looking for {name} in Drive", f"name = '{quoted(name)}' and ")
        return sorted((stored for stored in found if stored.name == name), key=lambda stored: stored.created)

    def _search(self, folder: Folder, what: str, more: str = "") -> Iterator[StoredObject]:
        query = f"{more}'{quoted(folder.id)}' in parents and mimeType != '{FOLDER_TYPE}' and trashed = false"
        for answer in self._finder.pages(self._drive(), what, query, folder.drive_id, _FIELDS):
            if answer.has_content:  # Google's own documents have none; they are nothing of ours
                yield answer.stored()

    # -- connection ------------------------------------------------------------------------------------------

    def _drive(self) -> "DriveClient":
        if self._client is None:
            from loomio_backup.stores.drive_client import DriveClient

            self._client = DriveClient(self._settings, self._secret, self._backoff, self._bandwidth)
        return self._client

    def _open(self) -> Folder | None:
        if self._folder is None:
            self._folder = self._finder.find(self._drive(), create=False)
        return self._folder

    def _open_to_write(self) -> Folder:
        self._folder = self._finder.find(self._drive(), create=True) if self._folder is None else self._folder
        assert self._folder is not None
        return self._folder


def _conflict(name: str) -> StoreConflict:
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
