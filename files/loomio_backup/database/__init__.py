"""PostgreSQL, by way of its own programs."""
