"""Circuits: how the units of a layer depend on the filters of the layers directly upstream."""
