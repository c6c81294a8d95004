"""Devices, processes, reporting, names, resources, pictures."""
