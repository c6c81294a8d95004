"""Devices, processes, progress reports, names, packaged files and pictures."""
