"""Circuits of single images as files: a contact sheet, and `circuit.json`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from torchlurk.circuits.score_sum import format_sum
from torchlurk.explaining.circuit import CircuitPart, UnitCircuit
from torchlurk.explaining.drawing import Window, draw_frame
from torchlurk.explaining.record import ExplainedModel, describe_model
from torchlurk.explaining.sheet import SheetCell, SheetRow, contact_sheet
from torchlurk.models.network import Network
from torchlurk.runtime.jpeg import JpegOptions, Pixels, jpeg
from torchlurk.store.schema import Record, Relative
from torchlurk.store.write import write_bytes, write_json

CIRCUIT_SHEET = "circuit.jpg"
CIRCUIT_FILE = "circuit.json"

_FORMAT = 1

_DARK = 0.2
"""Brightness of the parts of an image where a filter contributes nothing."""


class CircuitPartRecord(Record, frozen=True):
    """A filter upstream; `box` is the receptive field of the position `at`: left, top, right, bottom."""

    layer: str
    channel: int
    contribution: float
    share: float
    at: tuple[int, int]
    box: tuple[int, int, int, int]


class UnitCircuitRecord(Record, frozen=True):
    """What a unit is made of in one image: `score = excitation + inhibition + rest`."""

    image: str
    layer: str
    channel: int
    at: tuple[int, int]
    box: tuple[int, int, int, int]
    score: float
    excitation: float
    inhibition: float
    rest: float
    excited_by: tuple[CircuitPartRecord, ...]
    inhibited_by: tuple[CircuitPartRecord, ...]


class UnitCircuitsFile(Record, frozen=True):
    """Content of `circuit.json`."""

    format: int
    model: ExplainedModel
    sheet: Relative
    images: tuple[UnitCircuitRecord, ...]


def write_circuits(
    out: Path, network: Network, circuits: Sequence[UnitCircuit], tile: int
) -> UnitCircuitsFile:
    """Write `circuit.jpg`, with a row per image and a column per filter, and `circuit.json`.

    Args:
        out: The folder.
        network: The network.
        circuits: At least one circuit.
        tile: Long side of a picture in the sheet, in pixels.

    Returns:
        The content of `circuit.json`.

    Raises:
        LurkError: The folder cannot be written.
    """
    sheet = jpeg(draw_circuits(circuits, tile), JpegOptions(80, sharp_colour=True))
    write_bytes(out / CIRCUIT_SHEET, sheet)
    file = UnitCircuitsFile(
        _FORMAT,
        describe_model(network),
        CIRCUIT_SHEET,
        tuple(_circuit_to_record(circuit) for circuit in circuits),
    )
    write_json(out / CIRCUIT_FILE, file)
    return file


def circuit_caption(circuit: UnitCircuit) -> str:
    """Return the caption of an image: its name, the unit, and the sum that gives its activation."""
    total = format_sum(circuit.score, circuit.excitation, circuit.inhibition, circuit.rest)
    return f"{circuit.name}: {circuit.target_name}, {total}"


def draw_circuits(circuits: Sequence[UnitCircuit], tile: int) -> Pixels:
    """Draw a contact sheet `(H, W, 3)`.

    A row has the image, with the receptive field of the unit in a frame, and that field again for the unit
    and for each filter upstream, bright where the filter contributes.

    Args:
        circuits: At least one circuit.
        tile: Long side of a picture in pixels.
    """
    exciting = max(len(circuit.excited_by) for circuit in circuits)
    inhibiting = max(len(circuit.inhibited_by) for circuit in circuits)
    rows = []
    for circuit in circuits:
        window = _inside(circuit)
        framed = circuit.picture
        if framed[window].shape != framed.shape:
            framed = draw_frame(framed, window)
        cells = [SheetCell(framed), SheetCell(circuit.picture[window])]
        for parts, count in ((circuit.excited_by, exciting), (circuit.inhibited_by, inhibiting)):
            cells += [SheetCell(_lit(circuit, part)[window], _note(part)) for part in parts]
            cells += [SheetCell(None)] * (count - len(parts))
        rows.append(SheetRow(circuit_caption(circuit), tuple(cells)))
    columns = ["image", "unit", *["excited by"] * exciting, *["inhibited by"] * inhibiting]
    return contact_sheet(columns, rows, tile)


def _inside(circuit: UnitCircuit) -> Window:
    """Return the part of the receptive field of the unit that is inside the image."""
    left, top, right, bottom = circuit.window
    height, width = circuit.picture.shape[:2]
    return slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))


def _lit(circuit: UnitCircuit, part: CircuitPart) -> Pixels:
    """Return the image, bright where a filter contributes and dark elsewhere."""
    size = circuit.picture.shape[:2]
    strength = (part.map if part.contribution > 0 else -part.map).clamp(min=0)
    light = F.interpolate(strength[None, None], size, mode="bilinear", align_corners=False)[0, 0]
    light = _DARK + (1 - _DARK) * light / light.max().clamp(min=torch.finfo(light.dtype).tiny)
    lit: Pixels = np.rint(circuit.picture * light.numpy()[:, :, None]).astype(np.uint8)
    return lit


def _note(part: CircuitPart) -> str:
    return f"{part.layer}:{part.channel}\n{part.contribution:+.3g}, {part.share:+.0%}"


def _circuit_to_record(circuit: UnitCircuit) -> UnitCircuitRecord:
    assert circuit.unit.at is not None
    return UnitCircuitRecord(
        circuit.name,
        circuit.unit.layer,
        circuit.unit.channel,
        circuit.unit.at,
        circuit.window,
        circuit.score,
        circuit.excitation,
        circuit.inhibition,
        circuit.rest,
        tuple(map(_part_to_record, circuit.excited_by)),
        tuple(map(_part_to_record, circuit.inhibited_by)),
    )


def _part_to_record(part: CircuitPart) -> CircuitPartRecord:
    return CircuitPartRecord(part.layer, part.channel, part.contribution, part.share, part.at, part.window)
