"""The app itself, started against the copy: no worker, no mail, no way out, no secret that leads anywhere.

It gets what a list names and nothing else: a new secret in `.env` stays away from it until somebody adds it.
"""

import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from loomio_backup import docker
from loomio_backup.backup.bundle import Bundle, parse_env
from loomio_backup.config import Config
from loomio_backup.drill import drill_bench, drill_gates
from loomio_backup.drill.drill_bench import APP, DATABASE, REDIS, Bench, Copy, last_words
from loomio_backup.errors import AgentError
from loomio_backup.progress import Ticker, seconds_text

ANSWERED = "answered"
_ALLOWED = {
    *("RAILS_ENV", "RACK_ENV", "NODE_ENV", "TZ", "LANG", "RAILS_LOG_LEVEL"),
    *("CANONICAL_HOST", "SITE_NAME", "SUPPORT_EMAIL", "REPLY_HOSTNAME", "PUBLIC_APP_URL", "HOCUSPOCUS_URL"),
    *("FORCE_SSL", "ASSUME_SSL", "WEB_CONCURRENCY", "MIN_THREADS", "MAX_THREADS", "LOOMIO_SYSTEM_RELOAD"),
    *("SECRET_KEY_BASE", "SECRET_COOKIE_TOKEN", "DEVISE_SECRET"),
}
"""What is needed to start: names, numbers, and the keys that belong to the data."""
STARTING_SECONDS = 900
"""As long as the stack gives it: it prepares the database first, on a Pi that has other things to do."""
LOOMIO_HEALTH = "curl --fail --silent --output /dev/null http://localhost:3000/api/v1/boot/version"
_FRONT_PAGE = (
    "command -v curl >/dev/null || exit 0; "
    "curl --silent --output /dev/null --max-time 60 --write-out '%{http_code}' "
    "--header 'X-Forwarded-Proto: https' http://localhost:3000/"
)


def try_out(config: Config, bench: Bench, copy: Copy, bundle: Bundle, directory: Path) -> str:
    """Start the app against the copy: `answered`, or `skipped: …` or `failed: …` with the reason."""
    if not config.verify.app:
        return "skipped: the settings say so (backup.verify_app)"
    found = {one.service: one for one in docker.containers(config.project) if not one.one_off}
    app, cache = config.app_service, config.cache_service
    lacking = [service for service in (app, cache) if service not in found]
    if lacking:
        return f"skipped: there is no container of {' and '.join(lacking)} to take the image from"
    meminfo = drill_bench.meminfo(config.project, found[cache].image_id)
    reason = drill_gates.too_little_for_the_app(drill_gates.available_memory(meminfo))
    if reason is not None:
        return f"skipped: {reason}"
    variables = environment(config, copy, bundle)
    bench.start_redis(found[cache].image_id)
    container = start(bench, APP, found[app].image_id, variables, directory)
    return answer_of(container, health_of(found[app].id), variables)


def start(
    bench: Bench, name: str, image_id: str, variables: Mapping[str, str], directory: Path, *command: str
) -> str:
    """Start the app's image on the bench, with these variables; returns the container."""
    file = _env_file(directory / "app.env", variables)
    try:
        return bench.start(
            name,
            image_id,
            drill_gates.APP_MEMORY,
            *("--env-file", str(file), "--cap-drop", "NET_RAW"),
            command=command,
        )
    finally:
        file.unlink()


def environment(config: Config, copy: Copy, bundle: Bundle) -> dict[str, str]:
    """What the app is given: of the backup's own `.env` what is allowed, and the way to the copy."""
    text = bundle.env
    if text is None:
        text = config.stack_env_file.read_text(encoding="utf-8", errors="surrogateescape")
    allowed = _ALLOWED | set(config.application_keys)
    user, password = quote(config.database.user, safe=""), quote(copy.password, safe="")
    redis = f"redis://{REDIS}:6379/0"
    return {
        **{name: value for name, value in parse_env(text).items() if name in allowed and value},
        "DATABASE_URL": f"postgresql://{user}:{password}@{DATABASE}/{config.database.name}",
        "REDIS_URL": redis,
        "REDIS_CACHE_URL": redis,
        "ACTIVE_STORAGE_SERVICE": "local",
    }


def _env_file(path: Path, variables: Mapping[str, str]) -> Path:
    """For `docker run`, which takes each line as it is: a value of several lines cannot be handed over."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        for name, value in variables.items():
            if "\n" not in value:
                file.write(f"{name}={value}\n")
    return path


def health_of(container: str) -> str:
    """A container's own health check as a shell command; Loomio's, where it has none."""
    document: list[dict[str, Any]] = json.loads(docker.docker("container", "inspect", container))
    test: list[str] = (document[0]["Config"].get("Healthcheck") or {}).get("Test") or []
    match test:
        case ["CMD-SHELL", command]:
            return command
        case ["CMD", *words]:
            return shlex.join(words)
    return LOOMIO_HEALTH


def answer_of(
    container: str, health: str, secrets: Mapping[str, str], seconds: float = STARTING_SECONDS
) -> str:
    """Wait until the app in a container answers: `answered`, or `skipped: …` or `failed: …` with the reason.
    The values of `secrets` are kept out of it.
    """
    deadline, ticker = time.monotonic() + seconds, Ticker("app")
    while _exec(container, health).returncode != 0:
        state = docker.docker(
            "inspect", "--format", "{{.State.Running}} {{.State.OOMKilled}} {{.State.ExitCode}}", container
        )
        running, too_large, code = state.split()
        if too_large == "true":
            return f"skipped: it took more memory than a drill may ({drill_gates.APP_MEMORY >> 20} MiB)"
        if running != "true":
            said = without(last_words(container), secrets.values())
            return f"failed: it ended with exit code {code} and said: {said or 'nothing'}"
        if time.monotonic() > deadline:
            return f"failed: it did not answer within {seconds_text(seconds)}"
        ticker.tick("it is starting")
        time.sleep(1)
    # The check need not touch the database; the first page does.
    code = _exec(container, _FRONT_PAGE).stdout.decode(errors="replace").strip()
    return f"failed: its first page answers with status {code}" if code.startswith("5") else ANSWERED


def _exec(container: str, command: str) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(
            ["docker", "exec", container, "sh", "-c", command],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )
    except subprocess.TimeoutExpired:
        raise AgentError(
            "the app that was started against the copy hangs, so the drill came to no end. The live one is "
            "untouched. Is the Pi very busy? Try again later, or turn backup.verify_app off."
        ) from None


def without(text: str, secrets: Iterable[str]) -> str:
    """What a program printed, without the secrets that it was given."""
    for secret in secrets:
        if len(secret) >= 8:
            text = text.replace(secret, "…")
    return text
