"""Which version may become which."""

from __future__ import annotations

import pytest

from loomio_backup.update.versions import major_of, refusal, version_of


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("loomio/loomio:3.5", (3, 5)),
        ("loomio/loomio:v3.5.1", (3, 5, 1)),
        ("registry:5000/loomio/loomio:3.5-arm64", (3, 5)),
        ("loomio/loomio:3.5@sha256:" + "0" * 64, (3, 5)),
        ("loomio/loomio@sha256:" + "0" * 64, None),
        ("registry:5000/loomio/loomio", None),
        ("loomio/loomio:stable", None),
        ("loomio/loomio:819ed98e324e", None),
    ],
)
def test_a_tag_names_a_version_or_none(image: str, version: tuple[int, ...] | None) -> None:
    assert version_of(image) == version


@pytest.mark.parametrize(
    ("running", "wanted", "stone"),
    [
        ("2.3.9", "3.5", "2.4.2"),
        ("2.17.0", "3.0.1", "2.17.1"),
        ("2.17.1", "3.2.1", "3.2.0"),
        ("3.1.4", "3.2", None),
        ("3.1.4", "3.3", "3.2.0"),
        ("3.2", "3.3", None),
        ("3.2.5", "3.5", "3.3.0"),
        ("3.3", "3.6", None),
        ("3.3.0", "3.5.2", None),
        ("stable", "3.5", None),
        ("2.0.0", "latest", None),
    ],
)
def test_no_update_jumps_over_a_stepping_stone(running: str, wanted: str, stone: str | None) -> None:
    reason = refusal(f"loomio/loomio:{running}", f"mirror:5000/loomio/loomio:{wanted}")
    if stone is None:
        assert reason is None
    else:
        assert reason is not None
        assert f"stack.images.loomio: mirror:5000/loomio/loomio:{stone}" in reason


def test_an_older_version_is_refused_and_the_way_back_told() -> None:
    reason = refusal("loomio/loomio:3.5.1", "loomio/loomio:3.5")
    assert reason is not None
    assert "is older than loomio/loomio:3.5.1, which runs" in reason
    assert "sudo loomio-backup list" in reason


@pytest.mark.parametrize(
    ("says", "major"),
    [
        ("postgres (PostgreSQL) 17.6 (Debian 17.6-1.pgdg13+1)", 17),
        ("postgres (PostgreSQL) 18beta1", 18),
        ("nothing", None),
    ],
)
def test_the_major_version_of_a_server(says: str, major: int | None) -> None:
    assert major_of(says) == major
