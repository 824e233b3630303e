"""RECOVERY.md: what lies beside the backups for somebody who has only them, the key and a plain Debian.

The text names the newest backup, holds no secret, and every command in it is run by our tests.
"""

# ruff: noqa: E501
# The template is a document with line lengths of its own.

from collections.abc import Iterator
from contextlib import contextmanager

from loomio_backup.catalogue.catalogue import Catalogue
from loomio_backup.catalogue.manifest import Manifest
from loomio_backup.catalogue.objects import Digests
from loomio_backup.database.postgres import DatabaseProperties

NAME = "RECOVERY.md"
MOST_BYTES = 1 << 20
"""No page is larger."""
_KNOWN = "recovery_page_"

_TEXT = """\
# How to come back from these files by hand

These are backups of a Loomio: database, uploaded files and settings, encrypted with age. The usual way back is
`deploys/disaster_recovery.py` of Loomio Pi Stack. This page is for when you have nothing but these files, the key
and a Linux machine. It needs the programs `age`, `zstd`, `tar`, `jq` and PostgreSQL's `pg_restore` (of the same
or a newer major version than the backup's; on Debian: `apt install age zstd tar jq postgresql-client`).

A backup is made of

* `NAME.manifest.age`: a list of what belongs to it, written last. No manifest, no backup.
* `NAME.dump.zst.age`: the database (`pg_dump` custom format).
* `NAME.config.tar.zst.age`: `.env`, Compose files, the operator's settings, roles of the database.
* `app-data-index_….ndjson.zst.age`: every uploaded file, one line of JSON each, and the pack that holds it.
* `app-data_….tar.zst.age`: packs of uploaded files. Backups share them, and the index: most of what a backup needs is
  older than it is. Never delete one because it is old.

There may also be

* `NAME.pin.age`: whoever pinned this backup wants it kept.
* `NAME.sql.enc`: the database once more, as SQL in the format of older backup scripts, for their passphrase.
* `keyring_….age`: keys that were in use before the present one, which opens it.

The newest backup when this page was written is `{name}` (its data is of {snapshot_at}, UTC). The newest is the one
whose manifest has the highest generation, then the highest sequence.

Put the key, a line that starts with `AGE-SECRET-KEY-1`, into a file `key.txt` that only you can read, download all
files of this folder into one directory, go there, and run as root:

```sh
set -eu
BACKUP={name}
KEY=key.txt
mkdir -p recovered/app-data recovered/config
open() {{ age -d -i recovered/keys.txt "$1"; }}

# 0. The key, and those that were in use before it.
(umask 077 && {{ cat "$KEY"; echo; }} > recovered/keys.txt)
for RING in keyring_*.age; do
  if test -e "$RING"; then age -d -i "$KEY" "$RING" >> recovered/keys.txt || echo "passed over: $RING"; fi
done

# 1. The manifest, and every object checked against it.
open "$BACKUP.manifest.age" | jq -r .payload > recovered/manifest.json
jq -r '.objects[] | "\\(.stored_sha256)  \\(.name)"' recovered/manifest.json | sha256sum -c --quiet

# 2. The database, as a file for pg_restore.
open "$BACKUP.dump.zst.age" | zstd -d -q -o recovered/database.dump

# 3. Settings: .env (as "env"), Compose files, roles.
open "$BACKUP.config.tar.zst.age" | zstd -d -q | tar -x -C recovered/config

# 4. Uploaded files: the index, the packs, then what the index says about directories, links, owners, modes, times.
INDEX=$(jq -r '.objects[] | select(.kind == "index") | .name' recovered/manifest.json)
open "$INDEX" | zstd -d -q > recovered/index.ndjson
jq -r '.objects[] | select(.kind == "pack") | .name' recovered/manifest.json | while read -r PACK; do
  jq -j --arg pack "$PACK" 'select(.pack == $pack) | .path + "\\u0000"' recovered/index.ndjson > recovered/members
  open "$PACK" | zstd -d -q |
    tar -x -p --numeric-owner -C recovered/app-data --no-unquote --no-wildcards --null -T recovered/members ||
    echo "tar complained about $PACK: see what the last check says"
done
jq -r 'select(.type == "dir") | @sh "mkdir -p \\(.path)"' recovered/index.ndjson |
  (cd recovered/app-data && sh -eu)
jq -r 'select(.type == "symlink") | @sh "ln -sfn \\(.target) \\(.path) && chown -h \\(.uid):\\(.gid) \\(.path)"' \\
  recovered/index.ndjson | (cd recovered/app-data && sh -eu)
jq -r 'select(.type != "symlink") | (.mtime_ns / 1000000000 | floor) as $time |
  @sh "chown \\(.uid):\\(.gid) \\(.path) && chmod \\(.mode) \\(.path) && touch -d @\\($time) \\(.path)"' \\
  recovered/index.ndjson | (cd recovered/app-data && sh -eu)
jq -r 'select(.type == "file") | "\\(.sha256)  \\(.path)"' recovered/index.ndjson |
  (cd recovered/app-data && sha256sum -c --quiet)
```

If a file's name has line breaks or is not UTF-8, `jq` and the last check trip over it; then unpack its pack whole
(`age -d … | zstd -d | tar -x`). Afterwards, delete `recovered/keys.txt`.

Every directory of `recovered/app-data` is the content of one volume of the stack ({sources}).

The database goes into an empty database of a PostgreSQL {version} or newer:

```sh
psql -d postgres -f recovered/config/postgres/roles.sql   # errors about roles that exist are harmless
createdb -T template0 -E {encoding} -O {owner} {database}
pg_restore --exit-on-error -d {database} recovered/database.dump
```

Without this page's programs: age is described at <https://age-encryption.org/v1>, zstd in RFC 8878.
"""


_EXPORT_TEXT = """\
# One backup of a Loomio, whole

This is `{name}`, of {snapshot_at} (UTC), made on {host}. It was exported by Loomio Pi Stack and needs nothing of it:

* `database.dump`: the database, for `pg_restore` of PostgreSQL {version} or newer.
* `config/`: `.env` (as `env`), Compose files and the operator's files (below `files/`), roles of the database.
* `app-data/`: every directory in it is the content of one volume of the stack ({sources}).
* `manifest.json`: what the backup holds: every table's rows, numbers of files, versions.

Everything in here is secret: who has it has all that is in that Loomio. Extract it as root, so that owners come back.

The database goes into an empty database:

```sh
psql -d postgres -f config/postgres/roles.sql   # errors about roles that exist are harmless
createdb -T template0 -E {encoding} -O {owner} {database}
pg_restore --exit-on-error -d {database} database.dump
```
"""


@contextmanager
def renewed(catalogue: Catalogue, store: str, digests: Digests) -> Iterator[None]:
    """Around the replacing of a store's page: remember what the page is, so that another one is noticed.

    Nothing signs it, because people read it without our program; and whoever alters it has its commands typed
    on the worst evening. Until it is replaced for certain, the pages before it are right, too.
    """
    right = dict.fromkeys([digests.stored_sha256, *known(catalogue, store)])
    catalogue.set_meta(_KNOWN + store, " ".join(right))
    yield
    catalogue.set_meta(_KNOWN + store, digests.stored_sha256)


def known(catalogue: Catalogue, store: str) -> list[str]:
    """The SHA-256 (hex) of the page that this Pi put into a store, or of each that may be there; none where it
    put none there.
    """
    return (catalogue.meta(_KNOWN + store) or "").split()


def export_text(manifest: Manifest, properties: DatabaseProperties) -> str:
    """The page inside an exported backup."""
    return _filled(_EXPORT_TEXT, manifest, properties)


def recovery_text(manifest: Manifest, properties: DatabaseProperties) -> str:
    """The page for a store whose newest backup is this one."""
    return _filled(_TEXT, manifest, properties)


def _filled(text: str, manifest: Manifest, properties: DatabaseProperties) -> str:
    return text.format(
        name=manifest.name,
        host=manifest.host,
        snapshot_at=f"{manifest.snapshot_at:%Y-%m-%d %H:%M:%S}",
        sources=", ".join(manifest.app_data.sources) or "none",
        version=manifest.database.server_version_num // 10000,
        encoding=properties.encoding,
        owner=properties.owner,
        database=manifest.database.name,
    )
