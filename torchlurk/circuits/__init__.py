"""How filters are connected: contributions, kernels, ablation."""
