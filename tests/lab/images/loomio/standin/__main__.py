"""The processes that the image's start script chooses from: web, worker, hocuspocus, rake TASK…"""

import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg  # type: ignore[import-not-found,unused-ignore]

from . import database, web
from .settings import Settings, SettingsError, from_environment

HOCUSPOCUS_PORT = 80
WORKER_POLL_SECONDS = 5


def main(arguments: list[str]) -> None:
    # As PID 1 a process has no default reaction to SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if arguments == ["hocuspocus"]:
        hocuspocus()
        return
    settings = from_environment()
    match arguments:
        case ["web"]:
            web.serve(settings)
        case ["worker"]:
            work(settings)
        case ["rake", *tasks]:
            for task in tasks:
                rake(settings, task)
        case _:
            raise SystemExit("usage: python3 -m standin web | worker | hocuspocus | rake TASK…")


def rake(settings: Settings, task: str) -> None:
    """Ends the process when the database cannot be reached: the real image leaves retrying to Docker, too."""
    match task:
        case "db:prepare":
            print(f"db:prepare: {database.prepare(settings.database_url)}")
        case "db:migrate":
            print(f"db:migrate: {database.migrate(settings.database_url)}")
        case "loomio:hourly_tasks":
            print("loomio:hourly_tasks: nothing to do")
        case _:
            raise SystemExit(f"rake aborted! Don't know how to build task '{task}'")


def work(settings: Settings) -> None:
    """Holds a connection as the real worker does, and finds it again when the database comes back."""
    while True:
        try:
            with database.connect(settings.database_url) as connection:
                print("worker: connected")
                while True:
                    connection.execute("SELECT 1")
                    time.sleep(WORKER_POLL_SECONDS)
        except psycopg.Error as error:
            print(f"worker: will try again: {error}", file=sys.stderr)
            time.sleep(WORKER_POLL_SECONDS)


class Welcome(BaseHTTPRequestHandler):
    """The collaboration server's answer to anything that is not a web socket."""

    def do_GET(self) -> None:
        text = b"Welcome to Hocuspocus!"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def hocuspocus() -> None:
    print(f"hocuspocus: listening on {HOCUSPOCUS_PORT}")
    with ThreadingHTTPServer(("", HOCUSPOCUS_PORT), Welcome) as server:
        server.serve_forever()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (SettingsError, psycopg.OperationalError) as error:
        raise SystemExit(f"loomio: {error}") from error
