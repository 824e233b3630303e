"""The emulator as one object: its parts put together, and each request led through them."""

from __future__ import annotations

import threading
from pathlib import Path

from .accounts import Accounts
from .consent import AUTH_PATH, DEVICE_CODE_PATH, DEVICE_PATH, Consent
from .database import Database
from .discovery import Api
from .door import Door
from .errors import ApiError
from .exchange import Exchange, Response
from .faults import Faults
from .handlers import Handlers
from .listing import Listing
from .log import RequestLog
from .operations import Operations
from .rendering import Renderer
from .resumable import Sessions
from .server import Server
from .tokens import TokenEndpoint
from .tree import Tree
from .uploads import Uploads

_TOKEN_PATHS = frozenset({"/token", "/o/oauth2/token", "/oauth2/v4/token"})


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
        listing = Listing(self.tree, self.accounts)
        self.handlers = Handlers(self.tree, self.accounts, operations, listing, Renderer(api))
        self.uploads = Uploads(self.tree, operations, root, self.handlers.show)
        self.sessions = Sessions(self.tree, self.uploads, self._database, self.handlers.show)
        self.consent = Consent(self.accounts)
        self.tokens = TokenEndpoint(self.accounts, self.consent)
        self.log = RequestLog(root / "log.ndjson")
        self.faults = Faults(self._end_token, self._end_session)
        self.door = Door(self.tree, self.accounts, self.consent, listing, self.faults, self.log)
        self._server = Server((host, port), self.answer, self.log)
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
        self._server.serve_forever(poll_interval=0.02)

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
        if exchange.path in (AUTH_PATH, DEVICE_PATH, DEVICE_CODE_PATH):
            exchange.operation = "consent"
            exchange.target("")
            return self.consent.handle(exchange)
        if (
            "upload_id" in exchange.query
            and "/upload/drive/" in exchange.path
            and exchange.method in ("PUT", "POST")
        ):
            exchange.operation = "upload.chunk"
            exchange.target(*self.sessions.about(exchange.query["upload_id"]))
            return self.sessions.proceed(exchange)
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
            return self._upload(exchange)
        return self.handlers.handle(method.id, exchange)

    def _upload(self, exchange: Exchange) -> Response:
        match exchange.query.get("uploadType"):
            case "media":
                return self.uploads.media(exchange)
            case "multipart":
                return self.uploads.multipart(exchange)
            case "resumable":
                return self.sessions.start(exchange)
            case _:
                raise ApiError(400, "Missing or unknown uploadType.", "badRequest", "uploadType")

    def _end_session(self, exchange: Exchange) -> None:
        self.sessions.end(exchange.query["upload_id"])

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
