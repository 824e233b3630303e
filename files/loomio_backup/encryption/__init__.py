"""Keys and what they encrypt: age, the guide's Fernet, keyrings, rotation, a lent key."""
