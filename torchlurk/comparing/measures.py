"""The measures of how a filter changed; 0 always means that it did not. Needs no torch.

`docs/reference/measures.md` gives the formulas.
"""

from __future__ import annotations

from torchlurk.store.comparison import Measure

ROUNDING = 1e-6
"""The histograms count smaller values as unchanged: they may be due to the rounding of float32."""

_SHARE = (ROUNDING, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_ORDER = (ROUNDING, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8)
_SIZE = (ROUNDING, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0)
_STEPS = (ROUNDING, 0.01, 0.03, 0.1, 0.2, 0.5, 1.0, 2.0)
_SIGNED = (*(-step for step in reversed(_STEPS)), *_STEPS)


def _measure(
    name: str, title: str, says: str, edges: tuple[float, ...], low: float | None, high: float | None
) -> Measure:
    signed = low is None or low < 0
    return Measure(name=name, title=title, says=says, low=low, high=high, signed=signed, edges=list(edges))


MEASURES: dict[str, Measure] = {
    one.name: one
    for one in (
        _measure("maps", "activation maps", "1 − the correlation of its maps, over all images and places",
                 _SIZE, 0, 2),
        _measure("means", "mean activation", "1 − the correlation over all images of its mean activation",
                 _SIZE, 0, 2),
        _measure("maxima", "highest activation",
                 "1 − the correlation over all images of its highest activation", _SIZE, 0, 2),
        _measure("difference", "difference of maps",
                 "how far its maps lie apart, relative to how much they vary before", _SIZE, 0, None),
        _measure("partner", "best partner",
                 "1 − the correlation of its maps before with those of the filter that is most like it after",
                 _SIZE, 0, 2),
        _measure("weights", "weights", "how far its weights lie apart, relative to their length before",
                 _SIZE, 0, None),
        _measure("direction", "weight direction", "1 − the cosine of its weights", _SIZE, 0, 2),
        _measure("cross", "filter images, crossed",
                 "how much less each network's filter answers the other's filter image than its own",
                 _SHARE, 0, None),
        _measure("top_max", "top images by max",
                 "the share of its top images by max that are not among those after", _SHARE, 0, 1),
        _measure("top_avg", "top images by average",
                 "the share of its top images by average that are not among those after", _SHARE, 0, 1),
        _measure("rank_max", "order by max", "1 − the rank correlation of its top images by max",
                 _ORDER, 0, 2),
        _measure("rank_avg", "order by average", "1 − the rank correlation of its top images by average",
                 _ORDER, 0, 2),
        _measure("classes_max", "classes by max",
                 "the share of its class profile by max that has moved to other classes", _SHARE, 0, 1),
        _measure("classes_avg", "classes by average",
                 "the share of its class profile by average that has moved to other classes", _SHARE, 0, 1),
        _measure("mean_shift", "shift of the mean",
                 "by how many standard deviations its mean activation is higher after", _SIGNED, None, None),
        _measure("max_shift", "shift of the maxima",
                 "by how many standard deviations its highest activations are higher after",
                 _SIGNED, None, None),
        _measure("active", "active", "the share of images that activate it, after less before",
                 _SIGNED, -1, 1),
        _measure("selectivity", "class selectivity", "its class selectivity, after less before",
                 _SIGNED, -1, 1),
        _measure("embed_image", "filter images, embedded",
                 "1 − the cosine of its two filter images in a third network", _SIZE, 0, 2),
        _measure("embed_crops", "crops, embedded",
                 "1 − the cosine of its top crops before and after, in a third network", _SIZE, 0, 2),
    )
}  # fmt: skip
"""The measures by name, in the order in which a comparison lists them."""
