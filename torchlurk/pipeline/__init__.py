"""Configuration, stages and the order in which they run."""
