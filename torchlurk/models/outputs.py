"""What the forward of a network returned: its first tensor, and the logits of a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from torchlurk.errors import LurkError, Option


def as_logits(output: Any, images: int | None = None) -> Tensor:
    """Return the logits in the output of a classifier: the output itself, or the first entry of a tuple.

    Args:
        output: What the forward of a network returned.
        images: The number of images in its input; `None` if unknown.

    Returns:
        `(N, classes)`.

    Raises:
        LurkError: There are no logits, or not one row for each image.
    """
    if isinstance(output, tuple | list) and output:
        output = output[0]
    if isinstance(output, Tensor) and output.dim() == 2:
        check_rows(len(output), len(output) if images is None else images)
        return output
    what = f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else type_name(output)
    raise LurkError(
        f"the network returns {what}, not one row of logits per image",
        "use a classifier, or wrap the network in a module that returns logits (N, classes)",
    )


def check_rows(rows: int, images: int) -> None:
    """Check that an output has one row of logits for each image.

    Args:
        rows: The number of rows.
        images: The number of images in the input.

    Raises:
        LurkError: The numbers differ.
    """
    if rows != images:
        count = "one image" if images == 1 else f"{images} images"
        raise LurkError(
            f"the network returns {rows} rows of logits for {count}: it was made for another input size",
            ("give that size with ", Option("size"), ", or a transform that ends in it"),
        )


def first_tensor(output: Any) -> Tensor | None:
    """Return the first tensor in an output: itself, or in nested tuples, lists and mappings.

    `hooks.first_output` does this for the output of a layer; this one also looks into classes of
    mappings that `torch.utils._pytree` does not know.
    """
    if isinstance(output, Tensor):
        return output
    if not isinstance(output, Mapping | tuple | list):
        return None
    values = output.values() if isinstance(output, Mapping) else output
    return next((tensor for value in values if (tensor := first_tensor(value)) is not None), None)


def type_name(value: Any) -> str:
    """Return the type of a value for an error message, such as `a dict` or `None`."""
    return "None" if value is None else f"a {type(value).__name__}"
