"""How the backups are, and who is told."""
