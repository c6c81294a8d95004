"""Top-k lists and statistics of all filters over a set of images; tensors only."""
