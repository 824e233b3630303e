"""What pyinfra runs: the state of the whole Pi, declared."""
