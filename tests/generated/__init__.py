"""Random small networks of common operations, and the properties that each of them must have."""
