"""Tests of explanations against Captum, plain autograd and completeness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import captum.attr
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import torchlurk
from tests.networks import Branching, module_relus, residual, seeded
from torchlurk.attribution import methods
from torchlurk.attribution.randomise import magnitude, randomised_copies, rank_correlation
from torchlurk.attribution.targets import ClassLogit, LayerUnit, target_values
from torchlurk.datasets.inputs import Preprocess
from torchlurk.explaining import METHODS, AttributionParams
from torchlurk.models.isolation import isolated
from torchlurk.models.runner import activation

pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations"),
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients"),
]


def plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(3, 2, 1), residual(6),
        residual(6, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5),
    )  # fmt: skip


NETWORKS: dict[str, Callable[[], nn.Module]] = {"plain": plain, "branching": Branching}
TARGET = 2


@pytest.fixture(params=NETWORKS)
def model(request: pytest.FixtureRequest) -> nn.Module:
    return seeded(NETWORKS[request.param])


def images(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 27, 30, generator=torch.Generator().manual_seed(0))


def score_of(model: nn.Module) -> methods.ScoreFunction:
    return lambda x: target_values(model, x, ClassLogit(TARGET))


def check_same(found: Tensor, wanted: Tensor, relative: float = 1e-4) -> None:
    assert wanted.abs().max() > 0
    assert (found - wanted).abs().max() <= relative * wanted.abs().max()


def attribute(name: str, model: nn.Module, x: Tensor) -> Tensor:
    """Return Captum's attribution of the same network with each ReLU as a module of its own."""
    rewritten = module_relus(model)
    if name == "saliency":
        return captum.attr.Saliency(rewritten).attribute(x, target=TARGET, abs=False)
    kinds: dict[str, Any] = {
        "guided": captum.attr.GuidedBackprop,
        "deconv": captum.attr.Deconvolution,
        "input_x_gradient": captum.attr.InputXGradient,
    }
    return kinds[name](rewritten).attribute(x, target=TARGET)


OURS: dict[str, Callable[[methods.ScoreFunction, Tensor], Tensor]] = {
    "saliency": methods.gradient,
    "guided": lambda score, x: methods.gradient(score, x, "guided"),
    "deconv": lambda score, x: methods.gradient(score, x, "deconv"),
    "input_x_gradient": methods.input_times_gradient,
}


@pytest.mark.parametrize("name", OURS)
def test_attributions_equal_those_of_captum(name: str, model: nn.Module) -> None:
    with isolated(model):
        found = OURS[name](score_of(model), images())
    check_same(found, attribute(name, model, images().requires_grad_()))


@pytest.mark.parametrize("steps", [2, 7, 50])
def test_integrated_gradients_equal_those_of_captum(model: nn.Module, steps: int) -> None:
    baseline = torch.tensor([-2.0, -1.0, 0.5]).view(1, 3, 1, 1)
    with isolated(model):
        found = methods.integrated_gradients(score_of(model), images(), baseline, steps=steps)
    theirs, delta = captum.attr.IntegratedGradients(module_relus(model)).attribute(
        images(), baseline.expand(2, 3, 27, 30), TARGET, n_steps=steps, method="riemann_middle",
        return_convergence_delta=True,
    )  # fmt: skip
    check_same(found.values, theirs)
    torch.testing.assert_close(found.errors.float(), delta.abs().float(), rtol=1e-3, atol=1e-5)


def test_smoothgrad_equals_that_of_captum_with_the_same_noise(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = images(1)
    sigma, samples = 0.2, 6
    with isolated(model):
        found = methods.smooth_gradient(
            score_of(model), x, samples=samples, sigma=sigma, generator=torch.Generator().manual_seed(5)
        )
    generator = torch.Generator().manual_seed(5)
    noise = torch.stack([torch.randn(x.shape, generator=generator)[0] for _ in range(samples)])
    spread = float(x.max() - x.min())
    drawn: list[int] = []

    def normal(mean: float, deviations: Tensor) -> Tensor:
        drawn.append(len(deviations))
        return noise * deviations

    monkeypatch.setattr(torch, "normal", normal)
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(module_relus(model)))
    theirs = tunnel.attribute(
        x, nt_type="smoothgrad", nt_samples=samples, stdevs=sigma * spread, target=TARGET, abs=False
    )
    assert drawn == [samples]
    check_same(found, theirs)


def test_images_of_a_batch_are_independent(model: nn.Module) -> None:
    x = images(3)

    def all_of(x: Tensor) -> list[Tensor]:
        score = score_of(model)
        generator = torch.Generator().manual_seed(1)
        return [
            *(ours(score, x) for ours in OURS.values()),
            methods.smooth_gradient(score, x, samples=2, sigma=0.1, generator=generator),
            methods.integrated_gradients(score, x, torch.zeros(1, 3, 1, 1), steps=3).values,
        ]

    with isolated(model):
        for together, alone in zip(all_of(x), all_of(x[1:2]), strict=True):
            torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-6)


def test_more_steps_reduce_the_completeness_error(model: nn.Module) -> None:
    model.double()
    x, black = images().double(), torch.full((1, 3, 1, 1), -2.0).double()
    score = score_of(model)
    with isolated(model):
        few, many = (methods.integrated_gradients(score, x, black, steps=n) for n in (8, 2000))
        wanted = (score(x.clone()) - score(black.expand_as(x).clone())).detach()
    torch.testing.assert_close(many.totals, many.values.sum((1, 2, 3)))
    torch.testing.assert_close(many.differences, wanted)
    assert (many.errors < 2e-3 * wanted.abs().max()).all()
    assert many.errors.sum() < few.errors.sum()


def test_without_noise_smoothgrad_is_the_gradient(model: nn.Module) -> None:
    with isolated(model):
        score = score_of(model)
        found = methods.smooth_gradient(
            score, images(), samples=3, sigma=0.0, generator=torch.Generator().manual_seed(0)
        )
        torch.testing.assert_close(found, methods.gradient(score, images()))


@pytest.mark.parametrize("at", [None, (3, 5)])
def test_gradients_of_units_equal_those_of_autograd(model: nn.Module, at: tuple[int, int] | None) -> None:
    layer = "first" if isinstance(model, Branching) else "0"
    x = images().requires_grad_()
    (conv,) = [module for name, module in model.named_modules() if name == layer]
    maps = conv(x)[:, 4]
    value = maps.mean((1, 2)) if at is None else maps[:, at[0], at[1]]
    (wanted,) = torch.autograd.grad(value.sum(), x)
    unit = LayerUnit(layer, 4, at)
    with isolated(model):
        found = methods.gradient(lambda x: target_values(model, x, unit), x)
        torch.testing.assert_close(target_values(model, x, unit), value)
    torch.testing.assert_close(found, wanted)


# gradients() against autograd, written out for Branching.


def by_hand(model: Branching, x: Tensor) -> dict[str, Tensor]:
    """Return the activations of Branching, computed without in-place operations."""
    kept = {"first": model.first(x)}
    pooled = F.max_pool2d(kept["first"].relu(), 2, ceil_mode=True)
    kept["narrow"], kept["wide"] = model.narrow(pooled), model.wide(pooled)
    kept["last"] = model.last(torch.cat([kept["narrow"].relu(), kept["wide"].relu()], 1))
    kept["head"] = model.head(kept["last"].relu().mean((2, 3)))
    return kept


LAYERS = ["wide", "first", "last", "head"]


def test_gradients_equal_those_of_autograd_where_layers_are_overwritten_in_place() -> None:
    model = seeded(Branching)
    x = images().requires_grad_()
    kept = by_hand(model, x)
    named = dict(model.named_parameters())
    wanted = torch.autograd.grad(
        kept["head"][:, 1].sum(), [x, *(kept[name] for name in LAYERS), *named.values()]
    )
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    found = torchlurk.gradients(model, images(), 1, layers=LAYERS, parameters=[""])
    assert list(found.layers) == LAYERS
    assert list(found.parameters) == list(named)
    assert kept["wide"].min() < 0, "so that what comes after the ReLU would have another gradient"
    ours = [found.input, *found.layers.values(), *found.parameters.values()]
    for own, hand in zip(ours, wanted, strict=True):
        assert own.grad_fn is None
        torch.testing.assert_close(own, hand, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(found.value, kept["head"][:, 1].detach())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_gradients_of_many_values_with_weights() -> None:
    model = seeded(Branching)
    x = images().requires_grad_()
    kept = by_hand(model, x)
    weights = torch.randn(kept["wide"].shape, generator=torch.Generator().manual_seed(3))
    wanted = torch.autograd.grad(kept["wide"], [x, kept["first"], model.first.bias], weights)
    found = torchlurk.gradients(
        model, images(), "wide", layers=["first", "last"], parameters=["first"], weights=weights
    )
    torch.testing.assert_close(found.input, wanted[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.layers["first"], wanted[1], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.parameters["first.bias"], wanted[2], rtol=1e-4, atol=1e-6)
    assert not found.layers["last"].any(), "the target does not depend on what comes after it"


def test_gradients_of_a_unit_and_of_a_function_of_the_output() -> None:
    model = seeded(Branching)
    x = images().requires_grad_()
    kept = by_hand(model, x)
    (unit,) = torch.autograd.grad(kept["last"][:, 3, 2, 1].sum(), x, retain_graph=True)
    (loss,) = torch.autograd.grad(F.cross_entropy(kept["head"], torch.tensor([0, 2])), x)
    torch.testing.assert_close(torchlurk.gradients(model, images(), "last:3@2,1").input, unit)
    found = torchlurk.gradients(model, images(), lambda output: F.cross_entropy(output, torch.tensor([0, 2])))
    torch.testing.assert_close(found.input, loss)
    assert found.value.shape == ()


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_gradients_are_computed_where_autograd_is_off(context: Callable[[], Any]) -> None:
    model = seeded(Branching)
    wanted = torchlurk.gradients(model, images(), 0).input
    with context():
        torch.testing.assert_close(torchlurk.gradients(model, images(), 0).input, wanted)
        (found,) = torchlurk.explain(model, FED, photo(), 0, params=AttributionParams(samples=2, steps=2))
    (usual,) = torchlurk.explain(model, FED, photo(), 0, params=AttributionParams(samples=2, steps=2))
    for name, values in usual.attributions.items():
        torch.testing.assert_close(found.attributions[name], values)


# explain() as a whole.


def photo(seed: int = 0, size: tuple[int, int] = (30, 27)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


FED = Preprocess(size=(27, 30), resize=None)


def test_explain_runs_its_methods_in_evaluation_mode(model: nn.Module) -> None:
    """In training mode, the batch norm would give other values."""
    params = AttributionParams(samples=3, steps=5, sigma=0.1, seed=4)
    x = FED.to_input(torch.from_numpy(np.array(photo()))[None])
    black = FED.to_input(torch.zeros((1, 27, 30, 3), dtype=torch.uint8))
    model.train()
    (found,) = torchlurk.explain(model, FED, photo(), TARGET, params=params)
    assert model.training
    model.eval()
    score = score_of(model)
    with isolated(model):
        integrated = methods.integrated_gradients(score, x, black, steps=5)
        generator = torch.Generator().manual_seed(4)
        wanted = {
            "gradient": methods.gradient(score, x),
            "saliency": methods.gradient(score, x),
            "guided": methods.gradient(score, x, "guided"),
            "deconv": methods.gradient(score, x, "deconv"),
            "input_x_gradient": methods.gradient(score, x) * x,
            "smoothgrad": methods.smooth_gradient(score, x, samples=3, sigma=0.1, generator=generator),
            "integrated": integrated.values,
        }
        logits = model(x)[0]
    assert list(found.attributions) == list(wanted) == list(METHODS)
    for name, values in wanted.items():
        torch.testing.assert_close(found.attributions[name], values[0], rtol=1e-4, atol=1e-6)
    assert found.completeness is not None
    assert found.completeness.error == pytest.approx(float(integrated.errors), abs=1e-5)
    assert found.score == pytest.approx(float(logits[TARGET]), rel=1e-5)
    best = found.predictions[0]
    assert best.index == int(logits.argmax())
    assert best.probability == pytest.approx(float(logits.softmax(0).max()), rel=1e-5)
    assert np.array_equal(found.picture, np.array(photo()))


def test_explanations_of_images_are_independent(model: nn.Module) -> None:
    params = AttributionParams(samples=2, steps=2)
    both = torchlurk.explain(model, FED, [photo(1), photo(2)], params=params, randomize="all")
    (alone,) = torchlurk.explain(model, FED, [photo(2)], params=params, randomize="all")
    for name, values in alone.attributions.items():
        assert torch.equal(both[1].attributions[name], values)
        assert torch.equal(both[1].controls[0].attributions[name], alone.controls[0].attributions[name])


def test_a_randomised_copy_is_a_new_network(model: nn.Module) -> None:
    params = AttributionParams(methods=("gradient", "integrated"), steps=4)
    (found,) = torchlurk.explain(model, FED, photo(), params=params, randomize="cascading")
    own = {name.rpartition(".")[0] for name, _ in model.named_parameters()}
    assert len(found.controls[0].layers) == 1
    assert found.controls[0].layers[0] in ("head", "8")
    assert set(found.controls[-1].layers) == own
    assert found.controls[-1].of == len(own)
    for control in found.controls:
        plain = (found.attributions["gradient"], control.attributions["gradient"])
        seen = torch.stack(plain).abs().amax(dim=(0, 1)) > 0
        for name, similarity in control.similarity.items():
            pair = (found.attributions[name], control.attributions[name])
            assert similarity == pytest.approx(rank_correlation(*(magnitude(one)[seen] for one in pair)))
            assert similarity is None or similarity < 0.999
    (whole,) = torchlurk.explain(model, FED, photo(), params=params, randomize="all")
    assert [set(control.layers) for control in whole.controls] == [own]


def test_similarity_ignores_pixels_outside_the_receptive_field() -> None:
    net = seeded(lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)))
    params = AttributionParams(methods=("gradient", "smoothgrad"), samples=8)
    (found,) = torchlurk.explain(net, FED, photo(), "2:1@3,6", params=params, randomize="all")
    (control,) = found.controls
    for name, similarity in control.similarity.items():
        values = [magnitude(one)[3:8, 6:11] for one in (found.attributions[name], control.attributions[name])]
        assert similarity == pytest.approx(rank_correlation(*values))
        assert similarity is not None
        assert abs(similarity) < 0.9


def test_random_weights_keep_their_scale_and_do_not_change_the_network(model: nn.Module) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with isolated(model):
        (made,) = randomised_copies(model, images(1), "all", 3)
        (again,) = randomised_copies(model, images(1), "all", 3)
        (other,) = randomised_copies(model, images(1), "all", 4)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    for name, value in made.model.named_parameters():
        assert torch.equal(value, dict(again.model.named_parameters())[name])
        trained = dict(model.named_parameters())[name]
        if trained.numel() > 100:
            assert not torch.equal(value, dict(other.model.named_parameters())[name])
            assert value.detach().std().item() == pytest.approx(trained.detach().std().item(), rel=0.3)


def test_weights_are_drawn_again_for_a_target_without_gradient() -> None:
    model = seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 25 * 28, 2), nn.ReLU())
    )
    for seed in range(12):
        params = AttributionParams(methods=("gradient",), seed=seed)
        (found,) = torchlurk.explain(model, FED, photo(seed), 1, params=params, randomize="cascading")
        for control in found.controls:
            assert control.score > 0


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=12))
def test_rank_correlation_is_pearsons_correlation_of_mean_ranks(pairs: list[tuple[int, int]]) -> None:
    def ranks(values: list[int]) -> np.ndarray:
        return np.array([np.mean([i for i, v in enumerate(sorted(values)) if v == w]) for w in values])

    a, b = ([pair[k] for pair in pairs] for k in (0, 1))
    found = rank_correlation(torch.tensor(a).float(), torch.tensor(b).float())
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(np.corrcoef(ranks(a), ranks(b))[0, 1], abs=1e-9)


def test_the_target_value_is_the_activation(model: nn.Module) -> None:
    layer = "last" if isinstance(model, Branching) else "5"
    with isolated(model), torch.no_grad():
        maps = activation(model, layer, images())
        found = target_values(model, images(), LayerUnit(layer, 1, (0, 2)))
    torch.testing.assert_close(found, maps[:, 1, 0, 2])
