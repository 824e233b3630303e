"""What all groups of settings have in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Group(BaseModel):
    """A group of settings: unknown keys are errors, nothing is converted, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def to_json(self) -> Any:
        """What pyinfra shows of host data."""
        return self.model_dump(mode="json")
