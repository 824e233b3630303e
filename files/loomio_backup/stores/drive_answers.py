"""What Drive's answers must look like before anything is believed.

A network in between (a login page, a proxy, a half-broken server) answers with status 200 too. Taken at its
word, `{}` would be an empty folder. So every answer is read here, with the fields that were asked for; what
cannot be read is no answer of Drive's, and whoever asked asks again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from loomio_backup.stores.base import StoredObject

Text = Annotated[str, Field(min_length=1)]


class NotDrive(Exception):  # noqa: N818 - an answer, not a mishap
    """What answered is not Google Drive, or not in its right mind."""


@contextmanager
def making_sense() -> Iterator[None]:
    """Raise NotDrive where Google's libraries, or the readers below, trip over an answer.

    They promise no exception for nonsense, so it shows as whatever they happened to do with it. An OSError is
    the network's (some of those are ValueErrors as well) and passes.
    """
    try:
        yield
    except OSError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise NotDrive from error


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class FileAnswer(_Answer):
    """A file or folder. Google's own documents (and folders) have no size and no hashes."""

    id: Text
    name: Text
    created: AwareDatetime = Field(alias="createdTime", strict=False)
    trashed: bool
    parents: list[Text] | None = None  # hidden from who may not see the folder
    size: int | None = Field(None, ge=0, strict=False)  # the API sends it as a string
    md5: Text | None = Field(None, alias="md5Checksum")
    sha256: Text | None = Field(None, alias="sha256Checksum")

    @property
    def has_content(self) -> bool:
        """Whether this is a file of bytes, as all of ours are."""
        return self.size is not None

    def stored(self) -> StoredObject:
        """The object that this file is; ValueError when it has no content."""
        if self.size is None:
            raise ValueError(f"{self.name} has no size")
        return StoredObject(self.name, self.size, self.md5, self.sha256, self.id, self.created)


class Rights(_Answer):
    """What the account may do with what is in a folder. Drive tells of deleting and trashing in shared drives
    only.
    """

    add: bool = Field(alias="canAddChildren")
    delete: bool = Field(False, alias="canDeleteChildren")
    trash: bool = Field(False, alias="canTrashChildren")


class FolderAnswer(_Answer):
    """A file that should be a folder; `drive_id` only in a shared drive."""

    id: Text
    mime_type: Text = Field(alias="mimeType")
    trashed: bool
    drive_id: Text | None = Field(None, alias="driveId")


class RightsAnswer(FolderAnswer):
    """A folder, and what the account may do there."""

    rights: Rights = Field(alias="capabilities")


class Quota(_Answer):
    """Room of an account in bytes; the API sends strings. No limit where it is unlimited."""

    limit: int | None = Field(None, ge=0, strict=False)
    used: int = Field(alias="usage", ge=0, strict=False)
    trash: int = Field(0, alias="usageInDriveTrash", ge=0, strict=False)


class AboutAnswer(_Answer):
    """What Drive says of the account itself."""

    quota: Quota = Field(alias="storageQuota")


class PageAnswer(_Answer):
    """One page of a list. An empty folder has an empty `files`, never none."""

    files: list[FileAnswer]
    next_token: Text | None = Field(None, alias="nextPageToken")
    incomplete: bool = Field(False, alias="incompleteSearch")


class IdsAnswer(_Answer):
    """Ids for files to come."""

    ids: Annotated[list[Text], Field(min_length=1)]


class IdAnswer(_Answer):
    """What is left of a change's answer when only `id` was asked for."""

    id: Text


def content_answer(raw: Any) -> FileAnswer:
    """A file that has just got content."""
    answer = FileAnswer.model_validate(raw)
    if not answer.has_content:
        raise ValueError("a file with content was answered without its size")
    return answer
