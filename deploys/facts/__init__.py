"""What the deploys ask of a host."""
