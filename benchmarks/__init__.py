"""Compare Torchlurk with the alternatives, on the same machine, weights and images."""
