"""The loomio-pi command, one file per verb."""
