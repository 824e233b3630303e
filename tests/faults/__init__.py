"""Long series of faults, run whole by `make faults` (its report is docs/reliability.md); `make test` runs a
short sample of each with the same code.
"""
