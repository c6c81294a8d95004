"""Networks, their weights and checkpoints, and how a network is run."""
