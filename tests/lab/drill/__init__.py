"""The whole life of a Pi, rehearsed: set up, used, backed up, destroyed, recovered, compared."""
