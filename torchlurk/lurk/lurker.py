"""The class that does from Python what the command line does, and shows what a store holds."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

from torchlurk.errors import LurkError, in_python
from torchlurk.lurk import plots
from torchlurk.lurk.reading import GradientKind, Kind, LayerView, StoreView, open_store
from torchlurk.selection import Selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import nn

    from torchlurk.live import LiveServer
    from torchlurk.lurk.computing import Engine

Layers = str | Sequence[str] | None
"""A layer's name or a pattern of `--layers`, or several; `None` for all that were scanned."""

Filters = int | Iterable[SupportsIndex] | None
"""The first so many of each layer, or these; `None` for all."""


class Lurk:
    """A network, the images that it is shown, and the store of what was found.

    `lurk["features.28"]` is a layer, as is `lurk[12]`; `lurk["features.28"][7]` is a filter. Nothing of a
    store is kept in memory: what was added to its folder since is there.
    """

    def __init__(
        self,
        model: nn.Module | str,
        preprocess: Any = None,
        *,
        images: Any,
        out: str | Path,
        top: int = 4,
        layers: str | Sequence[str] = "kind:Conv2d",
        names: Sequence[str] | None = None,
        source: str | None = None,
        weights: str | None = None,
        size: int | tuple[int, int] | None = None,
        words: str | Path | None = None,
        device: str = "auto",
        batch_size: int | None = None,
        workers: int | None = None,
        threads: int | None = None,
        seed: int = 0,
        progress: bool | None = None,
    ) -> None:
        """Make ready to compute; the network is fed one black image, and nothing is written.

        Args:
            model: any network, which always comes back as it was; or a name, as of `--model`.
            preprocess: from a PIL image, RGB, to a float tensor (C, H, W); or a `Preprocess`; `None` cuts
                to 224 pixels, or `size`, and normalises as ImageNet's are.
            images: a folder, a table, `torchvision:NAME`, or a data set of pairs of a PIL image and a class.
            out: the store's folder.
            top: images that each list keeps.
            layers: which to scan, patterns as of `--layers`.
            names: what the network's outputs stand for.
            source: what the store says of where the code comes from; the class's name without.
            weights: of a network by name, as of `--weights`; else what the store says of them, `own` without.
            size: height and width of the input, pixels.
            words: a file that names the classes.
            device: `auto`, `cpu` or `cuda`.
            batch_size: images in one forward.
            workers: processes that decode.
            threads: of the processor, for one operation; the store's own, or torch's, without.
            seed: of all randomness.
            progress: whether bars and news are shown; `None` for where there is someone to see them.

        Raises:
            LurkError: something of it cannot be used.
        """
        from torchlurk.lurk.computing import Options, as_texts, make_engine

        options = Options(
            top=top, layers=as_texts(layers), names=None if names is None else tuple(names), source=source,
            weights=weights, size=size, words=None if words is None else Path(words), device=device,
            batch_size=batch_size, workers=workers, threads=threads, seed=seed, progress=progress,
        )  # fmt: skip
        self._engine: Engine | None = make_engine(model, preprocess, images, Path(out), options)
        self._out = Path(out)
        self._server: LiveServer | None = None

    @classmethod
    def load(cls, out: str | Path) -> Lurk:
        """A store that was computed before, to read, plot and serve; neither network nor torch is needed.

        Raises:
            LurkError: there is none, or its scan is not complete.
        """
        open_store(Path(out))
        found = cls.__new__(cls)
        found._engine, found._out, found._server = None, Path(out), None
        return found

    def compute_top_imgs(self, *, overwrite: bool = False) -> None:
        """Scan the images once, for the lists, profiles and statistics of all filters; see `precompute`.

        Args:
            overwrite: begin anew where the folder holds the result of something else.

        Raises:
            LurkError: it cannot be done.
        """
        engine = self._computing("compute_top_imgs")
        from torchlurk.lurk.computing import compute

        compute(engine, "scan", overwrite=overwrite)

    def compute_grads(
        self,
        layers: Layers = None,
        filters: Filters = None,
        method: Literal["deconv", "guided", "vanilla"] = "deconv",
        *,
        certify: Literal["chosen", "all"] = "chosen",
        overwrite: bool = False,
    ) -> None:
        """Compute the gradients that these filters lack.

        Args:
            layers: of which layers.
            filters: which of them; a number means the first so many.
            method: what ReLUs let back.
            certify: whether crops of all filters of these layers are fed to the network again.
            overwrite: first forget all gradients that there are, such as those of another method.

        Raises:
            LurkError: there is no such layer or filter, no scan, or gradients of another method.
        """
        engine = self._scanned("compute_grads")
        from torchlurk.config import GradientsConfig
        from torchlurk.lurk.computing import compute

        _check_choice("method", method, ("deconv", "guided", "vanilla"))
        _check_choice("certify", certify, ("chosen", "all"))
        config = GradientsConfig(method=method, certify=certify)
        chosen = _selection(layers, filters)
        compute(engine, "gradients", chosen=chosen, gradients=config, overwrite=overwrite)

    def compute_viz(
        self,
        layers: Layers = None,
        filters: Filters = None,
        *,
        way: Literal["fourier", "naive"] = "fourier",
        objective: Literal["mean", "position"] = "mean",
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        steps: int = 64,
        overwrite: bool = False,
    ) -> None:
        """Find the images that these filters lack by gradient ascent.

        Args:
            layers: of which layers.
            filters: which of them; a number means the first so many.
            way: `fourier`, or `naive` for plain pixels.
            objective: excite the whole map, or the unit in its middle.
            precision: of the steps.
            steps: of the optimiser, in the Fourier way.
            overwrite: first forget all filter images that there are, such as those made in another way.

        Raises:
            LurkError: there is no such layer or filter, no scan, or filter images made otherwise.
        """
        engine = self._scanned("compute_viz")
        from torchlurk.config import AscentConfig
        from torchlurk.lurk.computing import compute
        from torchlurk.lurk.computing import precision as settled

        _check_choice("way", way, ("fourier", "naive"))
        _check_choice("objective", objective, ("mean", "position"))
        _check_choice("precision", precision, ("auto", "float32", "bfloat16"))
        config = AscentConfig(way=way, objective=objective, steps=steps, precision=settled(engine, precision))
        chosen = _selection(layers, filters)
        compute(engine, "ascent", chosen=chosen, ascent=config, overwrite=overwrite)

    compute_layer_viz = compute_viz

    @property
    def store(self) -> StoreView:
        """The store as it is now. Raises `LurkError` if there is none yet."""
        return open_store(self._out)

    def __getitem__(self, layer: str | SupportsIndex) -> LayerView:
        """A layer by its name, or by its position in execution order."""
        return self.store.layer(layer)

    def __len__(self) -> int:
        return len(self.store.manifest.layers)

    def __iter__(self) -> Iterator[LayerView]:
        store = self.store
        return (LayerView(store, layer) for layer in store.manifest.layers)

    def __repr__(self) -> str:
        return f"<Lurk of {str(self._out)!r}{'' if self._engine else ', to read'}>"

    def plot_top(
        self, kind: Kind, layer: str | SupportsIndex, channel: SupportsIndex, ax: Axes | None = None
    ) -> Axes:
        """Draw the images of a filter's list, `max` or `avg`."""
        return plots.plot_top(self[layer][channel], kind, ax)

    def plot_crop(self, layer: str | SupportsIndex, channel: SupportsIndex, ax: Axes | None = None) -> Axes:
        """Draw what a filter sees of its images by maximum."""
        return plots.plot_crop(self[layer][channel], ax)

    def plot_grads(
        self,
        kind: GradientKind,
        layer: str | SupportsIndex,
        channel: SupportsIndex,
        ax: Axes | None = None,
    ) -> Axes:
        """Draw a filter's gradients: `max`, `avg`, or `crop`."""
        return plots.plot_grads(self[layer][channel], kind, ax)

    def plot_hist(
        self,
        layer: str | SupportsIndex,
        channel: SupportsIndex,
        kind: Literal["distribution", "max", "avg"] = "distribution",
        ax: Axes | None = None,
    ) -> Axes:
        """Draw how a filter's maxima are distributed over the images, or over classes, by `max` or `avg`."""
        return plots.plot_hist(self[layer][channel], kind, ax)

    def plot_filter_viz(
        self, layer: str | SupportsIndex, channel: SupportsIndex, ax: Axes | None = None
    ) -> Axes:
        """Draw the image that gradient ascent found for a filter."""
        return plots.plot_filter_viz(self[layer][channel], ax)

    def serve(self, port: int = 5001) -> str:
        """Show the site of this store on this machine, and keep it up to date; returns its address.

        Args:
            port: where to listen; 0 takes any free one.

        Raises:
            LurkError: there is no store yet, it is served already, or the port is taken.
        """
        if self._server is not None:
            raise LurkError("this store is being served already: call end_serve() first")
        open_store(self._out)
        # Not at the top, so that reading a store asks for no more than reading.
        from torchlurk.live import LiveServer

        server = LiveServer([self._out], port=port)
        with in_python():
            address = server.start()
        self._server = server
        return address

    def end_serve(self) -> None:
        """End what `serve` began; does nothing where it did not."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def _computing(self, call: str) -> Engine:
        if self._engine is None:
            raise LurkError(
                f"{call}: {str(self._out)!r} was loaded without a network: make it with Lurk(model, "
                f"preprocess, images=..., out={str(self._out)!r})"
            )
        return self._engine

    def _scanned(self, call: str) -> Engine:
        engine = self._computing(call)
        open_store(self._out)
        return engine


def _selection(layers: Layers, filters: Filters) -> Selection:
    patterns = layers if layers is None else (layers,) if isinstance(layers, str) else tuple(layers)
    if filters is None:
        return Selection(patterns, None)
    if isinstance(filters, Iterable):
        return Selection(patterns, tuple(operator.index(channel) for channel in filters))
    count = operator.index(filters)
    if count < 1:
        raise LurkError(f"filters={count}: give a number from 1 for the first so many, or a list of filters")
    return Selection(patterns, count)


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise LurkError(f"{name}={value!r}: choose of {', '.join(choices)}")
