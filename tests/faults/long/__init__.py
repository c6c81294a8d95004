"""Many faults of each kind: run `make faults` or `python -m tests.faults.long`."""
