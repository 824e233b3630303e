"""The agent: makes, keeps, verifies and restores backups on the Pi."""
