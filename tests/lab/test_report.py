"""The recovery report in a real browser: made by the verb from a real catalogue, it shows what is, on a
phone, in the dark, and to a screen reader; and asks nobody for anything.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from loomio_backup import clock
from loomio_backup.catalogue.manifest import Manifest
from loomio_backup.command import cli
from loomio_backup.drill import drills
from loomio_backup.drill.drills import Drill
from tests.unit.agent_backups import Shelf, shelf

from .browser import Browser, browser
from .drive import DriveEmulator

pytestmark = pytest.mark.lab

EVIL = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\">"


@pytest.fixture(scope="module")
def pi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """A Pi with a little of everything: backups in both stores, a failed run, drills, figures of weeks, a
    backup that disappeared, and markup wherever people or programs write texts.
    """
    root = tmp_path_factory.mktemp("report")
    with DriveEmulator(root / "emulator") as emulator:
        made = shelf(root, emulator)
        made.share("app-data_1.tar.zst.age", b"files " * 10_000)
        made.share("app-data-index_1.ndjson.zst.age", b"{}\n" * 1000, "index")
        gone = made.backup()
        for number in range(6):
            made.share(f"app-data_more{number}.tar.zst.age", b"more " * 20_000 * number + b"x")
            made.backup(label=EVIL if number == 3 else None)
        _past(made)
        # It is known to have been there, and is not any more.
        assert cli.main(["--config", str(root / "config.yml"), "list"]) == 0
        (made.disk / gone.manifest_name).unlink()
        yield made


@pytest.fixture(scope="module")
def page(pi: Shelf) -> Path:
    folder = pi.root / "page"
    folder.mkdir(mode=0o755)
    destination = folder / "report.html"
    assert cli.main(["--config", str(pi.root / "config.yml"), "report", "--output", str(destination)]) == 0
    assert stat.S_IMODE(destination.stat().st_mode) == 0o600
    # The browser is somebody else.
    for path in (pi.root, folder):
        path.chmod(0o755)
    destination.chmod(0o644)
    return destination


@pytest.fixture(scope="module")
def seen(page: Path) -> Iterator[Browser]:
    with browser(page.parent) as made:
        yield made


def _past(made: Shelf) -> None:
    now = clock.now()
    with made.catalogue() as catalogue:
        for backup in made.made:
            catalogue.add_manifest(backup, "0" * 64, "0" * 32)
            for store in made.stores.values():
                stored = store.stat(backup.manifest_name)
                assert stored is not None
                catalogue.add_stored(store.kind, stored)
        catalogue.end_run(catalogue.begin_run("run"), "failed", None, f"no backup was made: {EVIL}")
        for number, (scope, passed) in enumerate([("whole", True), ("sample", False), ("sample", True)]):
            drills.record(catalogue, _drill(made.made[2], number, scope, passed))
        for day in range(20):
            moment = (now - timedelta(days=20 - day)).date().isoformat()
            row = ("drive", moment, 10**9 + day * 4 * 10**8, 15 * 10**9)
            catalogue.database.execute("INSERT OR REPLACE INTO space VALUES (?, ?, ?, ?)", row)


def _drill(backup: Manifest, number: int, scope: str, passed: bool) -> Drill:
    began = clock.now() - timedelta(days=30 - number)
    return Drill(
        store="drive",
        backup=backup.name,
        snapshot_at=backup.snapshot_at,
        started_at=began,
        finished_at=began + timedelta(minutes=23),
        scope="whole" if scope == "whole" else "sample",
        passed=passed,
        problems=[] if passed else [f"the table {EVIL} has 2 rows instead of 3."],
        phases={"fetch": 600.0, "database": 420.0, "files": 360.0},
        tables=80,
        rows=12_345,
        files=678,
        bytes=9 * 10**8,
        attachments=600,
        app="answered",
    )


def test_what_matters_comes_first(seen: Browser, pi: Shelf) -> None:
    seen.open("report.html")
    headings = seen.js("return [...document.querySelectorAll('h1, h2')].map(one => one.innerText)")
    assert headings[0] == "Recovery report of pi"
    assert re.fullmatch(r"\d+ open problems?", headings[1])
    assert headings[3:] == [
        "If this Pi dies now",
        "Where the backups are",
        "History of the backups",
        "Drills",
        "What the local store keeps, and why",
        "What Google Drive keeps, and why",
        "Room, and when it ends",
    ]
    text = seen.js("return document.body.innerText")
    assert pi.made[0].name in text.partition("If this Pi dies now")[0]
    for said in (
        "disappeared",
        "back in about 23 min: measured by the drill of",
        "the newest complete backup",
        "80 tables, 12345 rows; 678 files (900 MB); 600 attachments; app answered",
        "Drive will be full on",
        "3 drills, 1 failed",
    ):
        assert said in text, said
    for backup in pi.made[1:]:
        assert backup.name in text


def test_markup_in_texts_stays_text(seen: Browser) -> None:
    seen.open("report.html")
    assert seen.driver.title == "Recovery report of pi"
    assert seen.js("return document.scripts.length + document.images.length") == 0
    text = seen.js("return document.body.innerText")
    assert text.count(EVIL) >= 3


def test_nobody_is_asked_for_anything(seen: Browser, page: Path) -> None:
    seen.open("report.html")
    assert seen.requests() == ["file:///page/report.html"]
    assert seen.complaints() == []
    assert not re.search(r"(?i)\b(src|href|action)\s*=\s*[\"'](?!#)|url\(|@import", page.read_text())


@pytest.mark.parametrize("width", [320, 360, 412, 768, 1200])
def test_nothing_is_wider_than_the_window(seen: Browser, width: int) -> None:
    seen.open("report.html", width=width, phone=width < 700)
    assert seen.js("return document.documentElement.clientWidth") == width or width >= 700
    assert seen.js("return document.documentElement.scrollWidth") <= width
    wide = seen.js(
        "return [...document.querySelectorAll('main *, header *, footer *')]"
        ".filter(one => !one.closest('thead') && one.getBoundingClientRect().right > innerWidth + .5)"
        ".map(one => one.outerHTML.slice(0, 80))"
    )
    assert wide == []
    small = (
        "return [...document.querySelectorAll('p, td, th, li')]"
        ".map(one => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert min(seen.js(small)) >= 14


_CONTRASTS = """
function parts(colour) { return colour.match(/[\\d.]+/g).map(Number); }
function luminance(colour) {
  const [r, g, b] = parts(colour).map(value => value / 255)
    .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function ground(one) {
  for (; one; one = one.parentElement) {
    const colour = getComputedStyle(one).backgroundColor;
    const alpha = parts(colour)[3];
    if (alpha === undefined || alpha === 1) return colour;
  }
  throw 'no ground';
}
function contrast(one, colour) {
  const [high, low] = [luminance(colour), luminance(ground(one))].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}
const texts = [...document.querySelectorAll('body *')].filter(one =>
  [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()));
const shapes = [...document.querySelectorAll('svg rect, svg polyline')].map(one => {
  const style = getComputedStyle(one);
  return contrast(one.closest('svg'), style.stroke !== 'none' ? style.stroke : style.fill);
});
return {
  texts: texts.map(one => [contrast(one, getComputedStyle(one).color), one.outerHTML.slice(0, 60)]),
  labels: [...document.querySelectorAll('td')].map(one =>
    contrast(one, getComputedStyle(one, '::before').color)),
  shapes: shapes,
  ground: getComputedStyle(document.body).backgroundColor,
  text: getComputedStyle(document.body).color,
};
"""


def test_both_schemes_can_be_read(seen: Browser) -> None:
    """Ratios as WCAG 2.2 computes them: 4.5 for texts, 3 for graphics."""
    grounds = []
    for dark in (False, True):
        for width in (360, 1200):
            seen.open("report.html", width=width, dark=dark, phone=width == 360)
            found = seen.js(_CONTRASTS)
            assert len(found["texts"]) > 60
            assert [text for text in found["texts"] if text[0] < 4.5] == []
            assert min(found["labels"]) >= 4.5
            assert len(found["shapes"]) > 15
            assert min(found["shapes"]) >= 3
            grounds.append((found["ground"], found["text"]))
    assert grounds[0] == grounds[1] == ("rgb(255, 255, 255)", "rgb(27, 27, 27)")
    assert grounds[2] == grounds[3] == ("rgb(20, 23, 26)", "rgb(233, 234, 235)")


@pytest.mark.parametrize("width", [360, 1200])
def test_a_screen_reader_finds_its_way(seen: Browser, width: int) -> None:
    seen.open("report.html", width=width, phone=width == 360)
    told = seen.accessible()
    roles = [role for role, _, _ in told]
    for landmark in ("banner", "main", "navigation", "contentinfo"):
        assert roles.count(landmark) == 1, landmark
    images = {name: text for role, name, text in told if role in ("image", "img")}
    assert {
        "Sizes of the backups in the local store",
        "Sizes of the backups in Google Drive",
        "How long each backup took",
        "How long the drills took",
        "How full Google Drive is",
    } <= images.keys()
    assert all(len(text) > 30 for text in images.values()), images
    tables = [name for role, name, _ in told if role == "table"]
    assert len(tables) == len(seen.js("return [...document.querySelectorAll('table')].map(one => 1)"))
    assert "The drills, newest first" in tables
    for table in seen.js(
        "return [...document.querySelectorAll('table')].map(one => [one.rows.length,"
        " one.querySelectorAll('thead th[scope=col]').length,"
        " one.querySelectorAll('tbody th[scope=row]').length, one.rows[0].cells.length])"
    ):
        rows, columns, headed, cells = table
        assert (columns, headed) == (cells, rows - 1)
    assert roles.count("rowheader") > 8
    assert roles.count("columnheader") > 8 or width == 360
    assert seen.js("return document.documentElement.lang") == "en"
