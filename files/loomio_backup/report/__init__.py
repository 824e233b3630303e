"""The report: one HTML page about the backups of this Pi."""
