"""Which processors an image is for, as registries say it: lists, single images, tokens, mirrors."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from deploys.operations import image_platforms as platforms
from deploys.operations.images import doubts, objections

LIST = {
    "manifests": [
        {"platform": {"architecture": "amd64", "os": "linux"}},
        {"platform": {"architecture": "arm64", "os": "linux"}},
        {"platform": {"architecture": "unknown", "os": "unknown"}},
    ]
}
SINGLE = {"config": {"digest": "sha256:1"}}
CONTENT: dict[str, Any] = {
    "/v2/library/redis/manifests/8": LIST,
    "/v2/loomio/loomio/manifests/3.5": SINGLE,
    "/v2/loomio/loomio/blobs/sha256:1": {"architecture": "amd64"},
    "/v2/odd/odd/manifests/latest": {"schemaVersion": 1},
}


class Registry(BaseHTTPRequestHandler):
    """A registry; one with `token` hands it out to everybody who asks, and answers nobody else."""

    token = ""
    failing = False

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/token":
            assert "scope=repository%3A" in self.path
            return self._answer(200, {"token": self.token})
        if self.failing:
            return self._answer(500, {})
        if self.token and self.headers.get("Authorization") != f"Bearer {self.token}":
            realm = f"http://{self.headers['Host']}/token"
            return self._answer(401, {}, f'Bearer realm="{realm}",service="test",scope="repository:a:pull"')
        return self._answer(200 if path in CONTENT else 404, CONTENT.get(path, {}))

    def _answer(self, status: int, body: Any, challenge: str | None = None) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """pytest's output is for results."""


@contextmanager
def registry(**traits: Any) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Registry", (Registry,), traits))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("token", ["", "words"], ids=["open", "token"])
def test_lists_and_single_images(token: str) -> None:
    with registry(token=token) as address:
        for name, expected in (("library/redis:8", ["amd64", "arm64"]), ("loomio/loomio:3.5", ["amd64"])):
            found = platforms.look(f"{address}/{name}", [], [])
            assert found["architectures"] == expected, found


def test_what_a_mirror_does_not_have_is_asked_of_the_next() -> None:
    with registry(failing=True) as first, registry() as second:
        mirrors = [f"http://{first}/", f"http://{second}"]
        assert platforms.look("redis:8", mirrors, [])["architectures"] == ["amd64", "arm64"]


def test_what_is_not_there_is_told_from_what_is_not_known() -> None:
    with registry() as address:
        absent = platforms.look(f"{address}/library/redis:9", [], [])
        odd = platforms.look(f"{address}/odd/odd", [], [])
    gone = platforms.look(f"{address}/library/redis:8", [], [])
    assert (absent["absent"], odd["absent"], gone["absent"]) == (True, False, False)
    answers = [absent, odd, gone, {"image": "x:1", "architectures": ["amd64", "s390x"], "absent": False}]
    said = objections(answers, "arm64")
    assert len(said) == 2
    assert "There is no image" in said[0]
    assert said[1] == "The image x:1 is for amd64, s390x, and this Pi is arm64."
    assert len(doubts(answers)) == 2


def test_the_program_answers_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with registry() as address:
        argument = json.dumps({"images": [f"{address}/library/redis:8"], "mirrors": [], "insecure": []})
        lines = [json.loads(line) for line in platforms.main(argument)]
    assert [line["architectures"] for line in lines] == [["amd64", "arm64"]]


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("redis", ("docker.io", "library/redis", "latest")),
        ("postgres:17", ("docker.io", "library/postgres", "17")),
        ("loomio/loomio:3.5", ("docker.io", "loomio/loomio", "3.5")),
        ("nas:5000/a/b", ("nas:5000", "a/b", "latest")),
        ("ghcr.io/a/b:1@sha256:ab", ("ghcr.io", "a/b", "sha256:ab")),
        ("localhost/a", ("localhost", "a", "latest")),
    ],
)
def test_names_are_read_as_the_engine_reads_them(reference: str, parts: tuple[str, str, str]) -> None:
    assert platforms.parse(reference) == parts


def test_registries_without_https_are_those_that_the_settings_name() -> None:
    assert platforms.addresses("nas:5000", ["http://mirror"], ["nas:5000"]) == ["http://nas:5000"]
    assert platforms.addresses("ghcr.io", ["http://mirror"], []) == ["https://ghcr.io"]
    assert platforms.addresses("docker.io", ["http://mirror/"], [])[0] == "http://mirror"


def test_a_registry_cannot_send_us_to_a_file() -> None:
    with pytest.raises(ValueError, match="no web address"):
        platforms._token('Bearer realm="file:///etc/passwd"', "a")
