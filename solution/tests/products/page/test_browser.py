"""The page in a real browser: it loads alone, and swipe, flicker and zoom do what they say, by pointer and by key."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field

import pytest

from solution.products.page import views
from solution.tests.products.page.conftest import finish

sync_api = pytest.importorskip("playwright.sync_api")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
_PATIENCE_S = 60.0  # after which what should flicker does not
UNDER, OVER = ".view.shown .layer.under img", ".view.shown .layer.over img"


@dataclass
class Opened:
    """A page in the browser, and what happened while it loaded.

    Attributes:
        page: Playwright's.
        asked: addresses that it asked for.
        complaints: what stands in the console, and errors.
    """

    page: object
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def box(self, selector: str) -> tuple[float, ...]:
        """Left, top, width, height."""
        return tuple(self.page.locator(selector).bounding_box().values())

    def style(self, selector: str, name: str) -> str:
        return self.page.eval_on_selector(selector, f"one => getComputedStyle(one)['{name}']")

    def at(self) -> float:
        """Where the swipe stands, per cent from the left."""
        clip = self.style(".view.shown .layer.over", "clip-path")
        left, width = self.box("#line")[0] + 1, self.box("#viewer")[2]
        share = 100 * (left - self.box("#viewer")[0]) / width
        assert f"{share:.1f}" in clip or f"{share:.0f}%" in clip, (share, clip)  # the picture is cut at the line
        return share


@pytest.fixture(scope="session")
def browser():
    place = next(filter(None, map(shutil.which, BROWSERS)), None)
    if place is None:
        pytest.skip(f"no browser found ({', '.join(BROWSERS)}): the page is not looked at; apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=place, args=OPTIONS)
        yield one
        one.close()


@pytest.fixture
def show(browser):
    """A page file -> it in a window of a given size."""
    contexts = []

    def call(path, width: int = 1280, height: int = 900, **options: object) -> Opened:
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))
        opened = Opened(contexts[-1].new_page())
        opened.page.on("request", lambda request: opened.asked.append(request.url))
        opened.page.on("console", lambda message: opened.complaints.append(message.text))
        opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.page.goto(path.as_uri())
        opened.page.wait_for_load_state("networkidle")
        return opened

    yield call
    for context in contexts:
        context.close()


@pytest.fixture
def opened(show, kept_finished) -> Opened:
    return show(kept_finished.page)


def test_it_loads_alone_and_without_complaints(opened, kept_finished):
    assert opened.complaints == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [kept_finished.page.as_uri()]
    broken = "() => [...document.images].filter(one => !one.complete || !one.naturalWidth).length"
    assert opened.page.evaluate(broken) == 0


def test_the_figures_are_those_of_the_report(opened, kept_finished):
    facts = kept_finished.facts()
    cells = opened.page.locator("[data-figure]")
    shown = {cell.get_attribute("data-figure"): cell.inner_text() for cell in cells.all()}
    assert len(shown) == 8
    for name, text in shown.items():
        assert text == ("not known" if facts[name] is None else str(facts[name])), name
    assert opened.page.locator("#answer").inner_text().startswith(("Use it", "Look before"))


def test_the_swipe_moves_by_pointer_and_by_key(opened):
    assert opened.at() == pytest.approx(50, abs=0.3)
    x, y, width, height = opened.box("#viewer")
    opened.page.mouse.move(x + 0.5 * width, y + height / 2)
    opened.page.mouse.down()
    opened.page.mouse.move(x + 0.25 * width, y + height / 2)
    opened.page.mouse.up()
    assert opened.at() == pytest.approx(25, abs=0.3)
    opened.page.mouse.move(x + 0.9 * width, y + height / 2)  # no button is down
    assert opened.at() == pytest.approx(25, abs=0.3)
    opened.page.focus("#swipe")
    opened.page.keyboard.press("End")
    assert opened.at() == pytest.approx(100, abs=0.3)


def test_f_flickers_and_ends_it(opened):
    begun = time.monotonic()
    opened.page.keyboard.press("f")
    assert opened.style(".layer.over", "clip-path") == "none"  # the whole image comes and goes
    assert opened.page.get_attribute("#flicker", "aria-pressed") == "true"
    # On a busy machine the state may change between two questions, so that both are asked at once
    state = "one => [one.closest('.off') !== null, getComputedStyle(one).visibility]"
    changes = ["visible"]
    while len(changes) < 4:
        off, seen = opened.page.eval_on_selector(".layer.over", state)
        assert seen == ("hidden" if off else "visible")
        changes += [seen] * (seen != changes[-1])
        opened.page.wait_for_timeout(50)
        assert time.monotonic() < begun + _PATIENCE_S
    opened.page.keyboard.press("f")
    assert opened.page.get_attribute("#flicker", "aria-pressed") == "false"
    assert opened.style(".layer.over", "visibility") == "visible" and opened.style(".layer.over", "clip-path") != "none"
    opened.page.wait_for_timeout(1200)  # more than a period: nothing flickers any more
    assert not opened.page.query_selector("#viewer.off, #viewer.flickering")


def test_zoom_and_pan_keep_both_images_together(opened):
    opened.page.focus("#viewer")  # which may scroll
    whole = opened.box(UNDER)
    assert opened.box(OVER) == whole == pytest.approx(opened.box("#viewer"), abs=1)
    x, y, width, height = whole
    for _ in range(4):
        opened.page.keyboard.press("+")
    zoomed = opened.box(UNDER)
    assert opened.box(OVER) == zoomed and zoomed[2] == pytest.approx(1.25**4 * width, rel=0.01)
    opened.page.keyboard.press("ArrowRight")
    opened.page.mouse.move(x + 0.8 * width, y + 0.8 * height)
    opened.page.mouse.down()
    opened.page.mouse.move(x + 0.7 * width, y + 0.7 * height)
    opened.page.mouse.up()
    moved = opened.box(UNDER)
    assert opened.box(OVER) == moved
    assert moved[0] - zoomed[0] == pytest.approx(-0.2 * width, abs=2)  # a tenth by key, a tenth by hand
    assert moved[1] - zoomed[1] == pytest.approx(-0.1 * height, abs=2)
    assert opened.at() == pytest.approx(50, abs=0.3)
    opened.page.keyboard.press("0")
    assert opened.box(UNDER) == opened.box(OVER) == pytest.approx(whole, abs=0.5)


def test_zoom_stays_at_the_pointer_and_never_leaves_the_image(opened):
    x, y, width, height = opened.box("#viewer")
    opened.page.mouse.move(x + 0.25 * width, y + 0.75 * height)
    opened.page.keyboard.down("Control")
    for _ in range(3):
        opened.page.mouse.wheel(0, -100)
    opened.page.keyboard.up("Control")
    opened.page.wait_for_selector("#viewer.zoomed")
    left, top, wide, high = opened.box(UNDER)
    assert (x + 0.25 * width - left) / wide == pytest.approx(0.25, abs=0.01)
    assert (y + 0.75 * height - top) / high == pytest.approx(0.75, abs=0.01)
    opened.page.focus("#viewer")
    for _ in range(40):
        opened.page.keyboard.press("ArrowLeft")
    assert opened.box(UNDER)[0] == pytest.approx(x, abs=1)


def test_what_is_compared_can_be_chosen(opened):
    layer = "one => one.dataset.layer"

    def compared() -> tuple[str, str]:
        return tuple(opened.page.eval_on_selector(f".layer.{side}", layer) for side in ("under", "over"))

    assert compared() == ("optical", "after") and opened.page.inner_text("#right") == "SAR through the map"
    opened.page.keyboard.press("b")
    assert compared() == ("optical", "before") and opened.page.inner_text("#right") == "SAR as geocoded"
    opened.page.keyboard.press("b")
    assert compared() == ("optical", "after")
    opened.page.check("input[value='before after']")
    assert compared() == ("before", "after") and opened.page.inner_text("#left") == "SAR as geocoded"


def test_a_phone_needs_no_sideways_scrolling_and_paper_shows_all(show, kept_finished):
    phone = show(kept_finished.page, 390, 844, has_touch=True, is_mobile=True)
    assert phone.page.evaluate("document.documentElement.scrollWidth") == 390
    phone.page.emulate_media(media="print")
    assert [one.is_visible() for one in phone.page.locator(".layer img").all()] == [True] * 3
    assert not phone.page.is_visible("#swipe") and not phone.page.is_visible("#line")


def test_without_scripts_the_images_are_there(show, kept_finished):
    plain = show(kept_finished.page, java_script_enabled=False)
    assert [one.is_visible() for one in plain.page.locator(".layer img").all()] == [True] * 3
    assert not plain.page.is_visible("#swipe") and not plain.page.is_visible("#flicker")


@pytest.mark.usefixtures("no_drawings")
def test_the_parts_of_a_large_scene_can_be_chosen(show, kept_finished, tmp_path, monkeypatch):
    monkeypatch.setattr(views, "LONGEST_PX", 120)
    monkeypatch.setattr(views, "DETAIL_PX", 80)
    opened = show(finish(tmp_path, kept_finished.scene).page)
    assert opened.page.locator("#part option").count() == 4
    opened.page.select_option("#part", "2")
    size = "one => [one.naturalWidth, one.naturalHeight]"
    assert opened.page.eval_on_selector(UNDER, size) == opened.page.eval_on_selector(OVER, size) == [80, 80]
    assert opened.box(UNDER) == opened.box(OVER) and opened.box(UNDER)[2] == pytest.approx(opened.box(UNDER)[3], abs=1)
