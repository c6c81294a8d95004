"""The class that does from Python what the command line does, and shows what a store holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

from torchlurk.api import plots
from torchlurk.api.reading import GradientKind, Kind, LayerView, StoreView, open_store
from torchlurk.errors import LurkError, as_texts, check_choice, in_python
from torchlurk.runtime.deprecation import renamed_arguments
from torchlurk.store.selection import FiltersLike, LayersLike, select_filters

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import nn

    from torchlurk.datasets.preprocess import PreprocessLike
    from torchlurk.pipeline.session import Session
    from torchlurk.web.live_server import LiveServer


class Lurk:
    """A network, the images that it is shown, and the store of what was found.

    `lurker["features.28"]` is a layer, as is `lurker[12]`; `lurker["features.28"][7]` is a filter. Nothing of
    a store is kept in memory: what was added to its folder since is there.

    The network comes back from each call as it was: modes, hooks, flags, parameters and their gradients,
    also after an exception or Ctrl-C.

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
            model: a network that takes `(N, C, H, W)` float32, in any mode, on any device; or a name, as of
                `--model`.
            preprocess: what it is fed: from a PIL image, RGB, to a float tensor `(C, H, W)`; a `Preprocess`;
                `(mean, std)`; or `None` for ImageNet's.
            images: a folder, a table of `path,label`, `torchvision:NAME`, or a data set of pairs of a PIL
                image and a class.
            out: the store's folder.
            top: images that each list keeps.
            layers: which to scan: dotted names, globs of them, `kind:` and a glob of kinds, or `logits`.
            names: what the network's outputs stand for, in order.
            source: what the store says of where the code comes from; the class's name without.
            weights: of a network by name, see `--weights`; else what the store says of them, `own` without.
            size: height and width of the input, pixels, in place of those of `preprocess`; one number for a
                square.
            words: a file that names the classes of the images, in a form that `--words` takes.
            device: `auto`, `cpu` or `cuda`; computed there in float32.
            batch_size: images in one forward; by default what suits the device.
            workers: processes that decode; 0 for none but this one.
            threads: of the processor, for one operation; the store's own, or torch's, without.
            seed: of all randomness.
            progress: whether bars and news are shown; `None` for where there is someone to see them.

        Raises:
            LurkError: the network, the transform, the images or an option cannot be used.
        """
        from torchlurk.pipeline.session import SessionOptions, open_session

        options = SessionOptions(
            top=top, layers=as_texts("layers", layers), names=None if names is None else tuple(names),
            source=source, weights=weights, size=size, words=None if words is None else Path(words),
            device=device, batch_size=batch_size, workers=workers, threads=threads, seed=seed,
            progress=progress,
        )  # fmt: skip
        self._engine: Session | None = open_session(model, preprocess, images, Path(out), options)
        self._out = Path(out)
        self._server: LiveServer | None = None

    @classmethod
    def load(cls, out: str | Path) -> Lurk:
        """A store that was computed before, to read, plot and serve; neither network nor torch is needed.

        Args:
            out: the store's folder.

        Raises:
            LurkError: there is none, or its scan is not complete.

        Examples:
            >>> torchlurk.Lurk.load("saved_model/small")
            <Lurk of 'saved_model/small', to read>
        """
        open_store(Path(out))
        found = cls.__new__(cls)
        found._engine, found._out, found._server = None, Path(out), None
        return found

    def compute_top_imgs(self, *, overwrite: bool = False) -> None:
        """Scan the images once, unless that is done: lists, profiles and statistics of all filters.

        Args:
            overwrite: begin anew where the folder holds the result of something else.

        Raises:
            LurkError: the folder holds another result, or no image can be read.

        Examples:
            >>> lurker.compute_top_imgs()
            >>> [(layer.name, len(layer)) for layer in lurker][-2:]
            [('features.17', 128), ('classifier', 10)]
        """
        engine = self._computing("compute_top_imgs")
        from torchlurk.pipeline.session import compute

        compute(engine, "scan", overwrite=overwrite)

    def compute_grads(
        self,
        layers: LayersLike = None,
        filters: FiltersLike = None,
        method: Literal["deconv", "guided", "vanilla"] = "deconv",
        *,
        certify: Literal["chosen", "all"] = "chosen",
        overwrite: bool = False,
    ) -> None:
        """Compute the gradients that these filters lack, of the images in their lists, back to the pixels.

        Args:
            layers: names or patterns of layers; `None` for all.
            filters: which of them; a number means the first so many of each layer.
            method: what ReLUs let back: `deconv` (Zeiler and Fergus 2013, arXiv:1311.2901), `guided`
                (Springenberg et al. 2014, arXiv:1412.6806), or `vanilla`, the gradient itself.
            certify: whether crops of the chosen filters, or of all filters of these layers, are fed to the
                network again, alone, to see that they give their scores.
            overwrite: first forget all gradients that there are, such as those of another method.

        Raises:
            LurkError: there is no such layer or filter, no scan, or gradients of another method.

        Examples:
            >>> lurker.compute_grads("features.17", filters=[0, 1])
            >>> lurker["features.17"][0].gradient(0).mode
            'RGB'
        """
        engine = self._scanned("compute_grads")
        from torchlurk.pipeline.config import GradientsConfig
        from torchlurk.pipeline.session import compute

        check_choice("method", method, ("deconv", "guided", "vanilla"))
        check_choice("certify", certify, ("chosen", "all"))
        config = GradientsConfig(method=method, certify=certify)
        chosen = select_filters(layers, filters)
        compute(engine, "gradients", chosen=chosen, gradients=config, overwrite=overwrite)

    @renamed_arguments(way="strategy")
    def compute_viz(
        self,
        layers: LayersLike = None,
        filters: FiltersLike = None,
        *,
        strategy: Literal["fourier", "naive"] = "fourier",
        objective: Literal["mean", "position"] = "mean",
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        steps: int = 64,
        overwrite: bool = False,
    ) -> None:
        """Find the images that these filters lack, those that excite them most, by gradient ascent.

        `compute_layer_viz` is the same.

        Args:
            layers: names or patterns of layers; `None` for all.
            filters: which of them; a number means the first so many of each layer.
            strategy: `fourier` (Olah et al. 2017, https://distill.pub/2017/feature-visualization/), or
                `naive` for plain pixels (Erhan et al. 2009).
            objective: excite the whole map, or the unit in its middle.
            precision: of the steps; `auto` is bfloat16 where the device is fast at it.
            steps: of the optimiser, in the Fourier way.
            overwrite: first forget all filter images that there are, such as those made in another way.

        Raises:
            LurkError: there is no such layer or filter, no scan, or filter images made otherwise.

        Examples:
            >>> lurker.compute_viz("features.17", filters=2, steps=16)
            >>> lurker["features.17"][1].image.size
            (32, 32)
        """
        engine = self._scanned("compute_viz")
        from torchlurk.pipeline.config import AscentConfig
        from torchlurk.pipeline.session import compute
        from torchlurk.pipeline.session import precision as settled

        check_choice("strategy", strategy, ("fourier", "naive"))
        check_choice("objective", objective, ("mean", "position"))
        check_choice("precision", precision, ("auto", "float32", "bfloat16"))
        if steps < 1:
            raise LurkError(f"steps={steps}: must be at least 1")
        config = AscentConfig(
            strategy=strategy, objective=objective, steps=steps, precision=settled(engine, precision)
        )
        chosen = select_filters(layers, filters)
        compute(engine, "ascent", chosen=chosen, ascent=config, overwrite=overwrite)

    compute_layer_viz = compute_viz

    @property
    def store(self) -> StoreView:
        """The store as it is now.

        Raises:
            LurkError: there is none yet.
        """
        return open_store(self._out)

    def __getitem__(self, layer: str | SupportsIndex) -> LayerView:
        """A layer by its dotted name, or by its position in execution order.

        Raises:
            LurkError: there is no such layer in the store.

        Examples:
            >>> lurker["features.17"]
            <layer 'features.17' of SmallNet: Conv2d, 128 filters>
            >>> lurker[0].name, lurker[-1].name
            ('features.0', 'classifier')
        """
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
        """Draw the images of a filter's list, by highest activation or by highest mean.

        Like all plots it needs matplotlib, draws into `ax` or a figure of its own, and shows nothing.

        Args:
            kind: `max` or `avg`.
            layer: its name or position.
            channel: the filter, from 0.
            ax: axes to draw into.

        Raises:
            LurkError: there is no such layer or filter, or no matplotlib.

        Examples:
            >>> lurker.plot_top("max", "classifier", 6).get_title()
            'classifier, filter 6 (frog): top images by max'
        """
        return plots.plot_top(self[layer][channel], kind, ax)

    def plot_crop(self, layer: str | SupportsIndex, channel: SupportsIndex, ax: Axes | None = None) -> Axes:
        """Draw what a filter sees of its images by maximum; arguments see `plot_top`.

        Raises:
            LurkError: there is no such layer or filter, or its units see all of an image.

        Examples:
            >>> ax = lurker.plot_crop("features.17", 0)
        """
        return plots.plot_crop(self[layer][channel], ax)

    def plot_grads(
        self, kind: GradientKind, layer: str | SupportsIndex, channel: SupportsIndex, ax: Axes | None = None
    ) -> Axes:
        """Draw a filter's gradients, as `plot_top` does images.

        Args:
            kind: `max`, of the winning units; `crop`, the same cut to what they see; `avg`, of whole maps.
            layer: its name or position.
            channel: the filter, from 0.
            ax: axes to draw into.

        Raises:
            LurkError: they have not been computed.

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
        """Draw how a filter's maxima are distributed, as `plot_top` does images.

        Args:
            layer: its name or position.
            channel: the filter, from 0.
            kind: `distribution` over the images, or over the classes that excite it most, by `max` or `avg`.
            ax: axes to draw into.

        Raises:
            LurkError: there is no such layer, filter or kind.

        Examples:
            >>> ax = lurker.plot_hist("features.17", 0)
            >>> ax.get_ylabel()
            'images'
        """
        return plots.plot_hist(self[layer][channel], kind, ax)

    def plot_filter_viz(
        self, layer: str | SupportsIndex, channel: SupportsIndex, ax: Axes | None = None
    ) -> Axes:
        """Draw the image that gradient ascent found for a filter; arguments see `plot_top`.

        Raises:
            LurkError: it has not been computed.

        Examples:
            >>> ax = lurker.plot_filter_viz("features.17", 1)
        """
        return plots.plot_filter_viz(self[layer][channel], ax)

    def serve(self, port: int = 5001) -> str:
        """Show the site of this store on this machine, and keep it up to date while the store grows.

        Args:
            port: where to listen, at 127.0.0.1 alone; 0 takes any free one.

        Returns:
            Its address.

        Raises:
            LurkError: there is no store yet, it is served already, or the port is taken.

        Examples:
            >>> lurker.serve(port=0)
            'http://127.0.0.1:.../'
            >>> lurker.end_serve()
        """
        if self._server is not None:
            raise LurkError("this store is being served already: call end_serve() first")
        open_store(self._out)
        # Not at the top, so that reading a store asks for no more than reading.
        from torchlurk.web.live_server import LiveServer

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

    def _computing(self, call: str) -> Session:
        if self._engine is None:
            raise LurkError(
                f"{call}: {str(self._out)!r} was loaded without a network: make it with Lurk(model, "
                f"preprocess, images=..., out={str(self._out)!r})"
            )
        return self._engine

    def _scanned(self, call: str) -> Session:
        engine = self._computing(call)
        open_store(self._out)
        return engine
