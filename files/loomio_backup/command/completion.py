"""The moment a backup begins to exist: its manifest enters one store after the other, each of which has
confirmed every object that it needs.
"""

from pathlib import Path

from loomio_backup import clock
from loomio_backup.backup import incremental, recovery_md
from loomio_backup.backup.attempt import Attempts
from loomio_backup.backup.dump import Dump
from loomio_backup.backup.publication import Publication
from loomio_backup.backup.replication import Replication
from loomio_backup.catalogue.catalogue import Catalogue, Lineage, Summary
from loomio_backup.catalogue.manifest import Manifest, seal
from loomio_backup.catalogue.objects import Digests, as_it_is
from loomio_backup.progress import say
from loomio_backup.retention.pins import Pin, Pins
from loomio_backup.retention.prune import Histories
from loomio_backup.stores import Store


class Completion:
    """Completes one backup in the stores that take part."""

    def __init__(
        self,
        catalogue: Catalogue,
        publication: Publication,
        replication: Replication,
        pins: Pins,
        histories: Histories,
        spool: Path,
    ) -> None:
        self._catalogue = catalogue
        self._publication = publication
        self._replication = replication
        self._pins = pins
        self._histories = histories
        self._spool = spool
        self._attempts = Attempts(catalogue)

    def publish(
        self, manifest: Manifest, signing_key: str, recipients: list[str], pin: str | None
    ) -> Summary:
        """Seal the manifest and bring the backup into each store, the one that lacks least first (a new disk
        lacks everything); that makes it exist. `pin`: why it is pinned, None when it is not. Raises
        BackupError when no store could be completed.
        """
        path = self._spool / manifest.manifest_name
        digests = seal(manifest, signing_key, recipients, path)
        self._attempts.sealed(digests, manifest, pin)
        new: Summary | None = None
        stores = self._publication.working
        for kind in sorted(stores, key=lambda kind: self._replication.lacking(manifest, kind)):
            store = stores[kind]
            with self._publication.giving_up(kind):
                self._replication.publish(manifest, store, path, digests)
                self._publication.holders.append(kind)
                new = new or self._exists(manifest, digests)
                say(f"{kind}: {manifest.name} is complete")
                if pin is not None:
                    self._pin(store, manifest.name, pin)
        path.unlink()
        assert new is not None  # giving up the last store would have ended the run
        return new

    def _exists(self, manifest: Manifest, digests: Digests) -> Summary:
        """The backup is in a store: its lineage goes on from here, whatever happens next."""
        with self._catalogue.transaction():
            new = self._catalogue.add_manifest(manifest, digests.stored_sha256, digests.stored_md5)
            self._catalogue.set_lineage(
                Lineage(manifest.instance, manifest.generation, manifest.sequence, manifest.name)
            )
            self._attempts.finished({entry.name for entry in manifest.objects})
            incremental.remember_index(self._catalogue, manifest.only("index").name)
        return new

    def _pin(self, store: Store, name: str, reason: str) -> None:
        pin = Pin(backup=name, reason=reason, pinned_at=clock.now(), by="person")
        self._pins.put(store, self._histories[store.kind][1], pin)

    def renew_recovery_page(self, manifest: Manifest, dump: Dump) -> None:
        """Let RECOVERY.md in each store name the new backup."""
        path = self._spool / recovery_md.NAME
        path.write_text(recovery_md.recovery_text(manifest, dump.properties), encoding="utf-8")
        digests = as_it_is(path)
        for kind, store in self._publication.working.items():
            with self._publication.giving_up(kind), recovery_md.renewed(self._catalogue, kind, digests):
                store.replace(path.name, path, digests)
        path.unlink()
