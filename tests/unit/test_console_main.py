"""`loomio-pi` itself: its list of verbs, and that every failure is a sentence."""

import errno
from collections.abc import Sequence

import pytest

from deploys.console import main as console
from inventories.validation import SettingsError
from loomio_backup.errors import StoreFull


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (SettingsError("No."), 1, "loomio-pi: No.\n"),
        (StoreFull("no room left."), 1, "loomio-pi: no room left.\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/copy/x"),
            1,
            "loomio-pi: /copy/x: No space left on device. Put that right, then type the same again.\n",
        ),
        (OSError("odd"), 1, "loomio-pi: OSError. Put that right, then type the same again.\n"),
        (KeyboardInterrupt(), 130, "loomio-pi: interrupted.\n"),
    ],
)
def test_every_failure_is_one_sentence(
    error: BaseException,
    code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(arguments: Sequence[str]) -> int:
        raise error

    monkeypatch.setitem(console.VERBS, "fail", (run, ""))
    assert console.main(["fail"]) == code
    assert capsys.readouterr().err == says


def test_every_verb_is_listed_and_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.main(["--help"]) == 0
    listed = capsys.readouterr().out
    for name in console.VERBS:
        assert f"\n  {name}" in listed
    assert console.main(["nonsense"]) == 2
    assert "there is no verb 'nonsense'" in capsys.readouterr().err
