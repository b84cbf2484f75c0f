"""The page as a file: what it holds, that it asks for nothing, that names in it stay names."""

import base64
import hashlib
import json
from html.parser import HTMLParser

import pytest

from kernel_distill._errors import DamagedFileError, InputError
from kernel_distill.artefact import Distilled
from kernel_distill.report import (
    Story,
    Table,
    is_page,
    read_page,
    save_report,
    tell_alone,
)

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror=window.hacked=1>",
    "\"'><svg onload=window.hacked=1>",
    "{{ 7 * 7 }} ${7 * 7} &lt;b&gt;",
    "<!--<script>",
    "line\u2028end\ud800",  # and half of a surrogate pair
)


class Parsed(HTMLParser):
    """Elements, in order, with their attributes and the texts in them."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)


@pytest.fixture
def page(tmp_path):
    """Writes a page, and gives its path and what a parser of another origin makes of it."""

    def page(*stories, **options):
        path = tmp_path / "report.html"
        save_report(path, stories, **options)
        assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
        return path, Parsed(path.read_text(encoding="utf-8"))

    return page


def test_the_figures_the_configuration_and_how_to_go_on(written, page):
    _, parsed = page(written().story)
    cells = [text.strip() for tag in ("th", "td") for text in parsed.texts[tag]]
    assert {"91.25 %", "50.00 %", "mnist 3.0.1", "fc1 (ntk)", "32", "none"} <= set(cells)
    (command, config, citation) = (text.strip() for text in parsed.texts["pre"])
    assert command == (
        "pip install kernel-distill==0.1.0 jax==0.10.2\n"
        "kernel-distill kip --config config.yaml --out again"
    )
    assert "ridge: 1.0e-06\n" in config
    assert "arxiv.org/abs/2107.13034" in citation
    assert parsed.texts["h1"] == ["a run"]


def test_a_run_from_python_shows_the_settings_of_its_method(written, page):
    story = written(config={"anything": 1}, settings={"batch_size": 77}).story
    _, parsed = page(story)
    assert story.settings["batch_size"] == "77"
    # the numbers of a random key are no seed, to be compared with those of the command line
    assert story.settings["random_key"] == "0, 3"
    assert "seed" not in story.settings
    assert "anything" not in story.settings  # what a caller wrote there says nothing of the run
    assert parsed.texts["pre"][0].strip() == "pip install kernel-distill==0.1.0 jax==0.10.2"


def alone(run, **metadata):
    """The result of a run as a set of its own."""
    stage = run.stages[0]
    told = {"dataset": {"name": "mnist"}, "packages": {"kernel_distill": "0.1.0"}} | metadata
    distilled = Distilled(stage.images, stage.labels, told)
    return tell_alone(distilled, stage.images, name="x", class_names=run.class_names)


def test_a_set_alone_has_nothing_before_it(written, page):
    run = written(steps=(10, 32))
    story = alone(run, method="kip", step=10, metrics={"test_accuracy": 0.75})
    assert (story.has_start, story.result, story.steps) == (False, 0, None)
    assert [frame.step for frame in story.sprites.frames] == [10]
    assert alone(run, method="kip").sprites.frames[0].step is None
    path, parsed = page(story)
    assert read_page(path).stories == (story,)
    attributes = [attributes for _, attributes in parsed.elements]
    assert [each["data-when"] for each in attributes if "data-when" in each] == ["now"]
    (control,) = (each for each in attributes if each.get("class") == "control")
    assert "hidden" in control
    assert parsed.texts["pre"][0].strip() == "pip install kernel-distill==0.1.0"
    assert "config.yaml" not in " ".join(parsed.texts["p"] + parsed.texts["summary"])


@pytest.mark.parametrize(
    ("method", "name", "cited"),
    [
        ("foreign", "an unknown method", False),
        ("rfad", "RFAD", False),
        ("kip", "Kernel Inducing Points (KIP)", True),
    ],
)
def test_of_a_set_of_others_no_more_is_said_than_is_known(written, page, method, name, cited):
    """The versions in its metadata are those of whoever read it."""
    story = alone(written(), method=method, origin={"file": "x.npz"})
    assert story.summary == f"10 images, distilled from mnist by {name}."
    assert story.again == ""
    assert "versions" not in story.figures
    assert ("arxiv.org/abs/2107.13034" in story.citation) == cited
    _, parsed = page(story)
    said = " ".join(parsed.texts["p"])
    assert "no more is known here than the settings" in said
    assert "made with these versions" not in said


def test_only_known_words_get_into_what_is_pasted_into_a_shell(written):
    """Whoever wrote the file."""
    packages = {"kernel_distill": "0.1.0", "jax": "1; rm -rf ~", "numpy": "1!2.0+a", "evil": "1"}
    packages |= {"scipy": "`reboot`", "--config": "1", "optax": "$(reboot)", "flax": "1\n2"}
    story = written(config={"command": "kip; reboot"}, packages=packages).story
    assert story.again == "pip install kernel-distill==0.1.0 'numpy==1!2.0+a'"
    told = json.loads(json.dumps(story.to_json())) | {"command": "reboot"}
    with pytest.raises(DamagedFileError, match="'reboot' runs nothing again"):
        Story.from_json(told)


def test_files_beside_a_page_are_named_where_they_are(written, page):
    story, labels_only = written().story, written(method="label-solve", config={}).story
    for of_run in (True, False):
        path, parsed = page(story, of_run=of_run)
        said = " ".join(" ".join(parsed.texts["p"]).split())
        assert ("images.png, labels.png and curves.png beside it" in said) == of_run
        assert ("it lies beside this page" in said) == of_run
        assert read_page(path).of_run == of_run
    assert "images.png" not in " ".join(page(labels_only)[1].texts["p"])


def test_a_table_is_read_back_too(written, page):
    table = Table("<b>", ("learned from", "fc1 (%)"), (("one", "91.20"), ("two", "")), note="of 5")
    stories = written().story, written(name="other").story
    path, _ = page(*stories, table=table)
    held = read_page(path)
    assert (held.stories, held.table) == (stories, table)
    assert is_page(path)
    path.write_text("<html>")
    assert not is_page(path)


def test_nothing_outside_is_referred_to(written, page):
    _, parsed = page(written().story, written(name="other").story)
    for _, attributes in parsed.elements:
        for name in ("src", "href", "action", "srcset", "data"):
            assert attributes.get(name, "#").startswith(("#", "data:,"))
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
    (style,) = parsed.texts["style"]
    assert "url(" not in style
    assert "@import" not in style


def test_only_the_pages_own_program_may_run(written, page):
    _, parsed = page(written().story)
    metas = [attributes for tag, attributes in parsed.elements if tag == "meta"]
    (policy,) = (each["content"] for each in metas if "http-equiv" in each)
    script = parsed.texts["script"][1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}';" in policy
    assert "unsafe" not in policy


def test_hostile_names_stay_names(written, page):
    def written_with(texts):
        story = written(
            12,
            class_names=texts,
            name=texts[0],
            dataset={"name": texts[1], "version": texts[2]},
            method=texts[4],
        ).story
        return page(story, title=texts[1], table=Table(texts[0], texts, (texts,)))

    _, calm = written_with(tuple("abcdef"))
    path, hostile = written_with(HOSTILE)
    # not an element more, and none with other attributes
    assert [(tag, list(names)) for tag, names in hostile.elements] == [
        (tag, list(names)) for tag, names in calm.elements
    ]
    assert hostile.texts["h1"] == [HOSTILE[1]]
    assert read_page(path).stories[0].class_names == HOSTILE  # in JSON, half a pair has a form


def test_a_page_is_read_back_as_it_was_told(written, page):
    story = written(23, (4, 4, 1)).story
    path, _ = page(story)
    assert read_page(path).stories == (story,)
    assert read_page(path.parent).stories == (story,)


def test_the_order_of_the_figures_stays(written, page):
    path, _ = page(written().story)
    assert list(read_page(path).stories[0].figures)[:2] == [
        "test accuracy, distilled",
        "test accuracy, before",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"scale": ', '"scale": NaN, "s": ', "NaN is no number"),
        ('"result": 3', '"result": 17', "a frame or a class that is not there"),
        ('"unit": "step"', '"unit": 5', "is no str"),
        ('"config": ', '"confic": ', "other fields"),
        ('"stories": [', '"stories": [], "s": [', "it tells of no run"),
        ('id="data"', 'id="date"', "no page of a run"),
    ],
)
def test_a_page_that_is_not_whole_is_said_to_be(written, page, old, new, message):
    path, _ = page(written().story)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DamagedFileError, match=message):
        read_page(path)


def test_a_page_cut_short_or_of_a_later_version_is_refused(written, page):
    path, _ = page(written().story)
    text = path.read_text()
    path.write_text(text.replace('"format_version": 1', '"format_version": 2'))
    with pytest.raises(InputError, match="Upgrade it"):
        read_page(path)
    path.write_text(text[: text.index('"frames"')])
    with pytest.raises(DamagedFileError, match="with --resume"):
        read_page(path)
    with pytest.raises(InputError, match="cannot read"):
        read_page(path.parent / "nowhere.html")
    with pytest.raises(InputError, match="needs a run"):
        save_report(path, [])
