"""The Drive store: a folder in Google Drive, of a user or in a shared drive.

Names are not unique in Drive, lists lag behind, and requests get repeated behind our back. So a file is
created with an id that Drive gave out beforehand, and every object is compared with Drive's own size and
hashes before `put` returns. Overwriting is only for RECOVERY.md.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from loomio_backup.config import DriveStore
from loomio_backup.errors import (
    StoreAppendOnly,
    StoreConflict,
    StoreDamaged,
    StoreError,
    StoreNotFound,
)
from loomio_backup.stores import probe
from loomio_backup.stores.bandwidth import Bandwidth
from loomio_backup.stores.base import Progress, Space, StoredObject, UploadMemory, check_name, check_source
from loomio_backup.stores.drive_answers import AboutAnswer
from loomio_backup.stores.drive_errors import Refused, may_not_delete, sentence
from loomio_backup.stores.drive_files import TRIES, DriveFiles, conflict
from loomio_backup.stores.drive_folder import Folder, FolderFinder
from loomio_backup.stores.patience import Backoff

if TYPE_CHECKING:
    from loomio_backup.catalogue.objects import Digests
    from loomio_backup.stores.drive_client import DriveClient


class DriveFolder:
    """Objects as files of one Drive folder, reached with the credentials in `secret` (the JSON file's
    dictionary). `original` is the store that this one is a clone of.
    """

    kind: Literal["drive"] = "drive"

    def __init__(
        self,
        settings: DriveStore,
        secret: Mapping[str, Any],
        backoff: Backoff | None = None,
        *,
        original: "DriveFolder | None" = None,
    ) -> None:
        self._settings, self._secret, self._backoff = settings, secret, backoff or Backoff()
        self._bandwidth: Bandwidth = (
            original._bandwidth if original else Bandwidth(settings.upload_limit_bytes)
        )
        self._finder: FolderFinder = original._finder if original else FolderFinder(settings, secret)
        self._connected: tuple[DriveClient, DriveFiles] | None = None

    @property
    def append_only(self) -> bool:
        """See Store.append_only."""
        return self._settings.append_only

    def clone(self) -> "DriveFolder":
        """See Store.clone. The folder is shared, too: two threads would otherwise make two."""
        return DriveFolder(self._settings, self._secret, self._backoff, original=self)

    def now(self) -> datetime:
        """See Store.now: Google's clock."""
        with self._finder.told("asking Drive for the time"):
            return self._drive.now()

    def space(self) -> Space:
        """See Store.space. A shared drive has no limit of its own that a member may ask for."""
        folder = self._open()
        if self._settings.shared_drive_id or (folder is not None and folder.drive_id):
            return Space(None, None, None)
        what, drive = "asking Drive how much room there is", self._drive
        with self._finder.told(what):
            quota = drive.call(what, drive.about.get(fields="storageQuota"), AboutAnswer.model_validate).quota
        free = None if quota.limit is None else max(0, quota.limit - quota.used)
        return Space(quota.limit, quota.used, free, quota.trash)

    def source_path(self, name: str) -> None:
        """Everything has to be fetched."""

    def verify_access(self) -> None:
        """See Store.verify_access."""
        self._connected = None  # a token that is still good would hide that the next is refused
        self._finder.forget()
        self._finder.require_rights(self._drive, self._open_to_write())

    def probe(self) -> None:
        """See Store.probe."""
        probe.probe(self)

    def reserve_id(self) -> str:
        """See Store.reserve_id."""
        return self._files.reserve_id()

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
        present = self._files.named(folder, name)
        stored = next((stored for stored in present if stored.matches(digests)), None)
        if stored is not None:
            if memory:
                memory.remember(None)
            return stored
        if any(object_id is None or stored.id != object_id for stored in present):
            raise conflict(name)
        # What has our id arrived damaged, and whoever found out was ended before it could take it back.
        damaged = present[0] if present else None
        for _ in range(TRIES):
            if damaged is not None and not self.append_only:
                self._take_back(damaged)
                damaged = object_id = None  # an id serves only once
            if damaged is None:
                stored = self._files.create(folder, name, path, digests, object_id, progress, memory)
            else:
                stored = self._files.overwrite(f"storing {name} in Drive", damaged, path, digests, progress)
            if stored.matches(digests):
                return stored
            damaged = stored
        assert damaged is not None
        self._take_back(damaged)
        raise StoreDamaged(
            f"{name} arrived in Drive with another hash than it was sent with, {TRIES} times. It was "
            "removed there; all other backups are untouched. Run the backup again; if this repeats, test "
            "the Pi's memory."
        )

    def replace(self, name: str, path: Path, digests: "Digests") -> StoredObject:
        """See Store.replace. Where lists that lagged behind have let two of that name come about, both are
        replaced.
        """
        check_name(name)
        check_source(name, path, digests)
        folder = self._open_to_write()
        present = self._files.named(folder, name)
        if not present:
            try:
                return self.put(name, path, digests)
            except StoreConflict:
                # The list has caught up meanwhile.
                present = self._files.named(folder, name)
                if not present:
                    raise
        first, *others = present
        for other in others:
            self._replaced(other, path, digests)
        return self._replaced(first, path, digests)

    def get(
        self, name_or_object: str | StoredObject, destination: Path, progress: Progress | None = None
    ) -> StoredObject:
        """See Store.get."""
        stored = self.stat(name_or_object) if isinstance(name_or_object, str) else name_or_object
        if stored is None:
            raise StoreNotFound(f"there is no object {name_or_object} in the Drive folder.")
        partial = destination.with_name(f".{destination.name}.partial")
        try:
            try:
                self._files.fetch(stored, partial, progress)
                partial.rename(destination)
            finally:
                partial.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"{stored.name} could not be written to {destination} ({error.strerror}). What Drive holds "
                "is untouched. Make room there, or choose another place, then try again."
            ) from error
        return stored

    def list(self) -> Iterator[StoredObject]:
        """See Store.list. A folder that is known by name and not made yet holds nothing."""
        folder = self._open()
        if folder is not None:
            yield from self._files.all(folder)

    def stat(self, name: str, object_id: str | None = None) -> StoredObject | None:
        """See Store.stat; without an id, of several files of that name the oldest."""
        check_name(name)
        folder = self._open()
        if folder is None:
            return None
        if object_id is not None:
            return self._files.by_id(folder, name, object_id)
        return next(iter(self._files.named(folder, name)), None)

    def delete(self, stored: StoredObject) -> None:
        """See Store.delete. A content manager of a shared drive may not delete: then it goes to the trash."""
        if self.append_only:
            raise StoreAppendOnly(
                f"{stored.name} was not deleted: this Pi never deletes in Drive (backup.drive.append_only). "
                "Nothing was changed. Prune from the operator's machine with a Manager's credentials."
            )
        what = f"deleting {stored.name} in Drive"
        try:
            self._files.remove(stored, to_trash=self._settings.deletion == "trash")
        except Refused as refused:
            if refused.about_role:
                raise may_not_delete(what, refused) from refused
            # A 404 also means "not for you": it is gone only when nobody can read it either.
            if refused.status != 404 or self._files.is_there(stored):
                raise sentence(what, refused) from refused

    # -- details ---------------------------------------------------------------------------------------------

    def _replaced(self, present: StoredObject, path: Path, digests: "Digests") -> StoredObject:
        name = present.name
        if present.matches(digests):
            return present
        for _ in range(TRIES):
            stored = self._files.overwrite(f"replacing {name} in Drive", present, path, digests, None)
            if stored.matches(digests):
                return stored
        raise StoreDamaged(
            f"{name} arrived in Drive with another hash than it was sent with, {TRIES} times. Drive keeps "
            "its previous version for 30 days. Run the backup again."
        )

    def _take_back(self, stored: StoredObject) -> None:
        try:
            if not self.append_only:
                self._files.remove(stored, to_trash=False)
                return
            refused = None
        except Refused as error:
            if error.status == 404:
                return
            refused = error
        raise StoreDamaged(
            f"{stored.name} arrived in Drive with another hash than it was sent with, and this Pi may not "
            "delete it. All other backups are untouched. Delete that file in Drive, then run the backup "
            "again."
        ) from refused

    @property
    def _drive(self) -> "DriveClient":
        return self._connection()[0]

    @property
    def _files(self) -> DriveFiles:
        return self._connection()[1]

    def _connection(self) -> "tuple[DriveClient, DriveFiles]":
        if self._connected is None:
            from loomio_backup.stores.drive_client import DriveClient

            drive = DriveClient(self._settings, self._secret, self._backoff, self._bandwidth)
            self._connected = drive, DriveFiles(drive, self._finder)
        return self._connected

    def _open(self) -> Folder | None:
        return self._finder.find(self._drive, create=False)

    def _open_to_write(self) -> Folder:
        folder = self._finder.find(self._drive, create=True)
        assert folder is not None
        return folder
