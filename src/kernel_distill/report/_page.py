"""The page as a file: written from stories, and read back into them."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kernel_distill._errors import DamagedFileError, InputError
from kernel_distill._files import PathLike, write_atomically
from kernel_distill.report._story import Story

FILE_NAME = "report.html"
FORMAT_VERSION = 1

_STYLES = ("page.css", "images.css")
_SCRIPTS = ("sheets.js", "detail.js", "curves.js", "start.js")
# the first of its kind in the page; no text of the data can hold a `<`
_DATA_BEGINS = '<script type="application/json" id="data">'


@dataclass(frozen=True)
class Table:
    """A table for people.

    Attributes:
        title: above it.
        header: of its columns.
        rows: a text for each column.
        note: below it.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Page:
    """What a page holds.

    Attributes:
        stories: of the runs.
        table: that of what was measured of all of them, where there is one.
        of_run: whether it lies in the folder of its run, beside its pictures and `config.yaml`.
    """

    stories: tuple[Story, ...]
    table: Table | None = None
    of_run: bool = False


def save_report(
    path: PathLike,
    stories: Sequence[Story],
    *,
    title: str = "",
    table: Table | None = None,
    of_run: bool = False,
) -> None:
    """Write the page of one run, or of several side by side, whole or not at all.

    It has no references to anything outside, and a policy that forbids any: whatever the names in
    it hold, nothing but the page's own program runs in it.

    Args:
        path: the file.
        stories: of the runs.
        title: of the page; by default the name of the first run.
        table: one more table, of what was measured of all of them.
        of_run: whether the file lies in the folder of its run, whose files it then refers to.

    Raises:
        InputError: there are no stories.
        StorageError: it could not be written.
    """
    if not stories:
        raise InputError("a page needs a run to tell of; got none")
    text = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            title=title or stories[0].name,
            stories=stories,
            table=table,
            of_run=of_run,
            data={
                "format_version": FORMAT_VERSION,
                "of_run": of_run,
                "table": asdict(table) if table else None,
                "stories": [each.to_json() for each in stories],
            },
            figures=_side_by_side([story.figures for story in stories]),
            settings=_side_by_side([story.settings for story in stories]),
            style="\n".join(map(_source, _STYLES)),
            script="\n".join(map(_source, _SCRIPTS)),
        )
    )
    # a name of a class may hold half of a surrogate pair, which UTF-8 has no bytes for
    write_atomically(path, text.encode("utf-8", errors="replace"))


def is_page(path: PathLike) -> bool:
    """Whether a file is one that `save_report` wrote, whole or not.

    Raises:
        InputError: it cannot be read.
    """
    return _DATA_BEGINS in _text(Path(path))


def read_page(path: PathLike) -> Page:
    """What a page holds.

    Args:
        path: a `report.html` that `save_report` wrote, or the folder of a run.

    Raises:
        InputError: there is no such file; it was written by a later version of this library.
        DamagedFileError: it is not such a page, or not whole.
    """
    path = Path(path)
    path = path / FILE_NAME if path.is_dir() else path
    text = _text(path)
    try:
        held = text.split(_DATA_BEGINS, 1)[1].split("<", 1)[0]
        data: Any = json.loads(held, parse_constant=_refused)
        version = data["format_version"]
        if version == FORMAT_VERSION:
            stories = tuple(map(Story.from_json, data["stories"]))
            if not stories:
                raise ValueError("it tells of no run")
            return Page(
                stories=stories,
                table=None if data["table"] is None else _table(**data["table"]),
                of_run=bool(data["of_run"]),
            )
    except (ValueError, IndexError, KeyError, TypeError, DamagedFileError) as error:
        raise _damaged(path, error) from error
    raise InputError(
        f"{path} has format version {version}; this kernel-distill reads {FORMAT_VERSION}. Upgrade "
        "it: pip install --upgrade kernel-distill"
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], note: str) -> Table:
    return Table(str(title), _texts(header), tuple(map(_texts, rows)), str(note))


def _texts(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(str, values))


def _damaged(path: Path, why: object) -> DamagedFileError:
    return DamagedFileError(
        f"{path} is no page of a run, or not whole ({why}). Write it again: the run's command with "
        "--resume"
    )


@dataclass(frozen=True)
class _Row:
    """A line of the tables that have a column a run."""

    name: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        return len(set(self.values) - {""}) > 1  # what is not known is no difference


def _side_by_side(columns: Sequence[dict[str, str]]) -> list[_Row]:
    names = dict.fromkeys(name for column in columns for name in column)
    return [_Row(name, tuple(column.get(name, "") for column in columns)) for name in names]


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number that a page holds")


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("kernel_distill.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # in the order in which people read them; what is no JSON never gets into a page
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "allow_nan": False}
    environment.filters["per_cent"] = lambda value: f"{100 * value:.1f}"
    environment.filters["policy_hash"] = _policy_hash
    return environment


def _source(name: str) -> str:
    """A file of the page as it stands, not as a template."""
    environment = _environment()
    return environment.loader.get_source(environment, name)[0]


def _policy_hash(text: str) -> str:
    """By which a policy of content security knows a text that may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
