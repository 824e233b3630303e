"""The one folder of a Drive that holds this Pi's backups: finding it, making it, and saying clearly when it
is not there.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loomio_backup.config import DriveStore
from loomio_backup.errors import StoreError, StoreNotFound
from loomio_backup.stores.drive_answers import (
    FileAnswer,
    FolderAnswer,
    IdAnswer,
    IdsAnswer,
    PageAnswer,
    RightsAnswer,
)
from loomio_backup.stores.drive_errors import (
    Refused,
    may_not_delete,
    may_not_store,
    sentence,
    service_account_without_storage,
)

if TYPE_CHECKING:
    from loomio_backup.stores.drive_client import DriveClient

FOLDER_TYPE = "application/vnd.google-apps.folder"


@dataclass(frozen=True)
class Folder:
    """A Drive folder, and the shared drive that it lies in (None: somebody's My Drive).

    `others` are more folders of that name. Lists lag behind, so that two processes may have made one each:
    what is in any of them counts, new objects go into the oldest.
    """

    id: str
    drive_id: str | None
    others: tuple[str, ...] = ()

    @property
    def all_ids(self) -> tuple[str, ...]:
        """Every folder to look into."""
        return self.id, *self.others

    def holds(self, parents: list[str]) -> bool:
        """Whether a file with these parents is in one of them."""
        return not set(self.all_ids).isdisjoint(parents)


def quoted(text: str) -> str:
    """Text for use between single quotes in a search query."""
    return text.replace("\\", "\\\\").replace("'", "\\'")


class FolderFinder:
    """Resolves the settings to a folder, once for all threads that use a store and its clones."""

    def __init__(self, settings: DriveStore, secret: Mapping[str, Any]) -> None:
        self._settings = settings
        # A service account that acts for itself owns no storage: it can use a shared drive, never a My Drive.
        self._homeless = secret.get("type") == "service_account" and settings.subject is None
        self._lock = threading.Lock()
        self._found: Folder | None = None

    def find(self, drive: "DriveClient", create: bool) -> Folder | None:
        """The folder; None when it is known by name only, does not exist yet, and `create` is false.

        With `create` it is made where absent, and refused where nothing could be stored in it.
        """
        with self._lock:
            if self._found is None:
                self._found = self._look(drive, create)
            if create and self._found is not None:
                self._require_home(self._found)
            return self._found

    def forget(self) -> None:
        """Look again at the next use."""
        with self._lock:
            self._found = None

    def require_rights(self, drive: "DriveClient", folder: Folder) -> None:
        """Raise what a backup would meet: the folder is gone or in the trash, or the role is not enough."""
        what = "storing in the Drive folder"
        request = drive.files.get(
            fileId=folder.id,
            supportsAllDrives=True,
            fields="id,mimeType,trashed,driveId,capabilities(canAddChildren,canDeleteChildren,canTrashChildren)",
        )
        with self.told(what):
            answer = drive.call(what, request, RightsAnswer.model_validate)
        if answer.trashed:
            raise self.in_trash()
        if not answer.rights.add:
            raise may_not_store(what)
        # Drive tells of deleting only in shared drives; in a My Drive, an owner always may.
        if (
            answer.drive_id
            and not self._settings.append_only
            and not (answer.rights.delete or answer.rights.trash)
        ):
            raise may_not_delete("deleting in the Drive folder")

    def _require_home(self, folder: Folder) -> None:
        if self._homeless and folder.drive_id is None:
            raise service_account_without_storage()

    def _look(self, drive: "DriveClient", create: bool) -> Folder | None:
        settings = self._settings
        if self._homeless and not settings.folder_id and not settings.shared_drive_id:
            raise service_account_without_storage()
        folder = self._by_id(drive, settings.folder_id) if settings.folder_id else self._by_name(drive)
        if folder is None and create:
            folder = self._make(drive)
        return folder

    @contextmanager
    def told(self, what: str) -> Iterator[None]:
        """Turn a refusal into its sentence; 404 means that the folder (or the shared drive) is gone."""
        try:
            yield
        except Refused as refused:
            raise (self.gone() if refused.status == 404 else sentence(what, refused)) from refused

    def pages(
        self, drive: "DriveClient", what: str, query: str, drive_id: str | None, fields: str
    ) -> Iterator[FileAnswer]:
        """Every file that matches, page by page; `fields` as FileAnswer needs them."""
        scope = {"corpora": "drive", "driveId": drive_id} if drive_id else {}
        token: str | None = None
        while True:
            request = drive.files.list(
                q=query,
                pageSize=1000,
                pageToken=token,
                supportsAllDrives=True,
                includeItemsFromAllDrives=True,
                fields=f"nextPageToken,incompleteSearch,files({fields})",
                **scope,
            )
            with self.told(what):
                page = drive.call(what, request, PageAnswer.model_validate)
            if page.incomplete:
                raise StoreError(
                    f"{what} failed: Drive's answer was incomplete. Nothing was changed. Try again later."
                )
            yield from page.files
            token = page.next_token
            if token is None:
                return

    def _by_id(self, drive: "DriveClient", folder_id: str) -> Folder:
        what = "opening the Drive folder"
        request = drive.files.get(
            fileId=folder_id, supportsAllDrives=True, fields="id,mimeType,trashed,driveId"
        )
        with self.told(what):
            answer = drive.call(what, request, FolderAnswer.model_validate)
        if answer.mime_type != FOLDER_TYPE:
            raise StoreNotFound(
                f"{folder_id} (backup.drive.folder_id) is not a folder in Drive. Nothing was done."
            )
        if answer.trashed:
            raise self.in_trash()
        return Folder(answer.id, answer.drive_id)

    def _by_name(self, drive: "DriveClient") -> Folder | None:
        name, drive_id = self._settings.folder_name, self._settings.shared_drive_id
        query = f"name = '{quoted(name)}' and mimeType = '{FOLDER_TYPE}'"
        what, fields = "looking for the Drive folder", "id,name,createdTime,trashed"
        found = [answer for answer in self.pages(drive, what, query, drive_id, fields) if answer.name == name]
        found.sort(key=lambda answer: (answer.trashed, answer.created, answer.id))
        if found and found[0].trashed:
            # A new folder beside it would hide that all backups are about to be deleted with the trash.
            raise self.in_trash()
        present = [answer.id for answer in found if not answer.trashed]
        return Folder(present[0], drive_id, tuple(present[1:])) if present else None

    def _make(self, drive: "DriveClient") -> Folder:
        what, drive_id = "making the Drive folder", self._settings.shared_drive_id
        with self.told(what):
            request = drive.files.generateIds(count=1, fields="ids")
            file_id: str = drive.call(what, request, IdsAnswer.model_validate).ids[0]
        body: dict[str, Any] = {"id": file_id, "name": self._settings.folder_name, "mimeType": FOLDER_TYPE}
        if drive_id:
            body["parents"] = [drive_id]
        with self.told(what):
            try:
                request = drive.files.create(body=body, supportsAllDrives=True, fields="id")
                drive.call(what, request, IdAnswer.model_validate)
            except Refused as refused:
                if refused.status != 409:  # 409: the answer to the first try was lost, the folder is there
                    raise
        return Folder(file_id, drive_id)

    def _place(self) -> str:
        settings = self._settings
        if settings.folder_id:
            return f"the Drive folder {settings.folder_id} (backup.drive.folder_id)"
        if settings.shared_drive_id:
            return (
                f"the folder {settings.folder_name!r} in the shared drive {settings.shared_drive_id} "
                "(backup.drive.shared_drive_id)"
            )
        return f"the Drive folder {settings.folder_name!r} (backup.drive.folder_name)"

    def gone(self) -> StoreNotFound:
        """The folder or its shared drive is not there, or hidden from this account: Drive does not say."""
        return StoreNotFound(
            f"{self._place()} does not exist, or this account may not see it. Nothing was stored or "
            "removed. Share it with the account or correct the setting; with an OAuth user leave folder_id "
            "out, because the scope drive.file shows a program only the folders that its own OAuth client "
            "has made."
        )

    def in_trash(self) -> StoreNotFound:
        """Somebody trashed the folder."""
        return StoreNotFound(
            f"{self._place()} is in Drive's trash, and its backups are deleted with it after 30 days. "
            "Nothing was stored. Restore the folder in Drive (or delete it for good to start anew), then "
            "try again."
        )
