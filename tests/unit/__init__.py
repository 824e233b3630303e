"""Pure logic, tested without mocks of our own code."""
