"""The command line of loomio-backup: its verbs, their options, and the small verbs themselves."""
