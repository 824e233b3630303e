"""One restore: chosen, prepared beside the live data, switched to, and undone when asked."""
