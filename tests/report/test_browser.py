"""The page in Chromium: by mouse, by keyboard, by touch, in light and dark, wide and narrow."""

import base64
import io
import re
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from kernel_distill.artefact import Distilled
from kernel_distill.report import Table, save_report, tell_alone

pytestmark = pytest.mark.slow

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
HOSTILE = (
    "</script><script>hacked=1</script>",
    "<img src=x onerror=hacked=1>",
    "\"'><svg onload=hacked=1>",
)


class Browser:
    """Chromium, and what these tests ask of it."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path, *, width=1280, height=900, scheme="light", touch=False):
        """Opens a file; what was said on the console before is forgotten."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=touch,
        )
        self.command("Emulation.setTouchEmulationEnabled", enabled=touch)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.command("Emulation.setEmulatedMedia", features=[feature])
        self.driver.get(path.as_uri())
        self.wait("return document.querySelectorAll('.panel:not([data-step])').length === 0")

    def command(self, name, **options):
        return self.driver.execute_cdp_cmd(name, options)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, script):
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 10, poll_frequency=0.02).until(lambda _: self.run(script))

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def press(self, *keys):
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def point_at(self, element):
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).move_to_element(element).perform()

    def pixels(self, selector):
        """[n, height, width, 3] uint8 of the canvases."""
        given = self.run(
            """const copy = document.createElement("canvas");
               const context = copy.getContext("2d", { willReadFrequently: true });
               return [...document.querySelectorAll(arguments[0])].map((canvas) => {
                 const { width, height } = canvas;
                 [copy.width, copy.height] = [width, height];
                 context.drawImage(canvas, 0, 0);
                 const data = context.getImageData(0, 0, width, height).data;
                 return [width, height, btoa(String.fromCharCode(...data))];
               })""",
            selector,
        )
        return np.stack(
            [
                np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)[..., :3]
                for width, height, data in given
            ]
        )

    def screenshot(self):
        """[height, width, 3] uint8 of the window."""
        data = base64.b64decode(self.command("Page.captureScreenshot")["data"])
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))

    def detail(self):
        """What stands in the box of an image: the title and the label of each class; or None."""
        return self.run(
            """const box = document.getElementById("detail");
               return box.hidden ? null : [box.querySelector(".title").textContent,
                 [...box.querySelectorAll("li")].map((item) => [
                   item.querySelector(".class-name").textContent,
                   Number(item.querySelector(".value").textContent.replace("\\u2212", "-")),
                   item.querySelector(".bar").getBoundingClientRect().width])]"""
        )


@pytest.fixture(scope="module")
def chromium():
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    driver_program = shutil.which("chromedriver")
    if not (program and driver_program):
        pytest.skip(
            "needs Chromium and its driver, to open a page: apt-get install chromium "
            "chromium-driver"
        )
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    # containers run it as root, with little shared memory
    for option in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver_program))
    yield Browser(driver)
    driver.quit()


@pytest.fixture
def browser(chromium):
    """It must have nothing to say on its console, nor have asked for anything outside."""
    chromium.driver.get_log("browser")
    yield chromium
    assert chromium.driver.get_log("browser") == []
    asked = chromium.run("return performance.getEntriesByType('resource').map((each) => each.name)")
    assert [each for each in asked if not each.startswith("data:")] == []


@pytest.fixture(scope="module")
def run(written, tmp_path_factory):
    """A run of ten images of five classes, and its page."""
    run = written()
    path = tmp_path_factory.mktemp("run") / "report.html"
    save_report(path, [run.story])
    return run, path


def in_order(run, step):
    """Images of a step as the page has them, 0 to 255, and their labels: class after class."""
    (stage,) = (each for each in run.stages if each.step == step)
    order = np.argsort(np.arange(len(stage.images)) % len(run.class_names), kind="stable")
    return 255 * stage.images[order], stage.labels[order]


def test_the_slider_takes_the_images_from_before_to_the_result(run, browser):
    from selenium.webdriver import Keys

    run, path = run
    browser.open(path)
    slider = browser.one("#step")

    def assert_shown(step, text):
        browser.wait(f"return document.querySelector('[data-when=now]').dataset.step == {step}")
        images, _ = in_order(run, step)
        shown = browser.pixels("[data-when=now] canvas")
        np.testing.assert_allclose(shown, images, atol=0.501)
        before = browser.pixels("[data-when=before] canvas")
        np.testing.assert_allclose(before, in_order(run, 0)[0], atol=0.501)
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


def test_labels_appear_by_mouse_keyboard_and_touch(run, browser):
    from selenium.webdriver import Keys

    run, path = run
    _, labels = in_order(run, 10)
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


def test_hostile_names_do_nothing(written, browser, tmp_path):
    path = tmp_path / "report.html"
    run = written(3, (4, 4, 1), HOSTILE, name=HOSTILE[0])
    save_report(path, [run.story, written(3, name=HOSTILE[1]).story], title=HOSTILE[2])
    browser.open(path)
    assert browser.driver.title == browser.one("h1").text == HOSTILE[2]
    for place, name in enumerate(HOSTILE):
        browser.point_at(browser.all("[data-when=now] button")[place])
        title, bars = browser.detail()
        assert title == f"Image {place + 1}, class {name}"
        assert [bar[0] for bar in bars] == list(HOSTILE)
    assert browser.run("return typeof hacked") == "undefined"
    assert not browser.all("img, main script")


def test_a_program_that_gets_in_all_the_same_does_not_run(run, chromium, tmp_path):
    """Should the template ever let a text through, the page's policy holds it back."""
    _, path = run
    spoilt = tmp_path / "spoilt.html"
    spoilt.write_text(
        path.read_text().replace("<main>", "<main><script>hacked = 1</script>"
        "<img src='data:,' onerror='hacked = 1'>")
    )  # fmt: skip
    chromium.open(spoilt)
    assert chromium.run("return typeof hacked") == "undefined"
    (message, *_) = (each["message"] for each in chromium.driver.get_log("browser"))
    assert "Content Security Policy" in message


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
    images, _ = in_order(run, 20)
    np.testing.assert_allclose(browser.pixels("[data-when=now] canvas"), images, atol=0.501)
