"""The stages of a run: each takes a job and leaves the store complete up to itself."""
