"""From the units of a network back to the pixels."""
