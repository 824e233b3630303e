"""Searches everything that a drill leaves readable for secrets: logs, journals, arguments, files.

Each search returns sentences that name the secret (never its value) and the place.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab.exec_trace import ExecTrace
from tests.lab.pi import Pi

#: Runs on the Pi as the user nobody; reads the needles (one a line, name TAB value) from stdin.
READABLE = r"""
import os, sys
needles = [line.rstrip("\n").split("\t", 1) for line in sys.stdin if line.strip()]
needles = [(name, value.encode()) for name, value in needles]
longest = max(len(value) for _, value in needles)
skip = ("/proc/", "/sys/", "/dev/")
searched = 0
for folder, folders, files in os.walk("/"):
    if (folder + "/").startswith(skip):
        folders[:] = []
        continue
    for file in files:
        path = os.path.join(folder, file)
        try:
            if not os.path.isfile(path) or os.path.islink(path):
                continue
            with open(path, "rb") as stream:
                searched += 1
                tail = b""
                while block := stream.read(1 << 20):
                    text = tail + block
                    for name, value in needles:
                        if value in text:
                            print(f"{name}\t{path}")
                    tail = text[-longest:]
        except (PermissionError, FileNotFoundError):
            continue
print(f"searched\t{searched}")
"""


def in_texts(secrets: Mapping[str, str], texts: Mapping[str, str]) -> list[str]:
    """Search texts (by the name of their place)."""
    return [
        f"{name} is in {place}"
        for place, text in texts.items()
        for name, value in secrets.items()
        if value in text
    ]


def in_folder_logs(secrets: Mapping[str, str], folder: Path) -> list[str]:
    """Search every *.log of a folder."""
    logs = {path.name: path.read_text(errors="replace") for path in folder.glob("*.log")}
    assert logs, f"no log to search in {folder}"
    return in_texts(secrets, logs)


def in_journal(secrets: Mapping[str, str], pi: Pi) -> list[str]:
    """Search the Pi's whole journal."""
    journal = pi.run("journalctl", "--no-pager", "--all", "-o", "export")
    assert len(journal) > 1000, "the journal is empty: nothing was searched"
    return in_texts(secrets, {"the Pi's journal": journal})


def in_arguments(secrets: Mapping[str, str], trace: ExecTrace) -> list[str]:
    """Search the arguments of every program that was started."""
    return [
        f"{name} is an argument of {command[0].decode(errors='replace')}"
        for name, value in secrets.items()
        for command in trace.containing(value.encode())
    ]


def in_readable_files(secrets: Mapping[str, str], pi: Pi) -> list[str]:
    """Search every file on the Pi that a user without any rights can read."""
    needles = "".join(f"{name}\t{value}\n" for name, value in secrets.items())
    command: Sequence[str] = ("docker", "exec", "-i", "-u", "nobody", pi.name, "python3", "-c", READABLE)
    done = subprocess.run(command, input=needles, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    *found, (_, searched) = [line.split("\t", 1) for line in done.stdout.splitlines()]
    assert int(searched) > 1000, "hardly any file was searched"
    return [f"{name} is in the world-readable {path}" for name, path in found]
