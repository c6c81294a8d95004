"""Faults tried by the hundred: `python -m tests.faults.long`, or `make faults`; the figures go to docs."""
