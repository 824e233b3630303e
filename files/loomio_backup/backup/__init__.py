"""One backup: what is read, how it is packed and encrypted, and how it is published."""
