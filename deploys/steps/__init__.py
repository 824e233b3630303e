"""One step per part of the Pi."""
