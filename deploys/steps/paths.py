"""Where things lie: in this checkout (to be shipped), and on the Pi. One list, so that no two parts can
disagree.
"""

from pathlib import Path

from loomio_backup.restore import restore_journal
from loomio_backup.update import update_journal

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "templates"
FILES = ROOT / "files"
AGENT_PACKAGE = FILES / "loomio_backup"
NETDATA = FILES / "netdata"
AGENT_REQUIREMENTS = ROOT / "requirements" / "agent.txt"

#: What the stack needs beside its clone: keys and tokens, each a file of its own.
STACK_SETTINGS = "/etc/loomio-pi-stack"
DEPLOY_KEY = f"{STACK_SETTINGS}/deploy_key"
GIT_KNOWN_HOSTS = f"{STACK_SETTINGS}/git_known_hosts"
TUNNEL_TOKEN = f"{STACK_SETTINGS}/tunnel_token"
#: What the containers were last brought up from (a hash), beside the agent's own state.
COMPOSE_RECORD = "/var/lib/loomio-pi-stack/compose-applied"
#: There from before the first start of the database server until it has let somebody in.
DATABASE_BEGUN = "/var/lib/loomio-pi-stack/database-begun"
#: The version that a recovery put in place of what the settings name (steps/version.py).
KEPT_VERSION = "/var/lib/loomio-pi-stack/kept-version.json"
#: What Netdata reads, unless the settings name a file for Prometheus.
METRICS_FILE = "/var/lib/loomio-pi-stack/metrics/loomio_backup.prom"

AGENT_ROOT = "/opt/loomio-backup"
AGENT_COMMAND = "/usr/local/bin/loomio-backup"
AGENT_SETTINGS = "/etc/loomio-backup"
CREDENTIALS = f"{AGENT_SETTINGS}/credentials"
OPERATOR = f"{AGENT_SETTINGS}/operator"
AGENT_STATE = "/var/lib/loomio-backup"
RESTORE_JOURNAL = f"{AGENT_STATE}/restore-journal.json"
RESTORE_RESULT = f"{AGENT_STATE}/restore-result.json"
#: There while a restore is not at its end.
RESTORE_MARKER = f"{AGENT_STATE}/{restore_journal.MARKER}"
#: Options of the next restore; gone with a reboot.
RESTORE_OPTIONS = "/run/loomio-restore.env"
#: What the last restore was asked for as, until the operator has read how it ended.
RESTORE_ASKED = "/var/lib/loomio-pi-stack/restore-asked"
#: With an offline key: the identity, lent for as long as a restore takes.
LENT_IDENTITY = "/run/loomio-restore.identity"
#: There while an update is not at its end, what the last one came to, and the options of the next.
UPDATE_MARKER = f"{AGENT_STATE}/{update_journal.MARKER}"
UPDATE_RESULT = f"{AGENT_STATE}/{update_journal.RESULT}"
UPDATE_OPTIONS = "/run/loomio-update.env"
LENT_TO_UPDATE = "/run/loomio-update.identity"

BACKUP_SERVICE = "loomio-backup.service"
BACKUP_TIMER = "loomio-backup.timer"
#: The same backup with a label, which is the instance's name, and pinned.
LABELLED_BACKUP = "loomio-backup@.service"
PRUNE_SERVICE = "loomio-backup-prune.service"
PRUNE_TIMER = "loomio-backup-prune.timer"
WATCH_SERVICE = "loomio-backup-watch.service"
WATCH_TIMER = "loomio-backup-watch.timer"
#: Drills: whole ones, and samples.
VERIFY_SERVICE = "loomio-backup-verify.service"
VERIFY_TIMER = "loomio-backup-verify.timer"
SAMPLE_SERVICE = "loomio-backup-verify-sample.service"
SAMPLE_TIMER = "loomio-backup-verify-sample.timer"
TIMERS = (BACKUP_TIMER, PRUNE_TIMER, WATCH_TIMER, VERIFY_TIMER, SAMPLE_TIMER)
#: Loomio's own chores, for images that have no queue of their own.
HOURLY_SERVICE = "loomio-hourly-tasks.service"
HOURLY_TIMER = "loomio-hourly-tasks.timer"
RESTORE_SERVICE = "loomio-restore.service"
UPDATE_SERVICE = "loomio-update.service"
SETTLE_SERVICE = "loomio-restore-settle.service"
SETTLE_PATH = "loomio-restore-settle.path"
#: With an offline key: the identity, lent to a unit for as long as its drill takes.
LENT_TO_DRILL = "/run/loomio-backup-verify.identity"
LENT_TO_SAMPLE = "/run/loomio-backup-verify-sample.identity"
