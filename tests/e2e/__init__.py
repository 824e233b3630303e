"""The whole life, on real parts."""
