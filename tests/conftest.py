"""Which tests stay together when several processes share them.

What is costly to make (a simulated life, a Pi, a file's own containers) is made once, for one
group.
"""

from __future__ import annotations

import pytest

_LIVES = ("trixie", "bookworm")


# First: xdist reads the groups in its own hook of this name.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests of one life, and other tests with containers by their file."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        life = next((name for name in _LIVES if name in fixtures), None)
        if life is not None:
            item.add_marker(pytest.mark.xdist_group(life))
        elif item.get_closest_marker("lab") or item.get_closest_marker("drill"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """A test that was taken out of its group would miss what those before it made."""
    if not getattr(session.config.option, "loadgroup", False):
        return
    for item in session.items:
        for group in item.iter_markers("xdist_group"):
            if not item.nodeid.endswith(f"@{group.args[0]}"):
                raise RuntimeError(f"{item.nodeid} is not in its group: xdist does not know this pytest")
