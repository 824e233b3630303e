"""The tables of the catalogue, and how an older file gets them. Times are ISO 8601 in UTC, sizes bytes."""

_FIRST = """
CREATE TABLE lineage (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    instance TEXT NOT NULL, generation INTEGER NOT NULL, sequence INTEGER NOT NULL, previous TEXT
);
-- Manifests that were verified; the hashes say whether an object in a store is this very one.
CREATE TABLE manifests (
    object TEXT PRIMARY KEY, stored_sha256 TEXT NOT NULL, stored_md5 TEXT NOT NULL,
    name TEXT NOT NULL, instance TEXT NOT NULL, generation INTEGER NOT NULL, sequence INTEGER NOT NULL,
    snapshot_at TEXT NOT NULL, stored_bytes INTEGER NOT NULL, payload TEXT NOT NULL
);
-- Objects that this Pi wrote, or that a manifest describes which was verified.
CREATE TABLE objects (
    name TEXT PRIMARY KEY, kind TEXT NOT NULL, entry TEXT NOT NULL, written_at TEXT NOT NULL
);
-- Which store confirmed to hold which object; id is Drive's.
CREATE TABLE stored (
    store TEXT NOT NULL, object TEXT NOT NULL, id TEXT, confirmed_at TEXT NOT NULL,
    PRIMARY KEY (store, object)
) WITHOUT ROWID;
-- What each pack holds, and how each file looked when it was read.
CREATE TABLE packed (
    path BLOB NOT NULL, pack TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, sha256 TEXT NOT NULL,
    PRIMARY KEY (path, pack)
) WITHOUT ROWID;
"""
_SECOND = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
-- An object is `sending` from before its upload until the store confirmed it; `session` is the address of an
-- unfinished upload, a secret.
ALTER TABLE stored ADD COLUMN state TEXT NOT NULL DEFAULT 'confirmed';
ALTER TABLE stored ADD COLUMN session TEXT;
-- Every run of a verb that changes something; outcome is running, complete, partial (some store lacks it) or
-- failed.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, verb TEXT NOT NULL, pid INTEGER NOT NULL, started_at TEXT NOT NULL,
    finished_at TEXT, outcome TEXT NOT NULL, backup TEXT, error TEXT
);
-- Backups that were removed from a store on purpose, so that only the others count as missing. `done` is 0
-- until all that only they needed is gone too.
CREATE TABLE removals (
    store TEXT NOT NULL, backup TEXT NOT NULL, generation INTEGER NOT NULL, sequence INTEGER NOT NULL,
    removed_at TEXT NOT NULL, reason TEXT NOT NULL, done INTEGER NOT NULL,
    PRIMARY KEY (store, backup)
) WITHOUT ROWID;
-- Objects that nothing refers to, since when (by the store's clock); id is '' where names are enough.
CREATE TABLE marks (
    store TEXT NOT NULL, object TEXT NOT NULL, id TEXT NOT NULL, marked_at TEXT NOT NULL,
    PRIMARY KEY (store, object, id)
) WITHOUT ROWID;
-- Restores for proof.
CREATE TABLE drills (
    store TEXT NOT NULL, backup TEXT NOT NULL, finished_at TEXT NOT NULL, passed INTEGER NOT NULL,
    PRIMARY KEY (store, backup, finished_at)
) WITHOUT ROWID;
-- Alarms: since when, when last told; since when their reason is gone; when the notice of that was sent.
CREATE TABLE alarms (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, since TEXT NOT NULL, told_at TEXT,
    over_since TEXT, ended_at TEXT, open INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID;
-- How full a store was, for the forecast: at most one row a day.
CREATE TABLE space (
    store TEXT NOT NULL, day TEXT NOT NULL, used INTEGER NOT NULL, total INTEGER,
    PRIMARY KEY (store, day)
) WITHOUT ROWID;
CREATE INDEX packed_by_pack ON packed (pack);
"""
_THIRD = """
-- What a drill found (drills.py); those from before have none.
ALTER TABLE drills ADD COLUMN report TEXT;
"""
MIGRATIONS = (_FIRST, _SECOND, _THIRD)
"""Each brings the schema from the version of its position to the next one; none is ever changed."""
