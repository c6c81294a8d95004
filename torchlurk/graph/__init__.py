"""The data flow of a network: its layers in execution order, their edges, and what their units see."""

from torchlurk.graph.layers import Graph, Layer, SkippedLayer, describe_skipped, trace
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
