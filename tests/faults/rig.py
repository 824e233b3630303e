"""One pretended Pi whose agent is killed again and again, and a second one on which its backups are
restored.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from loomio_backup.catalogue.manifest import SUFFIX, Manifest, unseal
from loomio_backup.config import DriveStore, LocalStore, Retention
from loomio_backup.encryption import crypto
from loomio_backup.stores.drive import DriveFolder
from tests.lab.agent_site import Site, clean_environment, site
from tests.lab.drive import DriveEmulator, LabDrive

NOTHING_BUT_PINS = Retention(hourly=0, daily=0, weekly=0, monthly=0, yearly=0)
"""Retention that keeps the newest and what is pinned: every run has something to remove."""
EVERYTHING = Retention(hourly=0, daily=0, weekly=0, monthly=0, yearly=0, days=1)
"""Retention that removes nothing while a series lasts."""
_TIMES = (("removals", "removed_at"), ("marks", "marked_at"))


_KEYRING_DUE = re.compile(r"keyring_[0-9a-f]+\.age|backups in \w+ are whole")


@dataclass(frozen=True)
class Content:
    """Fingerprints of what a backup holds: the database as SQL, and all files with their attributes."""

    database: str
    files: str


@dataclass
class Death:
    """How a killed run ended: whether it was killed at all, where, and what it did until then."""

    killed: bool
    phase: str
    steps: list[dict[str, str]]
    output: str


@dataclass
class Rig:
    """The two Pis. `known` is what each backup that must still restore held when it was made."""

    root: Path
    pi: Site
    fresh: Site
    emulator: DriveEmulator
    random: random.Random
    known: dict[str, Content] = field(default_factory=dict)
    _number: int = 0

    def change(self) -> None:
        """People work: rows and files are added, changed and removed."""
        self._number += 1
        number = self._number
        self.pi.sql(f"INSERT INTO users (email) VALUES ('more{number}@example.org')")
        (self.pi.uploads / f"new {number}").write_bytes(self.random.randbytes(20_000))
        (self.pi.uploads / "changing").write_bytes(self.random.randbytes(50_000 + number))
        gone = self.pi.uploads / f"new {number - 3}"
        gone.unlink(missing_ok=True)

    def content(self, where: Site) -> Content:
        """What is on a Pi now."""
        return content_of(where)

    def backup(self, *options: str) -> str:
        """A backup that must succeed; its name. What it holds is remembered."""
        self.pi.must("run", *options)
        name = self.names("local")[0]
        self.known[name] = self.content(self.pi)
        return name

    def names(self, store: str) -> list[str]:
        """The backups in a store, newest first, seen without the agent."""
        found = {name.removesuffix(SUFFIX) for name in self.objects()[store] if name.endswith(SUFFIX)}
        return sorted((name for name in found if not name.startswith(".")), reverse=True)

    def killed(self, arguments: list[str], **plan: float) -> Death:
        """Run a verb that is killed by the plan."""
        log, file = self.root / "steps.jsonl", self.root / "plan.json"
        log.unlink(missing_ok=True)
        file.write_text(json.dumps({**plan, "log": str(log)}))
        agent = self.pi.agent(*arguments)
        command = [sys.executable, "-m", "tests.faults.killer", str(file), *agent[3:]]
        done = subprocess.run(command, capture_output=True, text=True, env=clean_environment())
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        killed = done.returncode == -signal.SIGKILL
        assert killed or done.returncode == 0, done.stdout + done.stderr
        death = lines[-1]["killed"] if killed and lines and "killed" in lines[-1] else "start and end"
        return Death(killed, death, [line for line in lines if "step" in line], done.stdout + done.stderr)

    def keep(self, policy: Retention) -> None:
        """Another retention for both stores."""
        stores = self.pi.config.stores
        assert stores.local is not None
        assert stores.drive is not None
        local = stores.local.model_copy(update={"retention": policy})
        drive = stores.drive.model_copy(update={"retention": policy})
        both = stores.model_copy(update={"local": local, "drive": drive})
        self.pi.write_config(self.pi.config.model_copy(update={"stores": both}))

    def restores(self, name: str, store: str) -> None:
        """The backup comes back on the other Pi, equal to what it was made of."""
        self.fresh.lose_database()
        self.fresh.must(*("restore", "--backup", name, "--store", store, "--unattended"))
        assert self.content(self.fresh) == self.known[name], f"{name} from {store} is not what was backed up"
        forget_what_was_replaced(self.fresh)

    def intact(self, expected: set[str], keyring_due: bool = False) -> None:
        """Every object of every expected backup is in both stores, byte for byte as its manifest says.
        `keyring_due`: a rotation was killed, so a keyring may be what is missing.
        """
        for store in ("local", "drive"):
            names = set(self.names(store))
            assert expected <= names, f"{store} lost {expected - names}"
            # Names tell the time here: the newest may only have made way for a newer one.
            assert max(names) >= max(self.known), f"{store} lost its newest backup, {max(self.known)}"
        checked = self.pi.run("check", "--all", "--read-data", "--json")
        problems = [problem for verdict in json.loads(checked.out) for problem in verdict["problems"]]
        if keyring_due:
            problems = [problem for problem in problems if not _KEYRING_DUE.search(problem)]
        assert problems == [], checked

    def age(self, days: int = 8) -> None:
        """Let days pass for what was marked and removed: the records are moved, because clocks cannot be."""
        with sqlite3.connect(self.root / "pi" / "state" / "catalogue.sqlite") as catalogue:
            for table, column in _TIMES:
                moments = catalogue.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall()
                for (moment,) in moments:
                    earlier = (datetime.fromisoformat(moment) - timedelta(days=days)).isoformat()
                    catalogue.execute(
                        f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (earlier, moment)
                    )

    def unreferenced(self) -> list[str]:
        """Objects that no manifest needs, after all that is due was cleared up: what interrupted runs leave
        goes at once as a rule, the rest when it has been marked long enough.
        """
        found = self._needless()
        if found:
            self.pi.must("prune")
            self.age()
            self.pi.must("prune")
            found = self._needless()
        return found

    def _needless(self) -> list[str]:
        found = []
        for store, names in self.objects().items():
            needed = {"RECOVERY.md"}
            for manifest in self.manifests(store):
                needed |= {manifest.manifest_name, manifest.name + ".pin.age"}
                needed |= {entry.name for entry in manifest.objects}
            keyrings = [name for name in names if name.startswith("keyring_")]
            assert len(keyrings) <= 1, f"{store} holds superseded keyrings: {keyrings}"
            assert len(names) == len(set(names)), f"{store} holds a name twice: {sorted(names)}"
            found += [f"{store}: {name}" for name in sorted(names) if name not in {*needed, *keyrings}]
        spool = [path.name for path in (self.root / "pi" / "state" / "spool").iterdir()]
        return found + [f"spool: {name}" for name in spool]

    def objects(self) -> dict[str, list[str]]:
        """What really lies in the stores, seen without the agent's store code: hidden files included."""
        files = LabDrive(self.emulator.url).files()
        drive = [file["name"] for file in files if not file["mimeType"].endswith(".folder")]
        return {"local": sorted(path.name for path in self.folder.iterdir()), "drive": sorted(drive)}

    def manifests(self, store: str) -> list[Manifest]:
        """The manifests of a store, opened with the operator's identity."""
        place = self.folder
        if store == "drive":
            place = self.root / "manifests"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            assert self.pi.config.stores.drive is not None
            secret = json.loads((self.root / "pi" / "credentials" / "drive.json").read_text())
            drive = DriveFolder(self.pi.config.stores.drive, secret)
            for stored in drive.list():
                if stored.name.endswith(SUFFIX):
                    drive.get(stored, place / stored.name)
        identities = crypto.parse_identities((self.root / "pi" / "credentials" / "identity").read_text())
        public = crypto.signing_public_key(self.pi.signing_key)
        return [unseal(path, identities, public) for path in sorted(place.glob(f"*{SUFFIX}"))]

    @property
    def folder(self) -> Path:
        """The local store."""
        return self.root / "disk"


@contextmanager
def rig(root: Path, seed: int, image: str | None = None) -> Iterator[Rig]:
    """Two Pis with a local store and Drive, a little data, two pinned backups. `image`: the database's."""
    with ExitStack() as stack:
        emulator = stack.enter_context(DriveEmulator(root / "drive"))
        lab = LabDrive(emulator.url)
        drive = DriveStore(api_root=emulator.url, token_uri=lab.token_uri, retention=NOTHING_BUT_PINS)
        options = {"drive": drive, "drive_secret": json.dumps(lab.register_user()), "local": root / "disk"}
        names = [f"faults-{os.getpid()}-{seed}-{which}" for which in ("pi", "fresh")]
        pi = stack.enter_context(site(root / "pi", names[0], image=image, **options))
        fresh = stack.enter_context(site(root / "fresh", names[1], keys=pi, **options))
        local = LocalStore(path=root / "disk", retention=NOTHING_BUT_PINS)
        for one in (pi, fresh):
            stores = one.config.stores.model_copy(update={"local": local})
            one.write_config(one.config.model_copy(update={"stores": stores, "clock_wait_seconds": 0}))
        pi.fill()
        made = Rig(root, pi, fresh, emulator, random.Random(seed))
        for _ in range(2):
            made.change()
            made.backup("--pin")
        yield made


def content_of(where: Site) -> Content:
    """What is on a Pi now."""
    database = "\n".join(where.database_text())
    return Content(_digest(database), _digest(repr(where.files_text())))


def forget_what_was_replaced(where: Site) -> None:
    """Remove what restores keep aside."""
    query = (
        "SELECT datname FROM pg_database "
        "WHERE datname NOT IN ('loomio_production', 'postgres') AND NOT datistemplate"
    )
    for name in where.sql(query, "postgres").split():
        where.sql(f'DROP DATABASE "{name}" WITH (FORCE)', "postgres")
    for source in (where.storage, where.uploads):
        for path in source.glob(".loomio-*"):
            shutil.rmtree(path)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
