"""Circuits of single images: a planted circuit, the sums on many graphs, and what is drawn and written."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.networks import GRAPH_SIZE, GRAPHS, seeded
from torchlurk.attribution.targets import ClassLogit, LayerUnit
from torchlurk.circuits.contributions import Units, unit_contributions
from torchlurk.circuits.one_unit import contribution_maps, prepared, strongest_unit
from torchlurk.datasets.inputs import Preprocess
from torchlurk.errors import LurkError
from torchlurk.explaining.circuit import UnitCircuit, explain_circuits
from torchlurk.explaining.circuit_files import (
    CIRCUIT_FILE,
    CIRCUIT_SHEET,
    UnitCircuitsFile,
    circuit_caption,
    draw_circuits,
    write_circuits,
)
from torchlurk.models.checkpoint import Weights
from torchlurk.models.isolation import isolated
from torchlurk.models.load import network_from_module

SIZE = 16
PLAIN = Preprocess(size=SIZE, resize=SIZE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def planted() -> nn.Sequential:
    """Three colours, and a filter of them: red on the left excites it, blue on the right inhibits it."""
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 2, (1, 3), padding=(0, 1)))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net[0].weight[:, :, 0, 0] = torch.eye(3)
        net[2].weight[1, 0, 0, 0] = 2.0
        net[2].weight[1, 2, 0, 2] = -0.5
        net[2].bias[1] = 0.25
    return net.eval()


def picture() -> Image.Image:
    """Black, with a red pixel at (5, 3), row first, and a blue one two columns to the right."""
    pixels = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
    pixels[5, 3] = (255, 0, 0)
    pixels[5, 5] = (0, 0, 255)
    return Image.fromarray(pixels)


MIXED = LayerUnit("2", 1)


def found(unit: LayerUnit | ClassLogit = MIXED) -> UnitCircuit:
    (circuit,) = explain_circuits(planted(), PLAIN, [picture()], [unit])
    return circuit


def test_a_planted_circuit_is_found_with_its_weights_and_places() -> None:
    circuit = found(LayerUnit("2", 1, (5, 4)))
    assert (circuit.score, circuit.excitation, circuit.inhibition) == (1.75, 2.0, -0.5)
    assert circuit.rest == pytest.approx(0.25)
    assert circuit.window == (3, 5, 6, 6)
    (red,), (blue,) = circuit.excited_by, circuit.inhibited_by
    assert (red.layer, red.channel, red.contribution, red.share, red.at) == ("0", 0, 2.0, 0.8, (5, 3))
    assert (blue.layer, blue.channel, blue.contribution, blue.share, blue.at) == ("0", 2, -0.5, -0.2, (5, 5))
    assert red.window == (3, 5, 4, 6)
    assert red.map.nonzero().tolist() == [[5, 3]]


def test_of_a_filter_the_strongest_unit_counts() -> None:
    circuit = found()
    assert circuit.unit == LayerUnit("2", 1, (5, 4))
    assert circuit.score == 1.75


@pytest.mark.parametrize("name", GRAPHS)
def test_maps_sum_to_the_contributions(name: str) -> None:
    model = seeded(GRAPHS[name]).double().eval()
    x = torch.rand(1, *GRAPH_SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    checked = 0
    with isolated(model):
        for layer in names[-3:]:
            try:
                with prepared(model, x, layer) as (runner, graph, own):
                    unit = strongest_unit(runner, LayerUnit(own, 0), x)
                    assert unit.at is not None
                    maps = contribution_maps(runner, graph, x, unit)
                    units = Units(*(torch.tensor([n]) for n in (0, 0, *unit.at)))
                    expected = unit_contributions(runner, graph.layers, x, {own: units})[own]
            except LurkError:
                continue
            sums = [values.sum((1, 2)) for values in maps.maps.values()]
            together = torch.cat([torch.zeros(0, dtype=torch.float64), *sums])
            if not expected.repeated:
                assert tuple(maps.maps) == expected.upstream
                torch.testing.assert_close(together, expected.values[0], rtol=1e-9, atol=1e-12)
            assert maps.score == pytest.approx(float(expected.scores[0]))
            checked += 1
    assert checked


def classifier() -> nn.Sequential:
    """A network whose class scores are the means of the maps of its last convolution."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).eval()


def test_a_class_is_made_of_the_filters_before_the_last_convolution() -> None:
    (circuit,) = explain_circuits(
        classifier(), PLAIN, [picture()], [ClassLogit(3)], classes=["a", "b", "c", "d", "e"]
    )
    assert circuit.target_name == "d (3)"
    assert {part.layer for part in (*circuit.excited_by, *circuit.inhibited_by)} == {"0"}
    weight = classifier()[2].weight.detach()
    net = classifier()
    with torch.no_grad():
        hidden = net[:2](torch.from_numpy(np.array(picture())).permute(2, 0, 1)[None] / 255)
        expected = [float(nn.functional.conv2d(hidden[:, [c]], weight[3:4, [c]]).mean()) for c in range(4)]
    parts = {part.channel: part.contribution for part in (*circuit.excited_by, *circuit.inhibited_by)}
    assert parts == pytest.approx({c: value for c, value in enumerate(expected) if value}, rel=1e-5)


def test_a_unit_of_the_first_layer_is_refused() -> None:
    with pytest.raises(
        LurkError, match=r"no layer is directly upstream of '0'; choose a unit of a later layer"
    ):
        found(LayerUnit("0", 1))


def test_the_model_comes_back_as_it_was() -> None:
    model = planted().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explain_circuits(model, PLAIN, [picture()], [LayerUnit("2", 1)])
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_the_sheet_is_bright_where_a_filter_contributes() -> None:
    circuit = found()
    sheet = draw_circuits([circuit], 96)
    assert sheet.shape[2] == 3
    assert sheet.shape[1] > 4 * 96
    wide = draw_circuits([circuit, found(LayerUnit("2", 0))], 96)
    assert wide.shape[0] > sheet.shape[0]


def test_a_filter_without_contributions_has_empty_lists() -> None:
    circuit = found(LayerUnit("2", 0))
    assert (circuit.score, circuit.excitation, circuit.inhibition) == (0.0, 0.0, 0.0)
    assert (circuit.excited_by, circuit.inhibited_by) == ((), ())
    assert circuit_caption(circuit).endswith("0 = 0 excitation - 0 inhibition + 0 rest")


def test_the_files(tmp_path: Path) -> None:
    network = network_from_module(
        planted(), PLAIN, (), source="planted", weights=Weights({}, "own", "0" * 64), size=None,
        first=picture, display_channels=(),
    )  # fmt: skip
    written = write_circuits(tmp_path, network, [found()], 96)
    read = msgspec.json.decode((tmp_path / CIRCUIT_FILE).read_bytes(), type=UnitCircuitsFile)
    assert read == written
    (image,) = read.images
    assert (image.layer, image.channel, image.at) == ("2", 1, (5, 4))
    assert [(one.channel, one.contribution) for one in image.excited_by] == [(0, 2.0)]
    with Image.open(tmp_path / CIRCUIT_SHEET) as sheet:
        assert sheet.format == "JPEG"
    before = (tmp_path / CIRCUIT_SHEET).read_bytes()
    write_circuits(tmp_path, network, [found()], 96)
    assert (tmp_path / CIRCUIT_SHEET).read_bytes() == before
