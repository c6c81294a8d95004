"""The data flow of a network: its layers in execution order, their edges, and what their units see."""

from torchlurk.graph.layers import Graph, Layer, SkippedLayer, describe_skipped, trace
from torchlurk.graph.probing import PROBED, check_differentiable, prepare, probe
from torchlurk.graph.selection import select

__all__ = [
    "PROBED",
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
