"""The request log: one JSON line per exchange in DIR/log.ndjson, with everything a proof needs and no secret.

Keys: time (RFC 3339), client (address), method, path, query, operation, status (0: connection dropped), name,
id, caller (account), bytes_in, bytes_out (bodies), seconds, faults (kinds of rules that struck).
"""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from .exchange import Exchange

_SECRET_PARAMETERS = frozenset({"access_token", "oauth_token", "key", "upload_id"})


class RequestLog:
    """Appends to the log file; safe from many threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._changed = threading.Condition()
        self._open = 0
        self.path.touch()

    def begin(self) -> None:
        """An exchange has begun that will be written."""
        with self._changed:
            self._open += 1

    def write(self, exchange: Exchange, status: int) -> None:
        """Note a finished exchange."""
        entry = {
            "time": datetime.fromtimestamp(exchange.started, UTC).isoformat(timespec="milliseconds"),
            "client": exchange.client,
            "method": exchange.method,
            "path": exchange.path,
            "query": {
                name: "…" if name in _SECRET_PARAMETERS else value for name, value in exchange.query.items()
            },
            "operation": exchange.operation,
            "status": status,
            "name": exchange.name,
            "id": exchange.file_id,
            "caller": exchange.caller.email if exchange.caller else "",
            "bytes_in": exchange.body.received,
            "bytes_out": exchange.sent,
            "seconds": round(time.time() - exchange.started, 4),
            "faults": exchange.effects.names,
        }
        line = json.dumps(entry, ensure_ascii=False) + "\n"
        with self._changed, self.path.open("a", encoding="utf-8") as file:
            file.write(line)
            self._open -= 1
            self._changed.notify_all()

    def settle(self, seconds: float = 2.0) -> None:
        """Wait a moment for exchanges on their way: a client has its answer before the log has its line."""
        with self._changed:
            self._changed.wait_for(lambda: self._open == 0, seconds)

    def clear(self) -> None:
        """Start an empty log."""
        with self._changed:
            self.path.write_bytes(b"")
