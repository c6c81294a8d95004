"""The store: the format, its writer and its reader. Never imports torch."""
