"""Runs written by hand, their arrays and what their artefacts say; and Chromium, to open pages."""

import base64
import io
import shutil
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kernel_distill.artefact import Distilled, Stage
from kernel_distill.report import Story, save_report, tell

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
STEPS = (0, 1, 3, 10, 32)
CONFIG = {"command": "kip", "dataset": "mnist", "steps": 32, "augment": [], "ridge": 1e-6}


@dataclass(frozen=True)
class Written:
    """A run as its page tells it, and the arrays that it was told from."""

    story: Story
    stages: tuple[Stage, ...]
    class_names: tuple[str, ...]

    def in_order(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Images of a step as the page has them, 0 to 255, and their labels: class after class."""
        (stage,) = (each for each in self.stages if each.step == step)
        order = np.argsort(np.arange(len(stage.images)) % len(self.class_names), kind="stable")
        return 255 * stage.images[order], stage.labels[order]


def write(
    rows: int = 10,
    shape: tuple[int, ...] = (6, 5, 3),
    class_names: tuple[str, ...] = ("cat", "dog", "ant", "bee", "cow"),
    *,
    name: str = "a run",
    result: int = 10,
    steps: tuple[int, ...] = STEPS,
    seed: int = 0,
    config: dict[str, Any] = CONFIG,
    **metadata: Any,
) -> Written:
    """The images and labels of each step are random; image i is of class i modulo the classes."""
    rng = np.random.default_rng(seed)
    classes = len(class_names)
    one_hot = (np.eye(classes)[np.arange(rows) % classes] - 1 / classes).astype(np.float32)
    stages = tuple(
        Stage(
            step,
            rng.random((rows, *shape)).astype(np.float32),
            (one_hot + (step > 0) * rng.normal(size=one_hot.shape)).astype(np.float32),
        )
        for step in steps
    )
    chosen = stages[steps.index(result)]
    told = {
        "method": "kip",
        "dataset": {"name": "mnist", "version": "3.0.1", "train_size": 54_000},
        "architectures": [{"name": "fc1", "kernel": "ntk"}],
        "packages": {"python": "3.11.7", "kernel_distill": "0.1.0", "jax": "0.10.2"},
        "step": result,
        "seed": [0, 3],
    }
    metrics = [
        {"step": step, "validation_accuracy": 0.5 + step / 100, "loss": 1 / (1 + step)}
        for step in steps
    ]
    story = tell(
        Distilled(chosen.images, chosen.labels, told | metadata),
        stages,
        name=name,
        class_names=class_names,
        labels_before=one_hot,
        result={"test_accuracy": 0.9125, "initial_test_accuracy": 0.5, "steps": steps[-1]},
        metrics=metrics,
        config=config | {"seed": seed},
    )
    return Written(story, stages, class_names)


@pytest.fixture(scope="session")
def written():
    """Writes a run: `written(rows, shape, class_names, ...)`."""
    return write


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


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run of ten images of five classes, and its page."""
    run = write()
    path = tmp_path_factory.mktemp("run") / "report.html"
    save_report(path, [run.story])
    return run, path
