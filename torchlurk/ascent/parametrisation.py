"""The parametrisation of images during an ascent.

An image is a spectrum: its Fourier coefficients, each multiplied by its frequency, so that a step of the
optimiser changes all scales of the image alike (Olah et al. 2017, "Feature visualization"). Colours are
optimised along the axes in which those of photographs are uncorrelated.
"""

from __future__ import annotations

import torch
from torch import Tensor

from torchlurk.runtime.transfer import copy_to_device

_PHOTO_COLOURS: tuple[tuple[float, ...], ...] = (
    (0.2498, 0.1127, 0.0273),
    (0.2583, 0.0077, -0.0525),
    (0.2760, -0.1092, 0.0245),
)
"""The principal axes of the colours of photographs, each as long as the standard deviation along it;
measured over the pixels of `data/photos`. Rows are red, green, blue; columns are brightness, red against
blue, and green against purple."""


def initial_spectrum(
    generators: list[torch.Generator], channels: int, size: tuple[int, int], spread: float = 0.01
) -> Tensor:
    """Draw random spectra close to that of the gray image.

    Args:
        generators: A generator for each image, on the CPU, which alone decides where the image starts.
        channels: C.
        size: `(H, W)` of the images.
        spread: Standard deviation of the coefficients.

    Returns:
        `(N, C, H, W // 2 + 1, 2)` float32 on the CPU: real and imaginary parts.
    """
    shape = (channels, size[0], size[1] // 2 + 1, 2)
    return torch.stack([torch.randn(shape, generator=g) for g in generators]) * spread


def frequency_scale(size: tuple[int, int]) -> Tensor:
    """Compute the factors of the coefficients of a spectrum, their inverse frequencies.

    Args:
        size: `(H, W)` of the images.

    Returns:
        `(H, W // 2 + 1)`.
    """
    height, width = size
    y = torch.fft.fftfreq(height)[:, None]
    x = torch.fft.rfftfreq(width)[None, :]
    frequency = (y.square() + x.square()).sqrt()
    lowest = 1 / max(height, width)
    return torch.clamp(frequency, min=lowest).reciprocal()


def decode_spectrum(spectrum: Tensor, size: tuple[int, int], scale: Tensor, colours: Tensor | None) -> Tensor:
    """Compute the images of spectra.

    Args:
        spectrum: `(N, C, H, W // 2 + 1, 2)`.
        size: `(H, W)`.
        scale: `frequency_scale(size)`, on the device of the spectrum.
        colours: `(C, C)`, whose columns are the axes of colour; `None` to use the channels as they are.

    Returns:
        `(N, C, H, W)` in (0, 1).
    """
    image: Tensor = torch.fft.irfft2(torch.view_as_complex(spectrum) * scale, s=size, norm="ortho")
    if colours is not None:
        image = torch.einsum("nchw,dc->ndhw", image, colours)
    return image.sigmoid()


def grow_spectrum(spectrum: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Compute the spectra of larger images, in which the images of some spectra are repeated like tiles.

    The image of a spectrum is periodic, so its copies fit together without a seam. The centre stays in the
    centre.

    Args:
        spectrum: `(N, C, H, W // 2 + 1, 2)`.
        old: `(H, W)`, the size of its images.
        new: `(H', W')`, at least as large.

    Returns:
        `(N, C, H', W' // 2 + 1, 2)`.
    """
    device = spectrum.device
    scaled = torch.view_as_complex(spectrum) * copy_to_device(frequency_scale(old), device)
    images = torch.fft.irfft2(scaled, s=old, norm="ortho")
    rows, columns = (
        (torch.arange(after, device=device) + before // 2 - after // 2) % before
        for before, after in zip(old, new, strict=True)
    )
    tiled = images[:, :, rows[:, None], columns]
    grown = torch.fft.rfft2(tiled, norm="ortho") / copy_to_device(frequency_scale(new), device)
    return torch.view_as_real(grown).contiguous()


def colour_axes(channels: int, device: torch.device) -> Tensor | None:
    """Return the axes of the colours of photographs, `(3, 3)`; `None` unless there are three channels."""
    if channels != 3:
        return None
    axes = copy_to_device(torch.tensor(_PHOTO_COLOURS), device)
    longest: Tensor = torch.linalg.vector_norm(axes, dim=0).max()
    return axes / longest
