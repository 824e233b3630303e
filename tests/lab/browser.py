"""A real browser for pages that this project writes: Chromium in a container, driven from outside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from selenium.webdriver import ChromeOptions, Remote
from selenium.webdriver.chrome.remote_connection import ChromeRemoteConnection

from .docker import docker, wait_until
from .images import HERE, base_image, build

_DRIVER = 9515


class Browser:
    """One window. `folder` of the machine is `/page` in there."""

    def __init__(self, driver: Remote) -> None:
        self.driver = driver

    def open(self, name: str, width: int = 1200, dark: bool = False, phone: bool = False) -> None:
        """Open a file of the folder, in a window so wide (CSS pixels), in the dark or the light scheme."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.cdp("Emulation.setEmulatedMedia", features=[scheme])
        self.cdp(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=phone
        )
        self._log("performance")  # what was before does not count
        self.driver.get(f"file:///page/{name}")

    def js(self, script: str) -> Any:
        """What a function's body returns in the page."""
        return self.driver.execute_script(script)

    def cdp(self, command: str, **parameters: object) -> Any:
        """A command of the browser's own protocol."""
        return self.driver.execute("executeCdpCommand", {"cmd": command, "params": parameters})["value"]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        """What came in since it was read last."""
        return list(self.driver.execute("getLog", {"type": kind})["value"])

    def requests(self) -> list[str]:
        """The addresses that the page asked for since it was opened."""
        messages = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[str]:
        """What the browser found wrong with the page."""
        return [entry["message"] for entry in self._log("browser")]

    def accessible(self) -> list[tuple[str, str, str]]:
        """What a screen reader is told: (role, name, description) of everything that is not passed over."""
        nodes = self.cdp("Accessibility.getFullAXTree")["nodes"]
        return [
            (_value(node, "role"), _value(node, "name"), _value(node, "description"))
            for node in nodes
            if not node["ignored"]
        ]


def _value(node: dict[str, Any], key: str) -> str:
    return str(node.get(key, {}).get("value", ""))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser that sees one folder of this machine."""
    base_image("trixie")
    container = docker(
        *("run", "-d", "--shm-size=512m", "-p", f"127.0.0.1::{_DRIVER}", "-v", f"{folder}:/page:ro"),
        build(HERE / "browser_image", "browser"),
    )
    try:
        port = docker("port", container, f"{_DRIVER}/tcp").splitlines()[0].rpartition(":")[2]
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(f"{address}/status"), "the browser's driver")
        options = ChromeOptions()
        # The container is the sandbox.
        for flag in ("headless=new", "no-sandbox", "disable-gpu", "force-renderer-accessibility"):
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        # Never through a proxy: it is this machine.
        driver = Remote(ChromeRemoteConnection(address, ignore_proxy=True), options=options)
        try:
            yield Browser(driver)
        finally:
            driver.quit()
    finally:
        docker("rm", "-f", container)


def _answers(address: str) -> bool:
    try:
        with build_opener(ProxyHandler({})).open(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
