"""Explanations as a folder: a contact sheet, single pictures, and `scores.json`."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from torchlurk.attribution.targets import ClassLogit
from torchlurk.explaining.drawing import Window, draw_frame, nonzero_window, render_attribution
from torchlurk.explaining.explanation import Control, Explanation
from torchlurk.explaining.methods import METHODS
from torchlurk.explaining.params import AttributionParams
from torchlurk.explaining.record import ScoresFile, explanations_to_record
from torchlurk.explaining.sheet import SheetCell, SheetRow, contact_sheet
from torchlurk.models.network import Network
from torchlurk.runtime.jpeg import JpegOptions, Pixels, jpeg
from torchlurk.store.write import write_bytes, write_json

SHEET = "sheet.jpg"
SCORES = "scores.json"


def write_explanations(
    out: Path, network: Network, params: AttributionParams, explanations: Sequence[Explanation], tile: int
) -> ScoresFile:
    """Write `sheet.jpg`, `scores.json`, and a folder of PNG files for each image.

    Files of an earlier run with the same name are replaced; others stay. If a target depends on a small part
    of an image only, the sheet frames this part in the image and shows it enlarged.

    Args:
        out: The folder.
        network: The network.
        params: Methods and their parameters.
        explanations: At least one explanation.
        tile: Long side of a picture in the sheet, in pixels.

    Returns:
        The content of `scores.json`.

    Raises:
        LurkError: The folder cannot be written.
    """
    display_channels = network.preprocess.display_channels
    pictures: list[dict[str, str]] = []
    control_pictures: list[list[dict[str, str]]] = []
    for number, explanation in enumerate(explanations, 1):
        stem = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(explanation.name).stem)[:60]
        folder = f"{number}-{stem}"
        original = _write_png(out, f"{folder}/original.png", explanation.picture)
        tiles = _render_all(explanation.attributions, display_channels)
        pictures.append({"original": original} | _write_pngs(out, folder, tiles))
        control_pictures.append([])
        for step, control in enumerate(explanation.controls, 1):
            name = folder if len(explanation.controls) == 1 else f"{folder}/{step}"
            tiles = _render_all(control.attributions, display_channels)
            control_pictures[-1].append(_write_pngs(out, f"{name}/random", tiles))
    sheet = _draw_sheet(params, explanations, display_channels, tile)
    write_bytes(out / SHEET, jpeg(sheet, JpegOptions(80, sharp_colour=True)))
    scores = explanations_to_record(network, params, explanations, SHEET, pictures, control_pictures)
    write_json(out / SCORES, scores)
    return scores


def caption(explanation: Explanation) -> str:
    """Return the caption of an image: its name, the target, its score, and the prediction."""
    what = "logit" if isinstance(explanation.target, ClassLogit) else "activation"
    text = f"{explanation.name}: {explanation.target_name}, {what} {explanation.score:.4g}"
    if not explanation.predictions:
        return text
    best = explanation.predictions[0]
    if explanation.target == ClassLogit(best.index):
        return f"{text}, probability {format_probability(best.probability)}, the first guess"
    own = [p.probability for p in explanation.predictions if explanation.target == ClassLogit(p.index)]
    probability = f", probability {format_probability(own[0])}" if own else ""
    return f"{text}{probability}; the first guess is {best.name}, {format_probability(best.probability)}"


def control_caption(control: Control) -> str:
    """Return the caption of the same image on a network with random weights."""
    count = len(control.layers)
    if count == control.of:
        which = "all weights random"
    elif count == 1:
        which = f"the last layer random ({control.layers[0]})"
    else:
        which = f"the last {count} of {control.of} layers random (from {control.layers[-1]} on)"
    return f"the same with {which}: {control.score:.4g}"


def format_probability(probability: float) -> str:
    """Return a probability in percent; at most ">99%", as nothing is certain."""
    return ">99%" if probability > 0.995 else f"{probability:.0%}"


def _draw_sheet(
    params: AttributionParams,
    explanations: Sequence[Explanation],
    display_channels: Sequence[int],
    tile: int,
) -> Pixels:
    """Draw the contact sheet: a row per image and control, a column per method."""
    windows = [_window(explanation) for explanation in explanations]
    with_crops = any(windows)
    rows: list[SheetRow] = []
    for explanation, window in zip(explanations, windows, strict=True):
        picture = explanation.picture
        photos = [SheetCell(picture if window is None else draw_frame(picture, window))]
        if with_crops:
            photos.append(SheetCell(None if window is None else picture[window]))
        tiles = _render_all(explanation.attributions, display_channels, window)
        rows.append(SheetRow(caption(explanation), (*photos, *map(SheetCell, tiles.values()))))
        for control in explanation.controls:
            tiles = _render_all(control.attributions, display_channels, window)
            cells = [
                SheetCell(pixels, _similarity_note(control.similarity[method]))
                for method, pixels in tiles.items()
            ]
            rows.append(SheetRow(control_caption(control), (*(SheetCell(None) for _ in photos), *cells)))
    columns = ["image", *(["receptive field"] if with_crops else [])]
    return contact_sheet([*columns, *(METHODS[name].label for name in params.methods)], rows, tile)


def _similarity_note(similarity: float | None) -> str:
    return "no rank" if similarity is None else f"rank corr. {similarity:.2f}".replace("-0.00", "0.00")


def _window(explanation: Explanation) -> Window | None:
    """Return the part of an image that the target depends on, if it is small."""
    by_network = [explanation.attributions, *(control.attributions for control in explanation.controls)]
    return nonzero_window(_all_values(by_network))


def _all_values(by_network: Iterable[dict[str, Tensor]]) -> Iterable[Tensor]:
    return (values for attributions in by_network for values in attributions.values())


def _render_all(
    attributions: dict[str, Tensor], display_channels: Sequence[int], window: Window | None = None
) -> dict[str, Pixels]:
    """Draw the attribution of each method, or a part of it."""
    part = (slice(None), *window) if window else ...
    return {
        name: render_attribution(name, values[part], display_channels)
        for name, values in attributions.items()
    }


def _write_pngs(out: Path, folder: str, tiles: dict[str, Pixels]) -> dict[str, str]:
    return {name: _write_png(out, f"{folder}/{name}.png", pixels) for name, pixels in tiles.items()}


def _write_png(out: Path, path: str, pixels: Pixels) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    write_bytes(out / path, buffer.getvalue())
    return path
