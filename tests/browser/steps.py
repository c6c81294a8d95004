"""Common steps of the browser tests."""

from playwright.sync_api import expect

LOADED = """() => [...document.images].every((image) => {
    const { top, bottom } = image.getBoundingClientRect(); // a picture far from the window is not loaded yet
    return bottom < 0 || top > innerHeight || (image.complete && image.naturalWidth > 0);
})"""
"""JavaScript that returns whether all pictures in the window are loaded."""


def heading(page, text):
    """Check that the heading of the view has this text."""
    expect(page.locator("h1")).to_have_text(text)


def wait_for(page, condition):
    """Wait until something has happened outside the page, such as a request."""
    for _ in range(160):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it did not happen")


def search(page, words):
    """Open the search with its keyboard shortcut and type the words."""
    page.keyboard.press("/")
    page.fill("#search-input", words)


def reload_and_resize(page, address):
    """Check that a view survives a reload, and that it has no horizontal scrolling at any width."""
    before = page.inner_text("h1")
    page.reload()
    heading(page, before)
    assert page.url == address
    for width in (2560, 1280, 700, 360):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(60)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width


MOVE = """(hash) => new Promise((done) => {
    if (location.hash === hash) return done();
    addEventListener("hashchange", () => done(), { once: true });
    location.hash = hash;
})"""
DRAWN = "() => document.querySelector('main:not([aria-busy]) > :is(.view, .message)')"


def visit(page, address):
    """Go to an address; within the site that is open, change only the hash, as a visitor does."""
    base, _, hash_ = address.partition("#")
    if page.url.partition("#")[0] == base:
        page.evaluate(MOVE, f"#{hash_}")
    else:
        page.goto(address)
    page.wait_for_function(DRAWN)
