"""The drill: a backup restored where it can touch nothing, and compared."""
