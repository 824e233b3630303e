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
        self._lock = threading.Lock()
        self.path.touch()

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
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write(line)

    def clear(self) -> None:
        """Start an empty log."""
        with self._lock:
            self.path.write_bytes(b"")
