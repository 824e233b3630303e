"""What the operator's machine does to a Pi when the key changes: a new identity, and a keyring for the old
ones.
"""

from __future__ import annotations

from loomio_backup.encryption import crypto, keyring

from .agent_site import Site


def rotate(pi: Site) -> None:
    """Give the Pi a new identity before its old ones, as the setup deploy would after a rotation."""
    place = pi.root / "credentials"
    old = (place / "identity").read_text().split()
    new = crypto.generate_identity()
    recipient = crypto.recipient_of(new)
    (place / "keyring.age").write_text(keyring.make(old, [recipient]))
    (place / "identity").write_text("\n".join([new, *old]) + "\n")
    pi.identity = new
    pi.write_config(pi.config.model_copy(update={"recipients": [recipient]}))
