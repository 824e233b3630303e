"""The simulated Raspberry Pi and the cloud beside it."""
