"""The plotting methods of `Lurk`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, SupportsIndex

from torchlurk.api import circuit_plot, plots
from torchlurk.api.reading import GradientKind, LayerView, ListKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class FilterPlots(ABC):
    """Plots of single filters with matplotlib.

    Each method draws into `ax`, or into a new figure, and shows nothing.
    """

    @abstractmethod
    def __getitem__(self, layer: str | SupportsIndex) -> LayerView:
        """Return a layer by its name or position."""

    def plot_top(
        self, kind: ListKind, layer: str | SupportsIndex, channel: SupportsIndex, ax: Axes | None = None
    ) -> Axes:
        """Draw the images of a filter's top list.

        Args:
            kind: The list by highest activation, `max`, or by highest mean activation, `avg`.
            layer: Name or position of the layer.
            channel: The filter, from 0.
            ax: Axes to draw into; by default those of a new figure.

        Returns:
            The axes.

        Raises:
            LurkError: The layer or filter does not exist, or matplotlib is not installed.

        Examples:
            >>> lurker.plot_top("max", "classifier", 6).get_title()
            'classifier, filter 6 (frog): top images by max'
        """
        return plots.plot_top(self[layer][channel], kind, ax)

    def plot_crop(self, layer: str | SupportsIndex, channel: SupportsIndex, ax: Axes | None = None) -> Axes:
        """Draw the receptive fields of a filter's units in the images of its list by highest activation.

        Args:
            layer: Name or position of the layer.
            channel: The filter, from 0.
            ax: Axes to draw into; by default those of a new figure.

        Returns:
            The axes.

        Raises:
            LurkError: The layer or filter does not exist, or its units see the whole image.

        Examples:
            >>> ax = lurker.plot_crop("features.17", 0)
        """
        return plots.plot_crop(self[layer][channel], ax)

    def plot_grads(
        self, kind: GradientKind, layer: str | SupportsIndex, channel: SupportsIndex, ax: Axes | None = None
    ) -> Axes:
        """Draw a filter's gradients.

        Args:
            kind: `max`, of the units with the highest activation; `crop`, the same cut to their receptive
                field; `avg`, of the means of whole feature maps.
            layer: Name or position of the layer.
            channel: The filter, from 0.
            ax: Axes to draw into; by default those of a new figure.

        Returns:
            The axes.

        Raises:
            LurkError: The gradients have not been computed.

        Examples:
            >>> ax = lurker.plot_grads("crop", "features.17", 0)
        """
        return plots.plot_grads(self[layer][channel], kind, ax)

    def plot_hist(
        self,
        layer: str | SupportsIndex,
        channel: SupportsIndex,
        kind: Literal["distribution", "max", "avg"] = "distribution",
        ax: Axes | None = None,
    ) -> Axes:
        """Draw the distribution of a filter's maximal activations, or its class profile.

        Args:
            layer: Name or position of the layer.
            channel: The filter, from 0.
            kind: `distribution`, over all images; or the class profile by `max` or `avg`.
            ax: Axes to draw into; by default those of a new figure.

        Returns:
            The axes.

        Raises:
            LurkError: The layer, filter or kind does not exist.

        Examples:
            >>> ax = lurker.plot_hist("features.17", 0)
            >>> ax.get_ylabel()
            'images'
        """
        return plots.plot_filter_hist(self[layer][channel], kind, ax)

    def plot_filter_viz(
        self, layer: str | SupportsIndex, channel: SupportsIndex, ax: Axes | None = None
    ) -> Axes:
        """Draw the filter image, found by gradient ascent.

        Args:
            layer: Name or position of the layer.
            channel: The filter, from 0.
            ax: Axes to draw into; by default those of a new figure.

        Returns:
            The axes.

        Raises:
            LurkError: The image has not been computed.

        Examples:
            >>> ax = lurker.plot_filter_viz("features.17", 1)
        """
        return plots.plot_filter_viz(self[layer][channel], ax)

    def plot_circuit(
        self,
        layer: str | SupportsIndex,
        channel: SupportsIndex,
        ax: Axes | None = None,
        *,
        exciting: int = 6,
        inhibiting: int = 3,
    ) -> Axes:
        """Draw a filter and the filters upstream that contribute most to it, with their kernels.

        Below the crop of each filter upstream is its kernel, red where a weight is positive and blue where it
        is negative.

        Args:
            layer: Name or position of the layer.
            channel: The filter, from 0.
            ax: Axes to draw into; by default those of a new figure.
            exciting: Largest number of exciting filters, at most 12.
            inhibiting: Largest number of inhibiting filters, at most 6.

        Returns:
            The axes.

        Raises:
            LurkError: The layer or filter does not exist, the store has no circuits, or matplotlib is not
                installed.

        Examples:
            >>> ax = lurker.plot_circuit("features.17", 0)
            >>> ax.get_title().startswith("features.17, filter 0: ")
            True
        """
        return circuit_plot.plot_circuit(self[layer][channel], ax, exciting=exciting, inhibiting=inhibiting)
