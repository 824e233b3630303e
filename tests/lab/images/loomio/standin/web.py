"""The web application: pages for health checks and people, attachments, and the lab's door to the ledger."""

import dataclasses
import html
import json
import mimetypes
import shutil
import time
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg  # type: ignore[import-not-found,unused-ignore]

from . import database, ledger, release
from .settings import Settings
from .writer import LedgerWriter

VERSION = release.RELEASE
STORAGE = Path("/loomio/storage")
PORT = 3000


def serve(settings: Settings) -> None:
    """Answers on port 3000 until the process is told to end."""
    while release.CHARACTER == "mute":
        print("* Booting", flush=True)
        time.sleep(5)
    writer = LedgerWriter(lambda: database.connect(settings.database_url), STORAGE)

    class BoundHandler(Handler):
        pass

    BoundHandler.settings = settings
    BoundHandler.writer = writer
    print(f"* Listening on http://0.0.0.0:{PORT}")
    with ThreadingHTTPServer(("", PORT), BoundHandler) as server:
        server.serve_forever()


class Handler(BaseHTTPRequestHandler):
    """One request. Failing to reach the database is a 500, as in Rails; the process goes on."""

    settings: Settings
    writer: LedgerWriter
    protocol_version = "HTTP/1.1"
    server_version = "loomio-standin"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if self._redirected(path):
            return
        if path == "/":
            self._answered(self._front_page)
        elif path == "/api/v1/boot/version":
            self._json(HTTPStatus.OK, {"version": VERSION, "release": VERSION, "reload": False})
        elif path == "/lab/ledger":
            self._json(HTTPStatus.OK, self._ledger_state())
        elif path.startswith("/rails/active_storage/blobs/"):
            self._answered(lambda: self._blob(path.rsplit("/", 1)[1]))
        else:
            self._text(HTTPStatus.NOT_FOUND, "text/plain", "not found\n")

    do_HEAD = do_GET  # noqa: N815 (the base class chose the name)

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if url.path == "/lab/ledger/start":
            self._answered(lambda: self._start_ledger(parse_qs(url.query)))
        elif url.path == "/lab/ledger/stop":
            self.writer.stop()
            self._json(HTTPStatus.OK, self._ledger_state())
        else:
            self._text(HTTPStatus.NOT_FOUND, "text/plain", "not found\n")

    def _redirected(self, path: str) -> bool:
        if not self.settings.redirect_to_ssl or path.startswith("/lab/"):
            return False
        if self.headers.get("X-Forwarded-Proto") == "https":
            return False
        self.send_response(HTTPStatus.MOVED_PERMANENTLY)
        self.send_header("Location", f"https://{self.settings.canonical_host}{self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return True

    def _answered(self, answer: Callable[[], None]) -> None:
        try:
            answer()
        except psycopg.Error as error:
            self._text(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", f"database: {error}\n")

    def _front_page(self) -> None:
        rows = "".join(
            f'<dt>{name}</dt><dd id="{name}">{html.escape(str(value))}</dd>\n'
            for name, value in database.facts(self.settings.database_url).items()
        )
        title = html.escape(self.settings.site_name)
        head = f"<!doctype html>\n<meta charset=utf-8>\n<title>{title}</title>\n<h1>{title}</h1>\n"
        self._text(HTTPStatus.OK, "text/html", f"{head}<dl>\n{rows}</dl>\n")

    def _blob(self, key: str) -> None:
        with database.connect(self.settings.database_url) as connection:
            row = connection.execute(
                "SELECT filename FROM active_storage_blobs WHERE key = %s AND service_name = 'local'", (key,)
            ).fetchone()
        path = STORAGE / ledger.blob_path(key)
        if row is None or not path.is_file():
            self._text(HTTPStatus.NOT_FOUND, "text/plain", "no such attachment\n")
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", mimetypes.guess_type(row[0])[0] or "application/octet-stream")
        self.send_header("Content-Length", str(path.stat().st_size))
        self.end_headers()
        if self.command != "HEAD":
            with path.open("rb") as source:
                shutil.copyfileobj(source, self.wfile)

    def _start_ledger(self, query: dict[str, list[str]]) -> None:
        try:
            rate = float(query.get("rate", ["25"])[0])
            every = int(query.get("attachments_every", ["5"])[0])
            seed = int(query.get("seed", ["0"])[0])
        except ValueError as error:
            self._text(HTTPStatus.BAD_REQUEST, "text/plain", f"{error}\n")
            return
        if rate <= 0 or every < 1:
            self._text(HTTPStatus.BAD_REQUEST, "text/plain", "rate > 0, attachments_every >= 1\n")
            return
        started = self.writer.start(rate, every, seed)
        self._json(HTTPStatus.OK if started else HTTPStatus.CONFLICT, self._ledger_state())

    def _ledger_state(self) -> dict[str, object]:
        """The writer's progress; the number is the database's own whenever that can be asked."""
        state: dict[str, object] = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in dataclasses.asdict(self.writer.progress).items()
        }
        try:
            with database.connect(self.settings.database_url) as connection:
                row = connection.execute("SELECT last_number FROM ledger_counter").fetchone()
            state["number"] = row[0] if row else 0
            state["database"] = "reachable"
        except psycopg.Error as error:
            state["database"] = str(error)
        return state

    def _json(self, status: HTTPStatus, value: object) -> None:
        self._text(status, "application/json", json.dumps(value) + "\n")

    def _text(self, status: HTTPStatus, content_type: str, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{content_type}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
