"""The page in Chromium: light and dark, wide and narrow, with many images, to screen readers."""

import re

import numpy as np
import pytest

from kernel_distill.report import save_report

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_it_fits_and_can_be_read(run, browser, scheme, width):
    _, path = run
    browser.open(path, width=width, scheme=scheme, touch=width == 360)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    screen = browser.screenshot()
    assert screen.shape[1] == width
    assert len(np.unique(screen.reshape(-1, 3), axis=0)) > 100  # the images are in it
    assert (screen[2, 2].mean() > 128) == (scheme == "light")
    browser.point_at(browser.all("[data-when=now] button")[0])
    found = browser.run(
        """const parents = (node) => node ? [node, ...parents(node.parentElement)] : [];
           const clear = "rgba(0, 0, 0, 0)";
           return [...document.querySelectorAll("body *")]
             .filter((each) => each.checkVisibility() && !each.closest("canvas, script")
               && [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
             .map((each) => [each.tagName + "." + each.getAttribute("class"),
               each.closest("svg") ? getComputedStyle(each).fill : getComputedStyle(each).color,
               parents(each).map((node) => getComputedStyle(node).backgroundColor)
                 .find((colour) => colour !== clear)])"""
    )
    assert len(found) > 100
    for name, ink, paper in found:
        assert contrast(ink, paper) >= 4.5, (name, ink, paper)  # WCAG 2.2, 1.4.3


def contrast(*colours):
    """By the definition in WCAG 2.2."""

    def luminance(colour):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted(map(luminance, colours), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_every_image_and_control_has_a_name(run, browser):
    _, path = run
    browser.open(path)
    tree = browser.command("Accessibility.getFullAXTree")["nodes"]
    roles = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree
             if not node["ignored"]]  # fmt: skip
    for role in ("button", "slider", "link", "image", "region", "figure", "heading"):
        names = [name for found, name in roles if found == role]
        assert names
        assert all(names), role
    assert ("button", "Image 6, class cat, now") in roles


def test_rows_of_a_table_are_strips(written, browser, tmp_path):
    """Of the features none is lost, and a row is high enough to be pointed at."""
    path = tmp_path / "report.html"
    save_report(path, [written(12, (784,)).story])
    browser.open(path, width=360, touch=True)
    assert browser.run("return document.documentElement.scrollWidth") <= 360
    strips = browser.pixels("[data-when=now] canvas")
    assert strips.shape == (12, 1, 784, 3)
    assert np.unique(strips[0, 0], axis=0).shape[0] > 100
    for canvas in browser.all("[data-when=now] canvas"):
        assert canvas.size["width"] == pytest.approx(6 * canvas.size["height"], abs=6)
        assert canvas.size["height"] >= 12


def test_five_hundred_images_at_twenty_steps(written, browser, tmp_path):
    steps = tuple(range(21))
    run = written(500, (16, 16, 3), tuple(map(str, range(10))), steps=steps, result=20)
    path = tmp_path / "report.html"
    save_report(path, [run.story])
    assert path.stat().st_size < 18 * 2**20
    browser.open(path)
    assert len(browser.all("[data-when=now] button")) == 500
    images, _ = run.in_order(20)
    np.testing.assert_allclose(browser.pixels("[data-when=now] canvas"), images, atol=0.501)
