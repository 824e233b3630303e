"""Every error that the agent shows to a person, in one place, so that all of them read alike.

The text of an `AgentError` is the whole message: what happened, what is still safe, what to type next. The
command line prints it after "loomio-backup: " and exits with 1; it never prints a traceback for one of these.
"""

# ruff: noqa: N818
# The names below are what these errors are called everywhere; "…Error" at each end would only be noise.


class AgentError(Exception):
    """Something that a person has to know about; `str(error)` is the sentence to show."""


class ConfigError(AgentError):
    """The agent's configuration file is missing, unreadable or wrong; names file, key and value."""


class CryptoError(AgentError):
    """Something about keys, encryption or signatures."""


class KeyFileError(CryptoError):
    """A key (file, identity, recipient, passphrase) is missing or is not what it should be."""


class WrongKey(CryptoError):
    """The key is well-formed, but it is not the one that opens this object."""


class DamagedObject(CryptoError):
    """An encrypted object is truncated or altered; nothing of it may be believed."""


class KeyringError(CryptoError):
    """Keyring, identity and configuration do not belong together."""


class SignatureError(CryptoError):
    """A signature does not belong to what it claims to sign."""


class StoreError(AgentError):
    """A store (local folder or Drive) could not do what was asked."""


class StoreFull(StoreError):
    """The store has no room left."""


class StoreAuth(StoreError):
    """The store does not accept the credentials."""


class StoreNotFound(StoreError):
    """The store, or the object asked for, is not there."""


class StoreAppendOnly(StoreError):
    """This Pi may not delete in the store; somebody else prunes it."""


class StoreConflict(StoreError):
    """An object of this name with other content exists; objects are never replaced."""


class StoreDamaged(StoreError):
    """What the store holds is not what was put there."""


class StoreUnavailable(StoreError):
    """The store did not answer, and all retries are used up."""


class ManifestError(AgentError):
    """A manifest is unreadable, of an unknown version, or contradicts itself."""


class CatalogueError(AgentError):
    """The agent's own records cannot be read or written."""


class SourceError(AgentError):
    """What is to be backed up (database, directory, container) is missing or cannot be read."""


class BackupError(AgentError):
    """A backup was not made."""


class RetentionError(AgentError):
    """Old backups were not removed, because it would not have been safe."""


class RestoreError(AgentError):
    """A restore was refused or did not finish."""


class ExportError(AgentError):
    """A backup was not exported."""


class CheckError(AgentError):
    """A check found that the backups are not as they should be."""


class DrillError(AgentError):
    """A drill could not be made, or it found that a backup does not come back as it should."""


class UpdateError(AgentError):
    """An update was refused or did not succeed; says what runs now."""
