"""The images that `.env` names, and how they are changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from loomio_backup.errors import UpdateError
from loomio_backup.update import stack_images
from loomio_backup.update.stack_images import LOOMIO, POSTGRES, REDIS

TEXT = "# A comment\nLOOMIO_IMAGE=loomio/loomio:3.5\nSECRET='with # sign'\nREDIS_IMAGE=redis:7\n\nLAST=1\n"


def test_only_the_images_change_and_the_way_back_leads_to_the_same_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(TEXT)
    file.chmod(0o640)
    before = stack_images.named(file)
    assert before == {LOOMIO: "loomio/loomio:3.5", POSTGRES: None, REDIS: "redis:7"}
    stack_images.write(file, {**before, LOOMIO: "loomio/loomio:3.6", POSTGRES: "postgres:17"})
    changed = TEXT.replace(":3.5", ":3.6") + "POSTGRES_IMAGE=postgres:17\n"
    assert file.read_text() == changed
    assert file.stat().st_mode & 0o777 == 0o640
    stack_images.write(file, before)
    assert file.read_text() == TEXT
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("image", ["", "--privileged", "a b", "a;b", "a\nB=c", "$X"])
def test_what_cannot_be_an_image_is_refused(image: str) -> None:
    with pytest.raises(UpdateError, match="cannot be the name of an image"):
        stack_images.require_reference(image)


def test_without_a_stack_there_is_nothing_to_update(tmp_path: Path) -> None:
    with pytest.raises(UpdateError, match="loomio-pi deploy setup"):
        stack_images.named(tmp_path / ".env")
