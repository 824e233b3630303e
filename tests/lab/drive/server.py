"""The HTTP side: connections, routing, authentication, sending answers, and the effects of fault rules on the
wire.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from .accounts import Accounts
from .database import Database
from .discovery import Api
from .door import Door
from .errors import ApiError, ConnectionDropped
from .exchange import BLOCK, Body, Exchange, Response, Slice, pause
from .faults import Faults
from .handlers import Handlers
from .log import RequestLog
from .operations import Operations
from .rendering import Renderer
from .tokens import TokenEndpoint
from .tree import Tree
from .uploads import Uploads

_TOKEN_PATHS = frozenset({"/token", "/o/oauth2/token", "/oauth2/v4/token"})
_DRAIN_LIMIT = 1024 * 1024


class DriveEmulator:
    """The emulator as an object: `DriveEmulator(root).start()`, then `.url`; state lives below `root`.

    As a context manager it starts and stops itself. Host "0.0.0.0" serves a lab network, never the world.
    """

    def __init__(self, root: Path, host: str = "127.0.0.1", port: int = 0) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._database = Database(root / "state.sqlite")
        api = Api()
        self.api = api
        self.accounts = Accounts(self._database)
        self.tree = Tree(self._database, self.accounts, root)
        operations = Operations(self.tree, self.accounts, api)
        self.handlers = Handlers(self.tree, self.accounts, operations, Renderer(api))
        self.uploads = Uploads(self.tree, operations, self._database, root, self.handlers.show)
        self.tokens = TokenEndpoint(self.accounts)
        self.log = RequestLog(root / "log.ndjson")
        self.faults = Faults(
            self._end_token, lambda exchange: self.uploads.end_session(exchange.query["upload_id"])
        )
        self.door = Door(self.tree, self.accounts, operations, self.faults, self.log)
        self._server = _Server((host, port), self)
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The address of the API's root, with a trailing slash: what `api_root` is set to."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> DriveEmulator:
        """Serve from a thread of this process."""
        self._thread = threading.Thread(target=self.serve, name="drive-emulator", daemon=True)
        self._thread.start()
        return self

    def serve(self) -> None:
        """Serve until `stop`."""
        self._server.serve_forever(poll_interval=0.1)

    def stop(self) -> None:
        """End every connection and close the state."""
        self._server.shutdown()
        self._server.server_close()
        if self._thread:
            self._thread.join()
        self._database.close()

    def __enter__(self) -> DriveEmulator:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- one request -----------------------------------------------------------------------------------------

    def answer(self, exchange: Exchange) -> Response:
        """Everything between a parsed request and its answer; ApiError and ConnectionDropped for the other
        ends.
        """
        exchange.on_target = self.faults.strike
        if exchange.path.startswith("/_lab/"):
            exchange.operation = "lab"
            return self.door.handle(exchange)
        if exchange.path in _TOKEN_PATHS and exchange.method == "POST":
            exchange.operation = "token"
            exchange.target("")
            body = self.tokens.answer(exchange.body.read_all(), _own_token_urls(exchange))
            return Response(200, body, {"Content-Type": "application/json; charset=utf-8"})
        if (
            "upload_id" in exchange.query
            and "/upload/drive/" in exchange.path
            and exchange.method in ("PUT", "POST")
        ):
            exchange.operation = "upload.chunk"
            exchange.target(*self.uploads.session_name(exchange.query["upload_id"]))
            return self.uploads.handle(exchange)
        return self._call(exchange)

    def _call(self, exchange: Exchange) -> Response:
        method, exchange.parameters, upload = self.api.route(exchange.method, exchange.path)
        exchange.operation = _operation(method.id, exchange, upload)
        authorization = exchange.headers.get("Authorization")
        exchange.caller = self.accounts.caller(authorization, exchange.query.get("access_token"))
        self.api.check_query(method, exchange.query, upload)
        if not (
            upload or method.id == "files.create"
        ):  # those know their target only after reading the metadata
            known = self.tree.files.get(exchange.parameters.get("fileId", ""))
            exchange.target(known.name if known else "", exchange.parameters.get("fileId", ""))
        if upload:
            return self.uploads.handle(exchange)
        return self.handlers.handle(method.id, exchange)

    def _end_token(self, exchange: Exchange) -> None:
        authorization = exchange.headers.get("Authorization", "")
        self.accounts.end_token(authorization.partition(" ")[2].strip())


def _operation(method_id: str, exchange: Exchange, upload: bool) -> str:
    if upload:
        kind = exchange.query.get("uploadType", "media")
        return "upload.start" if kind == "resumable" else f"upload.{kind}"
    return "download" if method_id == "files.get" and exchange.query.get("alt") == "media" else method_id


def _own_token_urls(exchange: Exchange) -> frozenset[str]:
    return frozenset({exchange.base_url + exchange.path})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], emulator: DriveEmulator) -> None:
        self.emulator = emulator
        self.open_sockets: set[socket.socket] = set()
        super().__init__(address, _Connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.open_sockets.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self.open_sockets.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for connection in list(
            self.open_sockets
        ):  # a stopped emulator answers nobody, idle keep-alive included
            with_shutdown(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is everyday business; anything else is a mistake worth a traceback."""
        import sys

        if not isinstance(sys.exception(), (ConnectionError, TimeoutError, ConnectionDropped)):
            super().handle_error(request, client_address)


def with_shutdown(connection: socket.socket) -> None:
    """End a connection in both directions, whoever may be waiting on it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended already


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """The request log is written by `_serve`, not by the standard library."""

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def _serve(self) -> None:
        exchange = self._exchange()
        emulator = self.server.emulator
        logged = not exchange.path.startswith("/_lab/")
        if logged:
            emulator.log.begin()
        status = 0
        try:
            try:
                response = emulator.answer(exchange)
                if exchange.effects.status_after:
                    raise ApiError(
                        exchange.effects.status_after,
                        "Injected failure after the work was done",
                        "backendError",
                    )
            except ApiError as error:
                kind = {"Content-Type": "application/json; charset=UTF-8"}
                response = Response(error.status, error.body(), kind | error.headers)
            if exchange.effects.drop_answer:
                raise ConnectionDropped
            self._settle(exchange)
            self._send(exchange, response)
            status = response.status
        except (ConnectionDropped, ConnectionError):
            self.close_connection = True
            with_shutdown(self.connection)
        finally:
            if logged:
                emulator.log.write(exchange, status)

    def _exchange(self) -> Exchange:
        target = urlsplit(self.path)
        query = dict(parse_qsl(target.query, keep_blank_values=True))
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        body = Body(self.rfile, int(self.headers.get("Content-Length") or 0), chunked)
        host = self.headers.get("Host", "")
        # Behind a TLS-terminating proxy that plays Google, the addresses handed out must be Google's.
        scheme = (
            "https" if host.endswith(".googleapis.com") or host.endswith(".googleapis.com:443") else "http"
        )
        method = self.headers.get("X-HTTP-Method-Override", self.command).upper()
        exchange = Exchange(
            method,
            unquote(target.path),
            query,
            self.headers,
            body,
            str(self.client_address[0]),
            f"{scheme}://{host}",
        )
        if method != self.command and self.headers.get("Content-Type", "").startswith(
            "application/x-www-form-urlencoded"
        ):
            exchange.query |= dict(parse_qsl(body.read_all().decode(), keep_blank_values=True))
        return exchange

    def _settle(self, exchange: Exchange) -> None:
        """Before answering, read what is left of the request, or give the connection up."""
        while not exchange.body.finished and exchange.body.received < _DRAIN_LIMIT + BLOCK:
            if not exchange.body.read(BLOCK):
                return
        if not exchange.body.finished:
            self.close_connection = True

    def _send(self, exchange: Exchange, response: Response) -> None:
        effects = exchange.effects
        length = response.length
        cut = min(effects.truncate_at, length) if effects.truncate_at is not None else length
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.status != 204:
            self.send_header("Content-Length", str(cut if effects.honest_length else length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        corrupt_at = length // 2 if effects.corrupt and exchange.operation == "download" else -1
        for block in _blocks(response, cut, effects.bytes_per_second):
            if exchange.sent <= corrupt_at < exchange.sent + len(block):
                place = corrupt_at - exchange.sent
                block = block[:place] + bytes([block[place] ^ 0x01]) + block[place + 1 :]
            self.wfile.write(block)
            exchange.sent += len(block)
            if effects.bytes_per_second:
                pause(len(block) / effects.bytes_per_second)
        if cut < length and not effects.honest_length:
            raise ConnectionDropped


def _blocks(response: Response, length: int, bytes_per_second: int) -> Iterator[bytes]:
    stride = max(1024, bytes_per_second // 10) if bytes_per_second else BLOCK
    if isinstance(response.body, Slice):
        with response.body.path.open("rb") as file:
            file.seek(response.body.start)
            left = min(length, response.body.length)
            while left and (block := file.read(min(stride, left))):
                left -= len(block)
                yield block
        return
    for start in range(0, length, stride):
        yield response.body[start : min(start + stride, length)]
