"""Torchlurk shows what the filters of a convolutional network look for."""

__version__ = "0.1.0"
