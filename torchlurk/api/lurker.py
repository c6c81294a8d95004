"""`Lurk`: what the command line does, from Python, and the store that it writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from torchlurk.api.ablation_methods import FilterAblation
from torchlurk.api.reading import open_store
from torchlurk.api.store_access import StoreAccess
from torchlurk.ascent.objectives import OBJECTIVES, ObjectiveName
from torchlurk.attribution.relu_rules import RELU_RULES, ReluRule
from torchlurk.errors import LurkError, Option, as_texts, check_choice
from torchlurk.pipeline.config import (
    AscentConfig,
    Certify,
    CircuitsConfig,
    GradientsConfig,
    KeepActivations,
    SessionOptions,
    Strategy,
)
from torchlurk.runtime.deprecation import renamed_arguments
from torchlurk.store.schema import CircuitImages
from torchlurk.store.selection import FiltersLike, LayersLike, select_filters

# Modules that import torch are imported inside the methods that need them: reading a store needs no torch.
if TYPE_CHECKING:
    from torch import nn

    from torchlurk.datasets.preprocess import PreprocessLike


class Lurk(StoreAccess, FilterAblation):
    """A network, the images that it is shown, and the store of the results.

    `lurker["features.28"]` is a layer, as is `lurker[12]`; `lurker["features.28"][7]` is a filter. Nothing of
    a store is kept in memory, so results that another process adds to the folder are visible.

    Each call restores the state of the network: modes, hooks, flags, parameters and their gradients, also
    after an exception or Ctrl-C.

    Examples:
        >>> lurker = torchlurk.Lurk(
        ...     model, preprocess, images=photos, out="saved_model/small",
        ...     layers=["kind:Conv2d", "logits"], names=names, progress=False,
        ... )
        >>> lurker.compute_top_imgs()
        >>> frog = lurker["classifier"][6]
        >>> frog.name, frog.max[0].path
        ('frog', 'wildlife/chameleon.jpg')
    """

    def __init__(
        self,
        model: nn.Module | str,
        preprocess: PreprocessLike = None,
        *,
        images: Any,
        out: str | Path,
        top: int = SessionOptions.top,
        layers: str | Sequence[str] = SessionOptions.layers,
        names: Sequence[str] | None = None,
        source: str | None = None,
        weights: str | None = None,
        size: int | tuple[int, int] | None = None,
        words: str | Path | None = None,
        device: str = SessionOptions.device,
        batch_size: int | None = None,
        workers: int | None = None,
        threads: int | None = None,
        seed: int = SessionOptions.seed,
        progress: bool | None = None,
    ) -> None:
        """Check the arguments. The network is run on one black image, and nothing is written.

        Args:
            model: A network that takes `(N, C, H, W)` float32, in any mode, on any device; or a name, as for
                the option `--model`.
            preprocess: A function from a PIL image, RGB, to a float tensor `(C, H, W)`; a `Preprocess`;
                `(mean, std)`; or `None` for ImageNet's.
            images: A folder, a table of `path,label`, `torchvision:NAME`, or a data set of pairs of a PIL
                image and a class.
            out: Folder of the store.
            top: Number of images in each top list, 4 by default.
            layers: Layers to scan: dotted names, globs of names, `kind:` and a glob of kinds, or `logits`;
                `kind:Conv2d` by default.
            names: Names of the network's outputs, in order.
            source: Where the network's code comes from, for the store; by default the name of its class.
            weights: Weights of a network given by name, as for the option `--weights`; otherwise where the
                weights come from, for the store, `own` by default.
            size: Height and width of the input in pixels, instead of those of `preprocess`; one number for a
                square.
            words: A file with the names of the images' classes, as for the option `--words`.
            device: `auto`, `cpu` or `cuda`; the scan and the gradients run in float32.
            batch_size: Images per forward pass; by default, one that suits the device.
            workers: Processes that decode images; 0 to decode in this process.
            threads: CPU threads per operation; by default those of the store, or torch's default.
            seed: Seed of all random numbers, 0 by default.
            progress: Whether to show progress bars and messages; `None` to show bars only in a notebook or a
                terminal.

        Raises:
            LurkError: The network, the preprocessing, the images or an option cannot be used.
        """
        from torchlurk.pipeline.session import open_session

        options = SessionOptions(
            top=top, layers=as_texts("layers", layers), names=None if names is None else tuple(names),
            source=source, weights=weights, size=size, words=None if words is None else Path(words),
            device=device, batch_size=batch_size, workers=workers, threads=threads, seed=seed,
            progress=progress,
        )  # fmt: skip
        session = open_session(model, preprocess, images, Path(out), options)
        super().__init__(Path(out))
        self._session = session

    @classmethod
    def load(cls, out: str | Path) -> Lurk:
        """Open an existing store to read, plot and serve it, without a network and without importing torch.

        Args:
            out: Folder of the store.

        Raises:
            LurkError: The folder holds no store, or its scan is not complete.

        Examples:
            >>> torchlurk.Lurk.load("saved_model/small")
            <Lurk of 'saved_model/small', to read>
        """
        open_store(Path(out))
        lurk = cls.__new__(cls)
        StoreAccess.__init__(lurk, Path(out))
        return lurk

    def compute_top_imgs(
        self, *, keep_activations: KeepActivations = "auto", overwrite: bool = False
    ) -> None:
        """Scan the images: compute top lists, class profiles and statistics of all filters.

        If the store has them, nothing is computed.

        Args:
            keep_activations: Whether to keep the activations of all images: `auto`, the default, if they take
                at most 2 GB; `yes`, also for a store that lacks them; or `no`.
            overwrite: Delete a store that was computed with other options.

        Raises:
            LurkError: The folder holds a store that was computed with other options, or no image can be read.

        Examples:
            >>> lurker.compute_top_imgs()
            >>> [(layer.name, len(layer)) for layer in lurker][-2:]
            [('features.17', 128), ('classifier', 10)]
        """
        session = self._require_session("compute_top_imgs")
        from torchlurk.pipeline.session import compute

        check_choice("keep_activations", keep_activations, get_args(KeepActivations))
        compute(session, "scan", keep_activations=keep_activations, overwrite=overwrite)

    def compute_circuits(
        self, images: CircuitImages = CircuitsConfig.images, *, overwrite: bool = False
    ) -> None:
        """Compute what all filters are made of, and what they are used for.

        If the store has it, nothing is computed.

        Args:
            images: The units over which contributions are averaged: `top`, the default, those of each
                filter's list `max`; or `all`, the strongest unit of every filter in every image.
            overwrite: First delete the circuits of the store, for example those of other units.

        Raises:
            LurkError: The scan is not complete, or the store has circuits of other units.

        Examples:
            >>> lurker.compute_circuits()
        """
        session = self._require_scan("compute_circuits")
        from torchlurk.pipeline.session import compute

        check_choice("images", images, get_args(CircuitImages))
        compute(session, "circuits", circuits=CircuitsConfig(images), overwrite=overwrite)

    def compute_grads(
        self,
        layers: LayersLike = None,
        filters: FiltersLike = None,
        method: ReluRule = GradientsConfig.method,
        *,
        certify: Certify = GradientsConfig.certify,
        overwrite: bool = False,
    ) -> None:
        """Compute the gradients of filters with respect to the pixels of the images in their top lists.

        Filters that have gradients are skipped.

        Args:
            layers: Names or patterns of layers; `None` for all.
            filters: Channels; a number N means the first N filters of each layer, `None` all.
            method: Rule for the backward pass of ReLUs: `deconv` (Zeiler and Fergus 2013, arXiv:1311.2901),
                the default; `guided` (Springenberg et al. 2014, arXiv:1412.6806); or `vanilla`, the plain
                gradient.
            certify: Which crops are run through the network again, alone, to certify that they give their
                scores: those of the `chosen` filters, the default, or those of `all` filters of these layers.
            overwrite: First delete all gradients of the store, for example those of another method.

        Raises:
            LurkError: The layer or filter does not exist, the scan is not complete, or the store has
                gradients of another method.

        Examples:
            >>> lurker.compute_grads("features.17", filters=[0, 1])
            >>> lurker["features.17"][0].gradient(0).mode
            'RGB'
        """
        session = self._require_scan("compute_grads")
        from torchlurk.pipeline.session import compute

        check_choice("method", method, tuple(RELU_RULES))
        check_choice("certify", certify, get_args(Certify))
        config = GradientsConfig(method=method, certify=certify)
        selection = select_filters(layers, filters)
        compute(session, "gradients", selection=selection, gradients=config, overwrite=overwrite)

    @renamed_arguments(way="strategy")
    def compute_viz(
        self,
        layers: LayersLike = None,
        filters: FiltersLike = None,
        *,
        strategy: Strategy = AscentConfig.strategy,
        objective: ObjectiveName = AscentConfig.objective,
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        steps: int | None = None,
        overwrite: bool = False,
    ) -> None:
        """Compute filter images, the inputs that maximise a filter's activation, by gradient ascent.

        Filters that have an image are skipped. `compute_layer_viz` is an alias.

        Args:
            layers: Names or patterns of layers; `None` for all.
            filters: Channels; a number N means the first N filters of each layer, `None` all.
            strategy: `fourier` (Olah et al. 2017, https://distill.pub/2017/feature-visualization/), the
                default, or `naive` for plain pixels (Erhan et al. 2009).
            objective: What is maximised, a key of `ascent.objectives.OBJECTIVES`: the `mean` of the feature
                map, the default, or its centre unit, `position`.
            precision: Precision of the steps; `auto`, the default, is bfloat16 where the device is fast at
                it.
            steps: Optimiser steps of the `fourier` strategy for an image that keeps its size; one that begins
                smaller takes half as many. By default 60, or those of the images that the store has.
            overwrite: First delete all filter images of the store, for example those of another strategy.

        Raises:
            LurkError: The layer or filter does not exist, the scan is not complete, or the store has filter
                images computed with other options.

        Examples:
            >>> lurker.compute_viz("features.17", filters=2, steps=16)
            >>> lurker["features.17"][1].image.size
            (32, 32)
        """
        session = self._require_scan("compute_viz")
        from torchlurk.pipeline.resume import default_ascent_config
        from torchlurk.pipeline.session import compute, resolve_precision

        check_choice("strategy", strategy, get_args(Strategy))
        check_choice("objective", objective, tuple(OBJECTIVES))
        check_choice("precision", precision, ("auto", "float32", "bfloat16"))
        if steps is not None and steps < 1:
            raise LurkError("must be at least 1", option=Option("steps", steps))
        default = default_ascent_config(self._out, overwrite=overwrite)
        config = replace(
            default,
            strategy=strategy,
            objective=objective,
            steps=default.steps if steps is None else steps,
            precision=resolve_precision(session, precision),
        )
        selection = select_filters(layers, filters)
        compute(session, "ascent", selection=selection, ascent=config, overwrite=overwrite)

    compute_layer_viz = compute_viz

    def __repr__(self) -> str:
        return f"<Lurk of {str(self._out)!r}{'' if self._session else ', to read'}>"
