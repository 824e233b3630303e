"""`python -m loomio_backup`: the verbs from a plain checkout, with nothing installed but the dependencies."""

import sys

from loomio_backup.command.cli import main

sys.exit(main())
