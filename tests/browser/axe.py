"""Run axe-core, which finds accessibility violations, on a page."""

from pathlib import Path

FOLDER = Path(__file__).parent / "vendor" / "axe-core-4.14.1"
RUN = """([selector, rules]) => axe.run(selector, {
    resultTypes: ['violations'],
    ...(rules ? { runOnly: { type: 'rule', values: rules } } : {}),
})"""


def faults(page, selector="html", rules=None) -> list[tuple[str, list[str]]]:
    """Return the violations of the given rules, or of all rules, each with up to three elements."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(FOLDER.joinpath("axe.min.js").read_text())
    violations = page.evaluate(RUN, [selector, rules])["violations"]
    return [(v["id"], [n["html"][:140] for n in v["nodes"][:3]]) for v in violations]


def assert_no_faults(page) -> None:
    """Check all rules in the light theme, and contrast in the dark theme, which differs only in colours."""
    for theme, rules in (("light", None), ("dark", ["color-contrast"])):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # a colour in transition would fail
        page.wait_for_timeout(60)
        assert faults(page, rules=rules) == [], (page.url, theme)
