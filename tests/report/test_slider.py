"""The page in Chromium: the slider, and what is shown of one run, of several, of a set alone."""

from dataclasses import replace

import numpy as np
import pytest

from kernel_distill.artefact import Distilled
from kernel_distill.report import Table, save_report, tell_alone

pytestmark = pytest.mark.slow


def test_the_slider_takes_the_images_from_before_to_the_result(run, browser):
    from selenium.webdriver import Keys

    run, path = run
    browser.open(path)
    slider = browser.one("#step")

    def assert_shown(step, text):
        browser.wait(f"return document.querySelector('[data-when=now]').dataset.step == {step}")
        images, _ = run.in_order(step)
        shown = browser.pixels("[data-when=now] canvas")
        np.testing.assert_allclose(shown, images, atol=0.501)
        before = browser.pixels("[data-when=before] canvas")
        np.testing.assert_allclose(before, run.in_order(0)[0], atol=0.501)
        assert slider.get_attribute("aria-valuetext") == browser.one("#at").text == text
        assert (
            f"{50 + step}.0 % validation accuracy" in browser.one("[data-when=now]").text
            or not step
        )

    assert_shown(10, "Step 10 of 32, the result")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert_shown(32, "Step 32 of 32")
    slider.send_keys(Keys.HOME)
    assert_shown(0, "Before")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert_shown(1, "Step 1 of 32")
    browser.one("#to-start").click()
    assert_shown(0, "Before")
    browser.one("#to-result").click()
    assert_shown(10, "Step 10 of 32, the result")
    browser.one("#play").click()
    assert_shown(0, "Before")
    assert browser.one("#at").get_attribute("aria-live") == "off"
    browser.wait("return document.querySelector('#at').textContent === 'Step 32 of 32'")
    browser.wait("return document.querySelector('#play').textContent === 'Play'")
    assert browser.one("#at").get_attribute("aria-live") is None


def test_runs_side_by_side_share_a_slider(written, browser, tmp_path):
    runs = [
        written(name="one"),
        written(12, (3, 3, 1), steps=(0, 2, 100), result=100, name="two", seed=1),
    ]
    table = Table("Measured", ("learned from", "fc1 (%)"), (("one", "91.20"),), note="of 5")
    path = tmp_path / "report.html"
    save_report(path, [run.story for run in runs], title="2 runs", table=table)
    browser.open(path)
    figures = browser.all("[data-when=now]")
    assert [each.get_attribute("data-step") for each in figures] == ["10", "100"]
    one, two = (each.rect for each in browser.all(".run"))
    assert (one["y"], one["x"] < two["x"]) == (two["y"], True)
    # the slider has the steps of both: 0, 1, 2, 3, 10, 32, 100
    slider = browser.one("#step")
    assert slider.get_attribute("max") == "6"
    browser.run("arguments[0].value = 3; arguments[0].dispatchEvent(new Event('input'))", slider)
    browser.wait("return document.querySelector('[data-when=now]').dataset.step === '3'")
    assert figures[1].get_attribute("data-step") == "2"
    assert browser.one("#at").text == "Step 3"
    # settings: the seed alone differs
    rows = [row.text for row in browser.all("#configuration tbody tr") if row.is_displayed()]
    assert rows == ["seed 0 1"]
    browser.one("#only-differing").click()
    rows = [row for row in browser.all("#configuration tbody tr") if row.is_displayed()]
    assert len(rows) == 6
    assert "91.20" in browser.one("#measured").text
    assert len(browser.all("svg polyline")) == 4  # a line of each run in both charts
    browser.open(path, width=360, touch=True)
    assert browser.run("return document.documentElement.scrollWidth") <= 360


def test_a_set_alone_is_one_picture(written, browser, tmp_path):
    run = written(steps=(10, 32))
    stage = run.stages[0]
    told = {"method": "kip", "step": 10, "dataset": {"name": "mnist"}}
    distilled = Distilled(stage.images, stage.labels, told)
    alone = tell_alone(distilled, stage.images, name="alone", class_names=run.class_names)
    path = tmp_path / "report.html"
    save_report(path, [alone])
    browser.open(path)
    (panel,) = browser.all(".panel")
    assert panel.find_element("css selector", "figcaption").text == "As distilled"
    assert not browser.one(".control").is_displayed()
    browser.point_at(browser.all(".tile button")[3])
    assert [each.text for each in browser.all("#detail .pair > div")] == ["As distilled"]
    assert not browser.all("#detail .was")
    assert "before" not in browser.one("#detail").text.lower()

    # beside a run it stays as it is
    save_report(path, [written().story, alone])
    browser.open(path)
    browser.one("#to-start").click()
    captions = [each.text for each in browser.all(".panel figcaption")]
    assert captions == ["Before · 50.0 % validation accuracy", "As distilled"]
    assert browser.one("#at").text == "Before"
    assert browser.one("#step").get_attribute("max") == "4"  # the steps of the run


def test_blocks_have_no_place_among_steps(written, browser, tmp_path):
    blocks = written(steps=(0, 7), result=7, method="label-solve", name="solved", seed=1).story
    path = tmp_path / "report.html"
    save_report(path, [written().story, blocks])
    browser.open(path)
    slider = browser.one("#step")
    assert slider.get_attribute("max") == "4"  # not 7
    captions = []
    for place in range(5):
        browser.run(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))",
            slider,
            place,
        )
        captions.append(browser.all(".panel figcaption")[1].text.split(" · ")[0])
    assert captions == ["Before"] + 4 * ["Labels learned, the result"]
    browser.one("#to-result").click()
    assert browser.one("#at").text == "The result of each"
    now = """return [...document.querySelectorAll("svg .now")]
               .map((each) => each.checkVisibility({ visibilityProperty: true }))"""
    assert browser.run(now) == [False, False]
    browser.one("#to-start").click()
    assert browser.run(now) == [True, True]

    save_report(path, [blocks])
    browser.open(path)
    assert browser.one("#at").text == "Labels learned, the result"
    browser.one("#to-start").click()
    assert browser.one("#at").text == "Before"


def test_a_curve_of_target_batches_says_so(written, browser, tmp_path):
    with_validation, without = written(name="one").story, written(name="two", seed=1).story
    series = {"loss": without.series["loss"], "batch_accuracy": ((0, 32), (0.5, 0.9))}
    path = tmp_path / "report.html"
    save_report(path, [with_validation, replace(without, series=series)])
    browser.open(path)
    accuracy = browser.all(".chart")[0]
    legend = [each.text for each in accuracy.find_elements("css selector", ".legend li")]
    assert legend == ["one", "two (target batch)"]
    thin = [
        "thin" in each.get_attribute("class").split()
        for each in accuracy.find_elements("css selector", "polyline")
    ]
    assert thin == [False, True]
