"""The site: publishing it, serving it, and following stores as they are written."""
