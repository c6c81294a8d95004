"""Options of an explanation. This module imports no torch, so that the command line can show the defaults."""

from __future__ import annotations

from dataclasses import dataclass

from torchlurk.errors import LurkError, Option

METHOD_NAMES: tuple[str, ...] = (
    "gradient", "saliency", "guided", "deconv", "input_x_gradient", "smoothgrad", "integrated",
)  # fmt: skip
"""Names of all attribution methods; `methods.METHODS` implements them."""


@dataclass(frozen=True)
class AttributionParams:
    """Attribution methods and their parameters.

    Attributes:
        methods: Names of methods, see `METHOD_NAMES`, in the order in which they are shown.
        samples: Noisy copies for SmoothGrad.
        sigma: Standard deviation of SmoothGrad's noise, as a fraction of the image's range of values.
        steps: Points between the black baseline and the image, for integrated gradients.
        seed: Seed of the noise and of random weights.

    Raises:
        LurkError: There is no such method, or a parameter is out of range.
    """

    methods: tuple[str, ...] = METHOD_NAMES
    samples: int = 32
    sigma: float = 0.15
    steps: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [name for name in self.methods if name not in METHOD_NAMES]
        if unknown or not self.methods or len(set(self.methods)) < len(self.methods):
            raise LurkError(
                f"there is no method {unknown[0]!r}" if unknown else "methods are missing or repeated",
                f"choose from {', '.join(METHOD_NAMES)}, each at most once",
                Option("methods", ",".join(self.methods)),
            )
        for name, minimum in (("samples", 1), ("steps", 1), ("sigma", 0)):
            value = getattr(self, name)
            if not value >= minimum:  # also refuses NaN
                raise LurkError(f"must be at least {minimum}", option=Option(name, value))
