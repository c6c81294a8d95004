"""Feature visualisation: images that excite filters most, found by gradient ascent."""
