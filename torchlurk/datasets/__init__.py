"""Images: folders of them as indexed datasets, and where some come from."""
