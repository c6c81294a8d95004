"""The spatial axes of the tensors of a running forward, followed call by call.

`build.trace` knows them before a forward; here they are those of the tensors at hand, for an input of any
size. An operation that is not known leaves its results without axes, never with axes that see too much.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

from torch import Tensor, fx
from torch.utils import _pytree as pytree

from torchlurk.graph.operations import axes_after
from torchlurk.graph.receptive_field import input_axis
from torchlurk.graph.spatial_axes import Shape, SpatialAxes


class AxesTracker:
    """Follows the spatial axes of tensors.

    A result without axes is treated as a constant by later calls, so tracked axes may see too little. They
    see too much of no tensor.
    """

    def __init__(self) -> None:
        # By the tensor's id, which a new tensor may inherit; so the tensor itself is compared as well. An
        # in-place operation changes its version.
        self._axes: dict[int, tuple[weakref.ref[Tensor], int, SpatialAxes]] = {}

    def start(self, x: Tensor) -> None:
        """Declare a tensor `(N, C, H, W)` the input: each of its pixels sees itself."""
        self.set_axes(x, SpatialAxes(input_axis(x.shape[2]), input_axis(x.shape[3])))

    def axes_of(self, tensor: Tensor) -> SpatialAxes | None:
        """Return the axes of a tensor; `None` if they are unknown."""
        reference, version, axes = self._axes.get(id(tensor), (None, 0, None))
        if reference is None or reference() is not tensor or tensor._version != version:
            return None
        return axes

    def set_axes(self, tensor: Tensor, axes: SpatialAxes | None) -> None:
        """Store the axes of a tensor, if they are spatial and have its size."""
        self._axes.pop(id(tensor), None)
        if axes is None or axes.dims is None or tensor.dim() < -min(axes.dims) or tensor.is_inference():
            return
        rows, columns = axes.dims
        if (tensor.shape[rows], tensor.shape[columns]) == (len(axes.rows), len(axes.columns)):
            self._axes[id(tensor)] = (weakref.ref(tensor), tensor._version, axes)

    def call(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a torch function, and follow the axes of its arguments to its results."""
        tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        known = {id(tensor): axes for tensor in tensors if (axes := self.axes_of(tensor)) is not None}
        result = func(*args, **kwargs)
        if not known:
            return result
        results = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]
        if results:
            shape = tuple(result.shape) if isinstance(result, Tensor) else ()
            axes = self.after(func, args, kwargs, known, shape)
            for tensor in results:
                self.set_axes(tensor, axes)
        return result

    def after(
        self,
        func: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        known: Mapping[int, SpatialAxes],
        shape: Shape,
    ) -> SpatialAxes | None:
        """Return the axes of the result of a call.

        Args:
            func: The function or method.
            args: Its arguments.
            kwargs: Its keyword arguments.
            known: The axes of tensors among the arguments, by id.
            shape: The shape of the result; `()` for several tensors.
        """
        tensors = {id(leaf): leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        dependent = [(known[key], tuple(x.shape)) for key, x in tensors.items() if key in known]
        constants = [tuple(x.shape) for key, x in tensors.items() if key not in known]
        name = getattr(func, "__name__", "")
        target = name if getattr(Tensor, name, None) is func else func
        # What a node of a traced graph tells of its call; creating one takes ten times as long.
        call = SimpleNamespace(args=tuple(args), kwargs=kwargs, meta={"shape": shape})
        try:
            axes = axes_after(cast("fx.Node", call), target, dependent, constants, uses_size=False)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):  # unusual arguments
            return None
        # An operation that is not known has a result that sees everything, which may be too much.
        return None if axes.dims is None else axes
