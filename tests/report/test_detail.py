"""The page in Chromium: the box of an image, by mouse, by keyboard and by touch."""

import time

import numpy as np
import pytest

from kernel_distill.report import save_report

pytestmark = pytest.mark.slow


def test_labels_appear_by_mouse_keyboard_and_touch(run, browser):
    from selenium.webdriver import Keys

    run, path = run
    _, labels = run.in_order(10)
    browser.open(path)

    def assert_labels(place):
        title, bars = browser.detail()
        number = [0, 5, 1, 6, 2, 7, 3, 8, 4, 9][place] + 1  # two images a class
        assert title == f"Image {number}, class {run.class_names[place // 2]}"
        names, values, widths = zip(*bars, strict=True)
        assert names == run.class_names
        np.testing.assert_allclose(values, labels[place], atol=0.00055)
        np.testing.assert_allclose(
            np.array(widths) / max(widths), np.abs(values) / np.abs(values).max(), atol=0.01
        )

    buttons = browser.all("[data-when=now] button")
    assert browser.detail() is None
    browser.point_at(buttons[3])
    assert_labels(3)
    browser.point_at(browser.one("h1"))
    browser.wait("return document.getElementById('detail').hidden")

    # tabs stop once in each panel, arrows go on
    browser.run("document.querySelector('#play').focus()")
    browser.press(Keys.TAB)
    assert browser.run("return document.activeElement.getAttribute('aria-label')").endswith(
        "before"
    )
    browser.press(Keys.TAB)
    assert_labels(0)
    browser.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert_labels(2)
    focused = browser.driver.switch_to.active_element
    assert focused.get_attribute("aria-describedby") == "detail"
    assert focused.value_of_css_property("outline-style") == "solid"
    browser.press(Keys.ESCAPE)
    assert browser.detail() is None
    browser.press(Keys.END)
    assert_labels(9)
    browser.press(Keys.TAB)
    browser.wait("return document.getElementById('detail').hidden")

    browser.open(path, width=360, height=740, touch=True)
    button = browser.all("[data-when=now] button")[4]
    browser.run("arguments[0].scrollIntoView({ block: 'center' })", button)
    box = browser.run("return arguments[0].getBoundingClientRect().toJSON()", button)
    middle = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    browser.command("Input.dispatchTouchEvent", type="touchStart", touchPoints=[middle])
    browser.command("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    browser.wait("return !document.getElementById('detail').hidden")
    assert_labels(4)
    over = browser.run(
        "return document.elementFromPoint(arguments[0], arguments[1]).closest('#detail')",
        *middle.values(),
    )
    assert over is None  # the image itself stays in sight


def test_a_click_into_the_box_leaves_it_there(run, browser):
    """Until the pointer is elsewhere."""
    _, path = run
    browser.open(path)
    browser.all("[data-when=now] button")[3].click()
    browser.point_at(browser.one("#detail .title"))
    browser.one("#detail .title").click()
    time.sleep(0.4)  # it goes after 0.15
    assert browser.detail() is not None
    browser.point_at(browser.one("h1"))
    browser.wait("return document.getElementById('detail').hidden")


def test_what_is_focused_is_not_under_the_control(written, browser, tmp_path):
    path = tmp_path / "report.html"
    save_report(path, [written(60).story])
    browser.open(path, width=360, height=700, touch=True)
    covered = browser.run(
        """const bottom = () => document.querySelector(".control").getBoundingClientRect().bottom;
           return [...document.querySelectorAll(".tile button")].map((button) => {
             const under = bottom() - button.getBoundingClientRect().height - 2;
             scrollBy(0, button.getBoundingClientRect().top - under);
             button.focus();
             return button.getBoundingClientRect().top - bottom();
           })"""
    )
    assert len(covered) == 120
    assert min(covered) >= 0


@pytest.mark.parametrize("size", [(360, 740), (390, 844), (1280, 720)])
def test_the_box_is_not_over_the_control(written, browser, tmp_path, size):
    """While that is at the top of the window: wherever else the image is in it."""
    path = tmp_path / "report.html"
    save_report(path, [written(60, class_names=tuple(map(str, range(12)))).story])
    width, height = size
    browser.open(path, width=width, height=height, touch=width < 500)
    overlaps = browser.run(
        """const control = () => document.querySelector(".control").getBoundingClientRect();
           const box = document.getElementById("detail");
           return [...document.querySelectorAll(".tile button")].flatMap((button) => {
             button.focus({ preventScroll: true });
             return [0.3, 0.5, 0.8].map((share) => {
               scrollBy(0, button.getBoundingClientRect().top - share * innerHeight);
               dispatchEvent(new Event("scroll"));
               return control().top > 0 ? null : control().bottom - box.getBoundingClientRect().top;
             });
           })"""
    )
    known = [each for each in overlaps if each is not None]
    assert len(known) > 100
    assert max(known) <= 0
