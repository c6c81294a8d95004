"""The data flow of a network: its layers in execution order, their edges, and what their units see."""

from torchlurk.graph.layers import Graph, Layer, trace
from torchlurk.graph.selection import select

__all__ = ["Graph", "Layer", "select", "trace"]
