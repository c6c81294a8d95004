"""Faults of accessibility that axe-core finds on a page."""

from pathlib import Path

FOLDER = Path(__file__).parent / "vendor" / "axe-core-4.14.1"
RUN = """([selector, rules]) => axe.run(selector, {
    resultTypes: ['violations'],
    ...(rules ? { runOnly: { type: 'rule', values: rules } } : {}),
})"""


def faults(page, selector="html", rules=None) -> list[tuple[str, list[str]]]:
    """The violations of some rules, or of all, each with some of the elements."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(FOLDER.joinpath("axe.min.js").read_text())
    found = page.evaluate(RUN, [selector, rules])["violations"]
    return [(v["id"], [n["html"][:140] for n in v["nodes"][:3]]) for v in found]


def assert_no_faults(page) -> None:
    """All rules hold in the light theme; the dark one differs in colors alone."""
    for theme, rules in (("light", None), ("dark", ["color-contrast"])):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # a color half way would fail
        page.wait_for_timeout(60)
        assert faults(page, rules=rules) == [], (page.url, theme)
