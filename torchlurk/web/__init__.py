"""The site: building it, serving it, and following stores while they are computed."""
