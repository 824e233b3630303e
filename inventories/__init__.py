"""Which Pis there are, and the operator's settings and secrets."""
