"""What is counted of the tests that `make test` leaves out."""

import pytest

from tests.faults.long_tests import counted

CASE = '<testcase classname="tests.e2e.test_host" name="test_a" time="12.4">{}</testcase>'


def report(*inside: str) -> str:
    return f"<testsuites><testsuite>{''.join(CASE.format(one) for one in inside)}</testsuite></testsuites>"


def test_passed_ones_are_counted_by_file() -> None:
    found = counted(report("", "", "<skipped/>"))
    assert (found.passed, found.seconds, found.skipped) == ({"e2e/test_host": 2}, {"e2e/test_host": 24}, 1)


@pytest.mark.parametrize("inside", [("<failure/>", ""), ("", "<error/>"), ("<skipped/>",), ()])
def test_one_that_failed_or_none_is_no_success(inside: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError):
        counted(report(*inside))
