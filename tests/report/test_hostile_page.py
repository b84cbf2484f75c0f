"""The page in Chromium: names that would be programs."""

import pytest

from kernel_distill.report import save_report

pytestmark = pytest.mark.slow

HOSTILE = (
    "</script><script>hacked=1</script>",
    "<img src=x onerror=hacked=1>",
    "\"'><svg onload=hacked=1>",
)


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
