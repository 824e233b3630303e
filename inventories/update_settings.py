"""The settings of updates: how loomio-pi deploy update goes about it.

Descriptions complete the words "expected: …" (see settings.py).
"""

from typing import Annotated

from pydantic import Field

from inventories.group import Group


class UpdateSettings(Group):
    """How a newer version takes over."""

    rehearse: bool = Field(
        default=True, description="true (try it on a restored copy first) or false (go without)"
    )
    healthy_minutes: Annotated[int, Field(ge=1, le=240)] = Field(
        default=15, description="a number of minutes from 1 to 240, in which a new version has to answer"
    )
