"""Our own operations, each backed by a fact so that a second run changes nothing."""
