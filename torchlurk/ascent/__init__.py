"""The image that excites a filter most, found by gradient ascent."""
