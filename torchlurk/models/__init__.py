"""Networks: their weights, and what of them can be watched."""
