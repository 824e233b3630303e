"""Every mistake in a settings file is one sentence: file, line, key, value, what is expected."""

from pathlib import Path

import pytest

from inventories.settings import load_settings
from inventories.validation import SettingsError

GOOD = """\
hosts:
  loomio:
    address: 192.168.1.20
timezone: Europe/Berlin
stack:
  repository: https://git.example.org/loomio-pi-stack.git
  ref: v1.2.3
  canonical_host: loomio.example.org
  support_email: help@example.org
backup:
  schedule: 0 */6 * * *
"""


def mistake(tmp_path: Path, text: str) -> str:
    """The sentence for a settings file with this text, without the directory's name."""
    path = tmp_path / "pi.yml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence[-1] in ".?"
    return sentence.replace(f"{tmp_path}/", "")


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


CASES = [
    # Misspelt, misplaced.
    (
        "address: 192",
        "adress: 192",
        "pi.yml:3: hosts.loomio.adress is not a known key; did you mean hosts.loomio.address?",
    ),
    (
        "timezone:",
        "timezon:",
        "pi.yml:4: timezon is not a known key; did you mean timezone?",
    ),
    (
        "  schedule",
        "  shedule",
        "pi.yml:11: backup.shedule is not a known key; did you mean backup.schedule?",
    ),
    (
        "timezone: Eu",
        "schedule: x\ntimezone: Eu",
        "pi.yml:4: schedule is not a known key; did you mean backup.schedule?",
    ),
    (
        "  schedule",
        "  x: 1\n  schedule",
        "pi.yml:11: backup.x is not a known key; known here: schedule, prune_schedule, watch_schedule, "
        "verify_schedule, verify_sample_schedule, verify_app, jitter_seconds, clock_wait_seconds, format, "
        "retention, verified_kept, keep_replaced_days, local, drive, app_data.",
    ),
    (
        "  schedule",
        "  drive: {folder: a}\n  schedule",
        "pi.yml:11: backup.drive.folder is not a known key; did you mean backup.drive.folder_id?",
    ),
    (
        "  schedule",
        "  address: x\n  schedule",
        "pi.yml:11: backup.address is not a known key; did you mean hosts.NAME.address?",
    ),
    # Missing.
    (
        "  ref: v1.2.3\n",
        "",
        "pi.yml:5: stack.ref is missing; expected: the tag, branch or commit to check out; a tag or "
        "commit is best.",
    ),
    (
        "    address: 192.168.1.20\n",
        "    port: 22\n",
        "pi.yml:2: hosts.loomio.address is missing; expected: host name or IP address of the Pi, such"
        " as 192.168.1.20 or loomio.local.",
    ),
    (
        "    address: 192.168.1.20\n",
        "",
        "pi.yml:2: hosts.loomio is empty; expected: a name for the Pi, and below it its address.",
    ),
    (
        "v1.2.3",
        "",
        "pi.yml:7: stack.ref is empty; expected: the tag, branch or commit to check out; a tag or "
        "commit is best.",
    ),
    (
        "hosts:\n  loomio:\n    address: 192.168.1.20\n",
        "",
        "pi.yml:1: hosts is missing; expected: a name for the Pi, and below it its address.",
    ),
    (
        "  loomio:\n    address: 192.168.1.20\n",
        "  {}\n",
        "pi.yml:1: hosts names no Pi.",
    ),
    # Of the wrong type.
    (
        "v1.2.3",
        "1.20",
        "pi.yml:7: stack.ref: '1.20' is not text to YAML (put it in quotes); expected: the tag, "
        "branch or commit to check out; a tag or commit is best.",
    ),
    (
        "v1.2.3",
        "2026-11-01",
        "pi.yml:7: stack.ref: '2026-11-01' is not text to YAML (put it in quotes); expected: the tag,"
        " branch or commit to check out; a tag or commit is best.",
    ),
    (
        "192.168.1.20",
        "192.168.1.20\n    port: ssh",
        "pi.yml:4: hosts.loomio.port: 'ssh' is not a whole number; expected: the SSH port, 1 to 65535.",
    ),
    (
        "192.168.1.20",
        "192.168.1.20\n    port: yes",
        "pi.yml:4: hosts.loomio.port: 'yes' is not a whole number; expected: the SSH port, 1 to 65535.",
    ),
    (
        "192.168.1.20",
        "192.168.1.20\n    port: 22.5",
        "pi.yml:4: hosts.loomio.port: '22.5' is not a whole number; expected: the SSH port, 1 to 65535.",
    ),
    (
        "192.168.1.20",
        "192.168.1.20\n    port: 0",
        "pi.yml:4: hosts.loomio.port: '0' is too small; expected: the SSH port, 1 to 65535.",
    ),
    (
        "  schedule",
        "  jitter_seconds: 4000\n  schedule",
        "pi.yml:11: backup.jitter_seconds: '4000' is too large; expected: at most so many seconds of "
        "random delay, 0 to 3600.",
    ),
    (
        "backup:\n  schedule: 0 */6 * * *",
        "backup: hourly",
        "pi.yml:10: backup: 'hourly' is not a group of keys; expected: settings of the backups.",
    ),
    (
        "  schedule",
        "  app_data: storage\n  schedule",
        "pi.yml:11: backup.app_data: 'storage' is not a list; expected: a list of the stack's "
        "volumes: storage, uploads, files, plugins, import, tmp.",
    ),
    (
        "  schedule",
        "  app_data: [storage, redis]\n  schedule",
        "pi.yml:11: backup.app_data[2]: 'redis' is not one of the choices; expected: a list of the "
        "stack's volumes: storage, uploads, files, plugins, import, tmp.",
    ),
    (
        "timezone: Eu",
        "docker: {source: podman}\ntimezone: Eu",
        "pi.yml:4: docker.source: 'podman' is not one of the choices; expected: docker (Docker's own "
        "apt repository) or debian (Debian's packages).",
    ),
    # Of the right type, but no good.
    (
        "Europe/Berlin",
        "Europe/Berln",
        "pi.yml:4: timezone: 'Europe/Berln' is not a time zone; expected: a name of the time zone "
        "database, such as Etc/UTC or Europe/Berlin.",
    ),
    (
        "0 */6 * * *",
        "0 */6 * *",
        "pi.yml:11: backup.schedule: '0 */6 * *' is not a cron expression (Wrong number of fields); "
        "expected: minute hour day month weekday in quotes, such as '0 * * * *' or '0 */6 * * *'.",
    ),
    (
        "0 */6 * * *",
        "0 25 * * *",
        "pi.yml:11: backup.schedule: '0 25 * * *' is not a cron expression (Bad hour); expected: "
        "minute hour day month weekday in quotes, such as '0 * * * *' or '0 */6 * * *'.",
    ),
    (
        "loomio.example.org",
        "https://loomio.example.org",
        "pi.yml:8: stack.canonical_host: 'https://loomio.example.org' is not a host name; expected: "
        "the host name under which people reach Loomio, without https://.",
    ),
    (
        "help@example.org",
        "example.org",
        "pi.yml:9: stack.support_email: 'example.org' is not a mail address; expected: the mail "
        "address that people can write to.",
    ),
    (
        "192.168.1.20",
        "-oProxyCommand=x",
        "pi.yml:3: hosts.loomio.address: '-oProxyCommand=x' is not a host name or IP address; "
        "expected: host name or IP address of the Pi, such as 192.168.1.20 or loomio.local.",
    ),
    (
        "v1.2.3",
        "--upload-pack=x",
        "pi.yml:7: stack.ref: '--upload-pack=x' holds a space, is empty or starts with a dash; "
        "expected: the tag, branch or commit to check out; a tag or commit is best.",
    ),
    (
        "https://git.example.org/loomio-pi-stack.git",
        "ftp://x/y",
        "pi.yml:6: stack.repository: 'ftp://x/y' is not the address of a git repository; expected: "
        "address of the git repository that the Pi clones, such as "
        "https://github.com/you/loomio-pi-stack.git.",
    ),
    (
        "192.168.1.20",
        "192.168.1.20\n    ssh_key: absent",
        "pi.yml:4: hosts.loomio.ssh_key: 'absent' is not there (looked for absent); expected: path of"
        " an SSH private key of yours.",
    ),
    (
        "timezone: Eu",
        "docker: {apt_url: 'docker.com'}\ntimezone: Eu",
        "pi.yml:4: docker.apt_url: 'docker.com' is not a web address; expected: address of Docker's "
        "apt repository.",
    ),
    (
        "timezone: Eu",
        "docker: {apt_key_fingerprint: 9DC8}\ntimezone: Eu",
        "pi.yml:4: docker.apt_key_fingerprint: '9DC8' does not have the right form; expected: the "
        "key's fingerprint, 40 hexadecimal digits.",
    ),
    (
        "timezone: Eu",
        "encryption:\n  extra_recipients:\n  - age1mistyped\ntimezone: Eu",
        "pi.yml:6: encryption.extra_recipients[1]: 'age1mistyped' is not an age recipient; expected: "
        "a list of age recipients: age1 and 58 more characters each.",
    ),
    (
        "  schedule",
        "  drive: {api_root: 'drive'}\n  schedule",
        "pi.yml:11: backup.drive.api_root: 'drive' is not a web address; expected: root of Google's APIs.",
    ),
    (
        "  schedule",
        "  local: off\n  schedule",
        "pi.yml:10: backup has no store: turn local or drive on.",
    ),
    (
        "  schedule",
        "  local: {path: backups}\n  schedule",
        "pi.yml:11: backup.local.path: 'backups' is not an absolute path below the first level; "
        "expected: absolute path on the Pi.",
    ),
    (
        "  schedule",
        "  local: {path: /var/backups/loomio, mount_point: /mnt/usb}\n  schedule",
        "pi.yml:11: backup.local has the path /var/backups/loomio, which is not below its mount_point.",
    ),
    (
        "  schedule",
        "  local: {path: /mnt/usb2/loomio, mount_point: /mnt/usb}\n  schedule",
        "pi.yml:11: backup.local has the path /mnt/usb2/loomio, which is not below its mount_point.",
    ),
    (
        "  schedule",
        "  local: {mount_point: /}\n  schedule",
        "pi.yml:11: backup.local.mount_point: '/' is not an absolute path other than /; expected: absolute "
        "path where the disk is mounted, such as /mnt/usb.",
    ),
    (
        "  schedule",
        "  retention: {hourly: -1}\n  schedule",
        "pi.yml:11: backup.retention.hourly: '-1' is too small; expected: a number of hours, 0 for none.",
    ),
    (
        "  schedule",
        "  retention: {hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0}\n  schedule",
        "pi.yml:10: backup has a retention for local that keeps nothing: give one of hourly, daily, weekly, "
        "monthly, yearly and days a number.",
    ),
    (
        "  schedule",
        "  retention: {hourly: 0, daily: 0, weekly: 0, monthly: 0, days: 5}\n"
        "  drive: {retention: {days: off, yearly: 0}}\n  schedule",
        "pi.yml:10: backup has a retention for drive that keeps nothing: give one of hourly, daily, weekly, "
        "monthly, yearly and days a number.",
    ),
    (
        "  schedule",
        "  retention: {space_limit: 10}\n  schedule",
        "pi.yml:11: backup.retention.space_limit: '10' is not a size; expected: a size of at least 100 MB "
        "such as 10 GB, or off.",
    ),
    (
        "  schedule",
        "  retention: {space_limit: 10 MB}\n  schedule",
        "pi.yml:11: backup.retention.space_limit: '10 MB' is too small; expected: a size of at least 100 MB "
        "such as 10 GB, or off.",
    ),
    (
        "  schedule",
        "  drive: {upload_limit: 500}\n  schedule",
        "pi.yml:11: backup.drive.upload_limit: '500' is not a rate; expected: a rate such as 500 kB/s or 4 "
        "Mbit/s, or off.",
    ),
    (
        "  schedule",
        "  drive: {upload_limit: 500 KB/s}\n  schedule",
        "pi.yml:11: backup.drive.upload_limit: '500 KB/s' is not a rate; expected: a rate such as 500 kB/s "
        "or 4 Mbit/s, or off.",
    ),
    (
        "  schedule",
        "  drive: {parallel_uploads: 9}\n  schedule",
        "pi.yml:11: backup.drive.parallel_uploads: '9' is too large; expected: a number of uploads at the "
        "same time, 1 to 4.",
    ),
    (
        "  schedule",
        "  drive: {deletion: shred}\n  schedule",
        "pi.yml:11: backup.drive.deletion: 'shred' is not one of the choices; expected: delete or trash.",
    ),
    (
        "  schedule",
        "  drive: {schedule: daily}\n  schedule",
        "pi.yml:11: backup.drive.schedule: 'daily' is not a cron expression (Wrong number of fields); "
        "expected: minute hour day month weekday in quotes, or empty for every backup.",
    ),
    (
        "  schedule",
        "  format: gpg\n  schedule",
        "pi.yml:11: backup.format: 'gpg' is not one of the choices; expected: age, or fernet (writes the "
        "older .sql.enc files as well).",
    ),
    (
        "timezone: Eu",
        "monitoring: {prometheus_file: /var/lib/loomio.txt}\ntimezone: Eu",
        "pi.yml:4: monitoring.prometheus_file: '/var/lib/loomio.txt' does not end in .prom; expected: "
        "absolute path of a file on the Pi that ends in .prom.",
    ),
    (
        "timezone: Eu",
        "monitoring: {collapse_percent: 101}\ntimezone: Eu",
        "pi.yml:4: monitoring.collapse_percent: '101' is too large; expected: a percentage, 0 to 100 (0: "
        "never).",
    ),
    (
        "  support",
        "  environment: {SMTP_PASSWORD: hunter2}\n  support",
        "pi.yml:9: stack.environment has SMTP_PASSWORD, which is a secret: type loomio-pi secrets edit.",
    ),
    (
        "  support",
        "  environment: {POSTGRES_DB: other}\n  support",
        "pi.yml:9: stack.environment has POSTGRES_DB, which follows from other settings or is the same on "
        "every Pi.",
    ),
    (
        "  support",
        "  environment: {MY-NAME: x}\n  support",
        "pi.yml:9: stack.environment has 'MY-NAME', which is not the name of a variable.",
    ),
    (
        "  loomio:\n",
        "  '@docker/x':\n",
        "pi.yml:1: hosts has '@docker/x', which is not a usable name (letters, digits, dots and dashes).",
    ),
    # One of several Pis.
    (
        "  loomio:\n",
        "  other: {address: 192.168.1.20}\n  loomio:\n",
        "pi.yml:4: hosts.loomio.address is the same as of other (192.168.1.20, port 22); each Pi has an "
        "address of its own.",
    ),
    (
        "  loomio:\n",
        "  other: {address: a}\n  loomio:\n",
        "pi.yml:3: hosts.loomio.settings.stack.canonical_host is the same as of other (loomio.example.org); "
        "each Loomio is reached under a name of its own.",
    ),
    (
        "  loomio:\n",
        "  other: {address: a, settings: {stack: {canonical_host: b, site: x}}}\n  loomio:\n",
        "pi.yml:2: hosts.other.settings.stack.site is not a known key; did you mean "
        "hosts.other.settings.stack.site_name?",
    ),
    (
        "  loomio:\n",
        "  other: {address: a, settings: {timezone: Mars}}\n  loomio:\n",
        "pi.yml:2: hosts.other.settings.timezone: 'Mars' is not a time zone; expected: a name of the time "
        "zone database, such as Etc/UTC or Europe/Berlin.",
    ),
    (
        "  loomio:\n",
        "  other: {address: a, settings: {hosts: {}}}\n  loomio:\n",
        "pi.yml:2: hosts.other.settings.hosts is not possible here; what is said about a Pi itself, such as "
        "its address, stands below hosts.other.",
    ),
    (
        "  ref: v1.2.3\n",
        "  site_name: x\nhosts2:\n",
        "pi.yml:8: hosts2 is not a known key; did you mean hosts?",
    ),
    # YAML itself.
    (
        "timezone: Eu",
        "stack: 1\ntimezone: Eu",
        "pi.yml:6: stack is there twice (first in line 4); keep one of them.",
    ),
    (
        "    address",
        "    address: x\n    address",
        "pi.yml:4: hosts.loomio.address is there twice (first in line 3); keep one of them.",
    ),
    (
        "0 */6",
        "*/6 *",
        "pi.yml:11: this is not valid YAML (expected alphabetic or numeric character, but found '/');"
        " put values with special characters in quotes, and indent with spaces.",
    ),
    (
        "timezone: Eu",
        "\ttimezone: Eu",
        "pi.yml:4: this is not valid YAML (found character '\\t' that cannot start any token); put "
        "values with special characters in quotes, and indent with spaces.",
    ),
    (
        "v1.2.3",
        "!!python/name:os.system x",
        "pi.yml:7: this is not valid YAML (could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/name:os.system'); put values with special characters in quotes, "
        "and indent with spaces.",
    ),
    (
        "timezone: Eu",
        "? [a, b]\n: c\ntimezone: Eu",
        "pi.yml:4: a key must be a simple name.",
    ),
    (
        "stack:\n",
        "stack: &it\n  images: *it\n",
        "pi.yml:6: a value cannot contain itself.",
    ),
]


@pytest.mark.parametrize(("old", "new", "sentence"), CASES, ids=[case[2].split(";")[0] for case in CASES])
def test_a_mistake_is_one_sentence(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    assert mistake(tmp_path, changed(old, new)) == sentence


def test_a_password_in_the_repository_s_address_is_not_repeated(tmp_path: Path) -> None:
    text = changed("https://git", "https://me:hunter2@git")
    sentence = mistake(tmp_path, text)
    assert "holds a password, and settings are not secret" in sentence
    assert "hunter2" not in sentence


def test_files_that_are_no_settings(tmp_path: Path) -> None:
    assert mistake(tmp_path, "") == "pi.yml is empty."
    assert mistake(tmp_path, "# only comments\n") == "pi.yml is empty."
    assert mistake(tmp_path, "- a\n- b\n").startswith("pi.yml:1: a list of keys and values is expected")
    assert mistake(tmp_path, "just text\n").startswith("pi.yml:1: a list of keys and values is expected")
    path = tmp_path / "binary.yml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="is not UTF-8 text"):
        load_settings(path)
    with pytest.raises(SettingsError, match=r"absent\.yml is not there\. Copy inventories/pi\.example\.yml"):
        load_settings(tmp_path / "absent.yml")
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load_settings(tmp_path)


def test_the_older_format_and_an_offline_key_exclude_each_other(tmp_path: Path) -> None:
    text = changed("  schedule", "  format: fernet\n  schedule") + "encryption: {offline_key: true}\n"
    assert mistake(tmp_path, text) == (
        "pi.yml:1: the file has both encryption.offline_key and backup.format: fernet, whose passphrase "
        "would have to be on the Pi; choose one of them."
    )


def test_a_long_value_is_shortened(tmp_path: Path) -> None:
    assert len(mistake(tmp_path, changed("Europe/Berlin", "E" * 5000))) < 250
