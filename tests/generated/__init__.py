"""Random small networks made of the operations that people write, and what must hold of each of them."""
