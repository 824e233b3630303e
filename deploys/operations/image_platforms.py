"""For which processors images exist, asked of their registries without pulling anything. Runs on the Pi, by
itself: what the Pi pulls from need not be reachable from elsewhere.

Reads {"images": […], "mirrors": […], "insecure": […]} from its argument, and prints for each image a line of
JSON: {"image", "architectures" (none where that is not known), "absent", "problem"}. Source: the OCI
distribution specification, and Docker's token authentication.
"""

import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

HUB = "registry-1.docker.io"
TIMEOUT_SECONDS = 20
_LISTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_SINGLE = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


class AbsentError(Exception):
    """The registry does not have it."""


def parse(reference: str) -> tuple[str, str, str]:
    """(registry, repository, tag or digest) of an image's name: `redis:8` is library/redis on Docker Hub."""
    name, at, digest = reference.partition("@")
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, path = first, rest
    else:
        registry, path = "docker.io", name
    path, tag = _without_tag(path)
    if registry == "docker.io" and "/" not in path:
        path = f"library/{path}"
    return registry, path, digest if at else tag


def _without_tag(path: str) -> tuple[str, str]:
    before, colon, after = path.rpartition(":")
    return (before, after) if colon and "/" not in after else (path, "latest")


def addresses(registry: str, mirrors: list[str], insecure: list[str]) -> list[str]:
    """Where the engine would look, in its order. Mirrors are for Docker Hub only."""
    if registry == "docker.io":
        return [*(mirror.rstrip("/") for mirror in mirrors), f"https://{HUB}"]
    local = registry.partition(":")[0] in ("localhost", "127.0.0.1")
    return [f"{'http' if registry in insecure or local else 'https'}://{registry}"]


def architectures(base: str, path: str, tag: str) -> list[str]:
    """The architectures (arm64, amd64 …) that one registry has the image for. Raises AbsentError, OSError, or
    ValueError for an answer that is none.
    """
    document = _get(base, path, f"manifests/{tag}", (*_LISTS, *_SINGLE))
    if "manifests" in document:
        platforms = [entry.get("platform", {}) for entry in document["manifests"]]
        # Attestations are listed as images for an unknown platform.
        return sorted({str(one.get("architecture")) for one in platforms} - {"unknown", "None"})
    if "config" not in document:
        raise ValueError("it answers with no manifest of an image")
    config = _get(base, path, f"blobs/{document['config']['digest']}", ())
    return [str(config.get("architecture"))]


def _get(
    base: str, path: str, what: str, accept: tuple[str, ...], token: str | None = None
) -> dict[str, Any]:
    request = _request(f"{base}/v2/{path}/{what}")
    if accept:
        request.add_header("Accept", ", ".join(accept))
    if token:
        # Not sent on to where blobs are kept: those addresses are signed, and refuse a second authorisation.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - see _request
            document: dict[str, Any] = json.load(answer)
            return document
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise AbsentError from None
        challenge = error.headers.get("WWW-Authenticate", "")
        if error.code != 401 or token or not challenge.lower().startswith("bearer "):
            raise
    return _get(base, path, what, accept, _token(challenge, path))


def _request(address: str) -> urllib.request.Request:
    """For web addresses only: a registry names where its tokens come from, and may name anything."""
    if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
        raise ValueError(f"{address} is no web address")
    return urllib.request.Request(address)  # noqa: S310


def _token(challenge: str, path: str) -> str:
    """What anybody gets who asks for it."""
    fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    query = {"scope": fields.get("scope") or f"repository:{path}:pull"}
    if "service" in fields:
        query["service"] = fields["service"]
    request = _request(f"{fields['realm']}?{urllib.parse.urlencode(query)}")
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - see _request
        document = json.load(answer)
    return str(document.get("token") or document["access_token"])


def look(reference: str, mirrors: list[str], insecure: list[str]) -> dict[str, Any]:
    """What is known of one image; the first registry that has it counts, as it does for the engine."""
    registry, path, tag = parse(reference)
    absent, problems = True, []
    for base in addresses(registry, mirrors, insecure):
        try:
            found = architectures(base, path, tag)
            return {"image": reference, "architectures": found, "absent": False, "problem": ""}
        except AbsentError:
            problems.append(f"{base} does not have it")
        except (OSError, ValueError, KeyError) as error:
            absent = False
            problems.append(f"{base}: {error}")
    return {"image": reference, "architectures": None, "absent": absent, "problem": "; ".join(problems)}


def main(argument: str) -> Iterator[str]:
    """A line for each image."""
    asked = json.loads(argument)
    for image in asked["images"]:
        yield json.dumps(look(image, asked["mirrors"], asked["insecure"]))


if __name__ == "__main__":
    for line in main(sys.argv[1]):
        print(line, flush=True)
