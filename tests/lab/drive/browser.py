"""A person at a browser: opens the consent page, says yes or no, and goes where the page leads.

`python -m tests.lab.drive.browser --email E [--deny] [--granted SCOPES] URL` may stand in $BROWSER.
"""

from __future__ import annotations

import argparse
import sys
import urllib.request
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class _Form(HTMLParser):
    """The first form of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.action = found["action"]
        elif tag == "input":
            self.fields[found["name"]] = found["value"]


def decide(
    url: str, email: str, *, deny: bool = False, user_code: str | None = None, granted: str | None = None
) -> str:
    """Open `url`, fill in its form, and follow it to the end; returns the last page's text.

    `granted`: the scopes that stay ticked. Raises urllib's HTTPError where a page is an error page.
    """
    form = _Form(_read(url, None))
    assert form.action is not None, "that page has no form"
    filled = {**form.fields, "email": email, "decision": "deny" if deny else "allow"}
    if user_code is not None:
        filled["user_code"] = user_code
    if granted is not None:
        filled["granted"] = granted
    return _read(urljoin(url, form.action), urlencode(filled).encode())


def _read(url: str, body: bytes | None) -> str:
    with _OPENER.open(urllib.request.Request(url, body), timeout=60) as answer:
        content: bytes = answer.read()
    return content.decode()


def main() -> int:
    """One visit."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.drive.browser", description=__doc__)
    parser.add_argument("--email", required=True)
    parser.add_argument("--deny", action="store_true")
    parser.add_argument("--granted")
    parser.add_argument("url")
    options = parser.parse_args()
    decide(options.url, options.email, deny=options.deny, granted=options.granted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
