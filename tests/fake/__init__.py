"""Every deploy, hermetic, on pyinfra's @fake connector."""
