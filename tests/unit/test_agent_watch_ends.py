"""Where a look of the watch ends: figures that cannot be written, messages that did not arrive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from loomio_backup.config import Watch
from loomio_backup.errors import AgentError
from loomio_backup.monitoring import alert_test, watch
from loomio_backup.monitoring.status import UNSENT

from .agent_backups import Shelf, shelf
from .alert_sinks import WebSink, web_sink


@pytest.fixture
def web() -> Iterator[WebSink]:
    with web_sink() as sink:
        yield sink


def _told_at(made: Shelf, *urls: str) -> None:
    (made.config.credentials_directory / "alerts.json").write_text(json.dumps({"urls": list(urls)}))


def _unsent(made: Shelf) -> str | None:
    with made.catalogue() as catalogue:
        return catalogue.meta(UNSENT)


def test_figures_that_cannot_be_written_are_no_trouble_of_the_backups(
    tmp_path: Path, web: WebSink, capsys: pytest.CaptureFixture[str]
) -> None:
    made = shelf(tmp_path)
    made.backup()
    _told_at(made, f"json://127.0.0.1:{web.port}/")
    absent = tmp_path / "absent" / "loomio.prom"
    made.config = made.config.model_copy(update={"watch": Watch(prometheus_file=absent)})
    assert watch.run(made.config, made.credentials) == 1
    assert f"{absent}, which Prometheus reads, could not be written (No such file" in capsys.readouterr().out
    assert not [path for method, path, _ in web.requests if method == "POST"]


def test_a_message_that_did_not_arrive_is_remembered_until_one_does(tmp_path: Path, web: WebSink) -> None:
    made = shelf(tmp_path)
    with made.catalogue() as catalogue:
        catalogue.set_meta(UNSENT, "alerts.urls, number 1 (json) could not be reached.")
    _told_at(made, "json://127.0.0.1:9/")
    with pytest.raises(AgentError, match="do not work"):
        alert_test.run(made.config, made.credentials)
    assert _unsent(made) is not None
    _told_at(made, f"json://127.0.0.1:{web.port}/")
    assert alert_test.run(made.config, made.credentials) == 0
    assert _unsent(made) is None


def test_the_end_of_a_trouble_is_told_until_somebody_hears_it(tmp_path: Path, web: WebSink) -> None:
    made = shelf(tmp_path)
    made.backup()
    marker = made.config.state_directory / "watch-trouble"
    marker.write_text("2026-11-23T02:00:00+00:00")
    _told_at(made, "json://127.0.0.1:9/")
    watch.run(made.config, made.credentials)
    assert marker.exists()
    _told_at(made, f"json://127.0.0.1:{web.port}/")
    watch.run(made.config, made.credentials)
    assert not marker.exists()
    assert any("the watch works again" in body for method, _, body in web.requests if method == "POST")


def test_without_anybody_to_tell_nothing_is_unsent(tmp_path: Path) -> None:
    made = shelf(tmp_path)
    made.backup()
    with made.catalogue() as catalogue:
        catalogue.set_meta(UNSENT, "alerts.urls, number 1 (json) could not be reached.")
    assert watch.run(made.config, made.credentials) == 0
    assert _unsent(made) is None
