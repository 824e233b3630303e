"""What `loomio-pi doctor` says about one thing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """`text`: a sentence without its full stop. `remedy`: what to type or do about it, "" where it is in the
    text.
    """

    well: bool
    text: str
    remedy: str = ""


def well(text: str) -> Finding:
    """All is well with this."""
    return Finding(True, text)


def problem(text: str, remedy: str = "") -> Finding:
    """This is wrong."""
    return Finding(False, text, remedy)
