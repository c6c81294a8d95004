"""The store: its format, its writer and its reader. Never imports torch."""
