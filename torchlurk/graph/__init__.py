"""The layers of a network in execution order, the edges between them, and their receptive fields."""

from torchlurk.graph.build import trace
from torchlurk.graph.layers import Graph, Layer, SkippedLayer, describe_skipped
from torchlurk.graph.probing import PROBE_IMAGES, check_differentiable, prepare, probe
from torchlurk.graph.selection import select

__all__ = [
    "PROBE_IMAGES",
    "Graph",
    "Layer",
    "SkippedLayer",
    "check_differentiable",
    "describe_skipped",
    "prepare",
    "probe",
    "select",
    "trace",
]
