"""The filter view of a comparison: pictures, classes, measures and training steps."""

import json
import re

import pytest
from playwright.sync_api import expect

from ..made_up_comparison import NAMES, changes
from ..steps import LOADED, heading


def test_pictures_come_from_both_stores(page, compared, moments, troubles):
    page.goto(f"{compared}#/compare:early-to-last/deep/7?pair=0-1")
    stores = [json.loads((moments / name / "layers/deep.json").read_text()) for name in ("early", "later")]
    lists = [[entry["image"] for entry in store["filters"][7]["max"]] for store in stores]
    sides = page.locator(".side-by-side").nth(1).locator(".side")
    expect(sides).to_have_count(2)
    for side, name, images in zip(sides.all(), ("early", "later"), lists, strict=True):
        expect(side.locator(".side-head a")).to_have_attribute("href", f"#/{name}/deep/7")
        shown = side.locator(".entry > .frame img").evaluate_all("(all) => all.map((e) => e.dataset.picture)")
        assert shown == [f"saved_model/{name}/images/{image}.jpg" for image in images]
        crops = side.locator(".pair img").evaluate_all("(all) => all.map((e) => e.dataset.picture)")
        assert crops == [
            f"saved_model/{name}/{kind}/deep/7.jpg" for _ in images for kind in ("cropped", "cropped_grad")
        ]
    fates = [side.locator(".rank-change").all_inner_texts() for side in sides.all()]
    assert fates[0] == [
        "left the list" if one not in lists[1] else word(lists[1].index(one), i, "now")
        for i, one in enumerate(lists[0])
    ]
    assert fates[1] == [
        "new" if one not in lists[0] else word(lists[0].index(one), i, "was")
        for i, one in enumerate(lists[1])
    ]
    assert len({*fates[0], *fates[1]}) > 2
    made = (
        page.locator(".side-by-side")
        .first.locator("img")
        .evaluate_all("(all) => all.map((e) => e.dataset.picture)")
    )
    assert made == [f"saved_model/{name}/max_activ/deep/7.jpg" for name in ("early", "later")]
    expect(page.locator(".cross-figure")).to_have_text(["9.50", "3.25", "4.13", "8.75"])
    assert troubles == []


def word(there: int, here: int, verb: str) -> str:
    return "stays" if there == here else f"{verb} {['1st', '2nd', '3rd', '4th'][there]}"


def test_class_profiles_are_side_by_side(page, compared, moments, troubles):
    page.goto(f"{compared}#/compare:two/deep/7")
    panel = page.locator(".panel").first
    expect(panel.locator("li")).to_have_count(4)
    profiles = [
        dict(json.loads((moments / name / "layers/deep.json").read_text())["filters"][7]["classes"]["max"])
        for name in ("early", "last")
    ]
    shown = panel.locator("li").evaluate_all(
        """(all) => all.map((row) => [
             row.querySelector('.paired-name').title,
             ...[...row.querySelectorAll('.paired-figure')].map((one) => one.textContent)])"""
    )
    classes = json.loads((moments / "early/network.json").read_text())["dataset"]["classes"]
    for name, before, after in shown:
        index = classes.index(name)
        for text, profile in zip((before, after), profiles, strict=True):
            assert float(text.replace("−", "-")) == pytest.approx(profile[index], abs=0.006)
    assert profiles[0] != profiles[1]


def test_a_filter_over_time(page, compared, moments, troubles):
    page.goto(f"{compared}#/compare:early-to-last/deep/7?by=means")
    expect(page.locator(".network-moment .network-moment-head a")).to_have_text(list(NAMES))
    shown = page.locator(".network-moment img").evaluate_all("(all) => all.map((e) => e.dataset.picture)")
    assert shown == [
        *(
            f"saved_model/{name}/thumbs/deep/{kind}-7"
            for name in NAMES[:2]
            for kind in ("max_activ", "cropped")
        ),
        *(f"saved_model/last/{kind}/deep/7.jpg" for kind in ("max_activ", "cropped")),  # it has format 1
    ]
    page.wait_for_function(LOADED)
    values = [changes(moments, "early-to-last", "deep", pair)["values"]["means"][7] for pair in range(3)]
    displayed = [float(text) for text in page.locator(".network-moment-line b").all_inner_texts()]
    assert displayed == pytest.approx([values[0], values[1], values[2]], abs=0.006)
    expect(page.locator(".sparklines [aria-current]")).to_have_text(re.compile("mean activation"))
    page.locator(".sparklines [aria-current]").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.locator(".sparklines [aria-current]:focus")).to_have_text(re.compile("activation maps"))
    now = changes(moments, "early-to-last", "deep")["values"]["maps"][7]
    expect(page.locator(".network-moment-line b").first).to_have_text(f"{now:.2f}")
    page.goto(f"{compared}#/compare:two/deep/7")
    expect(page.locator(".measure-row").first).to_be_visible()
    expect(page.locator(".network-moment")).to_have_count(0)
    assert troubles == []


def test_every_measure_is_described_in_words(page, compared, moments, troubles):
    page.goto(f"{compared}#/compare:two/deep/6")
    own = changes(moments, "two", "deep")
    assert own["partners"][6][0] == 7
    expect(page.locator(".lede a")).to_have_attribute("href", "#/last/deep/7")
    expect(page.locator(".measure-row")).to_have_count(len(own["values"]))
    share = own["values"]["top_max"][6]
    expect(page.locator(".measure-row", has_text="top images by max")).to_contain_text(
        f"{round(share * 4)} of its 4 strongest images"
    )
    expect(page.locator(".measure-row .mark:not(.dim)")).to_have_count(len(own["values"]))
    page.goto(f"{compared}#/compare:two/deep/5")
    expect(page.locator(".lede")).to_have_text("Nothing changed in this filter, by any measure.")
    page.goto(f"{compared}#/compare:two/deep/7")
    expect(page.locator(".measure-row", has_text=re.compile("^weights"))).to_contain_text(
        "Not defined for this filter"
    )
    assert troubles == []


def test_a_filter_without_gradients_has_no_gradient_switch(page, compared, troubles):
    page.goto(compared + "#/compare:two/wide/3")
    heading(page, "Filter 3")
    expect(page.get_by_text("Overlay", exact=True)).to_have_count(1)
    page.goto(compared + "#/compare:two/wide/300")
    heading(page, "Filter 300")
    expect(page.get_by_text("Overlay", exact=True)).to_have_count(0)
    # A link to missing gradients explains that they are missing, and links back.
    page.goto(compared + "#/compare:two/wide/300?show=gradient")
    expect(page.get_by_text("gradient not computed")).not_to_have_count(0)
    page.get_by_text("Image", exact=True).click()
    expect(page.get_by_text("Overlay", exact=True)).to_have_count(0)
    assert troubles == []
