"""Rows about files: ActiveStorage's, and those from before it."""

from collections.abc import Iterator

from . import files, render
from .draw import Draw
from .render import NULL
from .spec import Spec
from .table import table

# Every so manyth blob is the resized variant of the one before it.
_VARIANT_EVERY = 6
_REMOTE_BLOBS = 5


def _blobs(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "active_storage_blobs")
    local = files.blobs(spec)
    for number, entry in enumerate(local, 1):
        key = entry.fact.path.rsplit("/", 1)[1]
        # Composed blobs have no checksum: then only the size can be checked.
        checksum = NULL if number % 40 == 0 else entry.checksum
        metadata = NULL if number % 7 == 0 else '{"identified":true,"analyzed":true}'
        yield (
            f"{number}\t{key}\t{render.text(entry.name)}\t{entry.content_type}\t{metadata}\tlocal\t"
            f"{entry.fact.size}\t"
            f"{checksum}\t{draw.moment()}"
        )
    # Their files are elsewhere: no check may look for them in the storage directory.
    for number in range(len(local) + 1, len(local) + _REMOTE_BLOBS + 1):
        yield (
            f"{number}\t{draw.token(14)}\tin the cloud {number}.png\timage/png\t{NULL}\tamazon\t"
            f"{draw.below(99999)}\t"
            f"{NULL}\t{draw.moment()}"
        )


def _variant_records(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "active_storage_variant_records")
    for number in range(1, len(files.blobs(spec)) // _VARIANT_EVERY + 1):
        yield f"{number}\t{number * _VARIANT_EVERY - 1}\t{draw.token(20)}="


def _attachments(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "active_storage_attachments")
    for number in range(1, len(files.blobs(spec)) + _REMOTE_BLOBS + 1):
        if number % _VARIANT_EVERY == 0 and number <= len(files.blobs(spec)):
            record = f"image\tActiveStorage::VariantRecord\t{number // _VARIANT_EVERY}"
        else:
            record = f"files\t{draw.pick(('Comment', 'Discussion'))}\t{1 + draw.below(spec.discussions)}"
        group = draw.nullable(0.2, str(1 + draw.below(spec.groups)))
        yield f"{number}\t{record}\t{number}\t{group}\t{draw.moment()}"


def _old_attachments(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "attachments")
    for number, entry in enumerate(files.uploads(spec), 1):
        location = render.text("/system/" + entry.fact.path.removeprefix("uploads/"))
        yield (
            f"{number}\t{1 + draw.below(spec.users)}\t{render.text(entry.name)}\t{location}\t"
            f"{entry.fact.size}\tComment\t"
            f"{1 + draw.below(spec.comments)}\t{draw.moment()}"
        )


def _documents(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "documents")
    for number in range(1, spec.topics // 20 + 1):
        yield (
            f"{number}\tDiscussion\t{1 + draw.below(spec.discussions)}\t{draw.title()}\t"
            f"https://docs.example.org/{draw.token()}\tgoogle\t{1 + draw.below(spec.users)}\t{draw.moment()}"
        )


TABLES = (
    table(
        "active_storage_blobs",
        "id key filename content_type metadata service_name byte_size checksum created_at",
        _blobs,
    ),
    table("active_storage_variant_records", "id blob_id variation_digest", _variant_records),
    table(
        "active_storage_attachments",
        "id name record_type record_id blob_id group_id created_at",
        _attachments,
    ),
    table(
        "attachments",
        "id user_id filename location filesize attachable_type attachable_id created_at",
        _old_attachments,
    ),
    table("documents", "id model_type model_id title url doctype author_id created_at", _documents),
)
