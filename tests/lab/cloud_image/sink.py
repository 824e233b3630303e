"""A mail and web-hook sink: takes any mail by SMTP, any POST by HTTP, and any GET as the ping of a dead man's
switch, and lists what it got as JSON.

GET /mail   → [{"from", "to", "data"}]        GET /hooks → [{"path", "body"}], pings with an empty body
"""

from __future__ import annotations

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

MAIL: list[dict[str, object]] = []
HOOKS: list[dict[str, object]] = []


class Mailbox:
    """aiosmtpd's handler interface: the name of the method is its contract."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content or b""
        text = content if isinstance(content, str) else content.decode(errors="replace")
        MAIL.append({"from": envelope.mail_from, "to": envelope.rcpt_tos, "data": text})
        return "250 kept"


class Hook(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        listing = {"/mail": MAIL, "/hooks": HOOKS}.get(self.path)
        if listing is None:
            HOOKS.append({"path": self.path, "body": ""})
        self._answer(200, json.dumps(listing).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        HOOKS.append({"path": self.path, "body": body.decode(errors="replace")})
        self._answer(200, b"{}")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smtp-port", type=int, required=True)
    parser.add_argument("--http-port", type=int, required=True)
    ports = parser.parse_args()
    # The default of 32 MB and no authentication is what a sink wants.
    Controller(Mailbox(), hostname="0.0.0.0", port=ports.smtp_port).start()
    ThreadingHTTPServer(("0.0.0.0", ports.http_port), Hook).serve_forever()


if __name__ == "__main__":
    main()
