"""The HTTP side: connections, parsing, sending answers, and the effects of fault rules on the wire."""

from __future__ import annotations

import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from .errors import ApiError, ConnectionDropped
from .exchange import BLOCK, Body, Exchange, Response, Slice, pause
from .log import RequestLog

_DRAIN_LIMIT = 64 * 1024 * 1024  # of an unwanted body: less, and a client would see a reset, not the answer


class Server(ThreadingHTTPServer):
    """Threads and sockets; what to answer is somebody else's matter."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int], answer: Callable[[Exchange], Response], log: RequestLog
    ) -> None:
        self.answer, self.log = answer, log
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
            _hang_up(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is everyday business; anything else is a mistake worth a traceback."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError, ConnectionDropped)):
            super().handle_error(request, client_address)


def _hang_up(connection: socket.socket) -> None:
    """End a connection in both directions, whoever may be waiting on it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended already


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """The request log is written by `_serve`, not by the standard library."""

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def _serve(self) -> None:
        exchange = self._exchange()
        log = self.server.log
        logged = not exchange.path.startswith("/_lab/")
        if logged:
            log.begin()
        status = 0
        try:
            try:
                response = self.server.answer(exchange)
                if exchange.effects.status_after:
                    raise ApiError(
                        exchange.effects.status_after,
                        "Injected failure after the work was done",
                        "backendError",
                    )
            except ApiError as error:
                response = _as_response(error)
            except (ConnectionDropped, ConnectionError):
                raise
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not look like a lost connection
                traceback.print_exc()
                response = _as_response(ApiError(500, f"The emulator failed: {error!r}", "emulatorFailed"))
            if exchange.effects.drop_answer:
                raise ConnectionDropped
            self._settle(exchange)
            self._send(exchange, response)
            status = response.status
        except (ConnectionDropped, ConnectionError):
            self.close_connection = True
            _hang_up(self.connection)
        finally:
            if logged:
                log.write(exchange, status)

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


def _as_response(error: ApiError) -> Response:
    kind = {"Content-Type": "application/json; charset=UTF-8"}
    return Response(error.status, error.body(), kind | error.headers)


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
