"""When a store will be full, and when nobody can know."""

from __future__ import annotations

from datetime import date, timedelta

from loomio_backup.retention.forecast import Used, forecast

START = date(2026, 11, 1)
GB = 10**9


def _rows(*used: float, total: int | None = 15 * GB, step: int = 1) -> list[Used]:
    return [
        Used(START + timedelta(days=step * number), int(gb * GB), total) for number, gb in enumerate(used)
    ]


def test_a_straight_line() -> None:
    found = forecast(_rows(10, 10.1, 10.2, 10.3, 10.4), "Drive")
    # 4.6 GB are left after 5 November, at 0.1 GB a day.
    assert found.full_on == date(2026, 12, 21)
    assert found.text == "Drive will be full on 2026-12-21, at 100 MB a day (by the last 4 days)."


def test_one_odd_day_does_not_decide() -> None:
    found = forecast(_rows(10, 10.1, 14.9, 10.3, 10.4, 10.5, 10.6, 10.7), "Drive")
    assert found.full_on is None or found.full_on > date(2026, 12, 1)


def test_days_without_a_figure_count_as_days() -> None:
    assert forecast(_rows(10, 10.2, 10.4, step=2), "Drive").full_on == date(2026, 11, 5) + timedelta(days=46)


def test_a_full_one_is_full_today() -> None:
    assert forecast(_rows(12, 13, 14, 15), "Drive").full_on == date(2026, 11, 4)


def test_what_is_not_known_is_said() -> None:
    assert "nobody has looked" in forecast([], "Drive").text
    assert "figures since 2026-11-01 only" in forecast(_rows(14), "Drive").text
    assert "figures since 2026-11-01 only" in forecast(_rows(1, 14), "Drive").text
    assert "no limit" in forecast(_rows(1, 2, 3, 4, 5, total=None), "Drive").text
    for rows in (_rows(5, 5, 5, 5), _rows(9, 8, 7, 6), _rows(1, 1, 1, 1.0000001)):
        found = forecast(rows, "Drive")
        assert (found.full_on, "not filling up" in found.text) == (None, True)


def test_only_the_last_thirty_days_count() -> None:
    assert forecast([*_rows(0, 14), *_rows(*[14] * 40)[35:]], "Drive").full_on is None
