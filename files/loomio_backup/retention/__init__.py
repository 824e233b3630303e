"""Which backups are kept, which may go, and the going."""
