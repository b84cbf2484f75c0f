"""What a person sees: a progress bar, a table, paths."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kernel_distill._settings import Progress, Report

_SHOWN = {"loss": ("loss", "{:.5f}"), "validation_accuracy": ("validation", "{:.1%}")}


@contextmanager
def progress_bar(title: str, within: Callable[[], str] = str) -> Iterator[Report]:
    """A bar with the loss, the validation accuracy and the time left; gives what to report to.

    Args:
        title: what stands before it.
        within: says how far a step is, where that is known.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    class Within(ProgressColumn):
        def render(self, task: Task) -> str:
            del task
            return within()

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Within(),
        TextColumn("{task.fields[metrics]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Bar(*columns) as bar:
        task = bar.add_task(title, total=None, metrics="")
        latest: dict[str, float] = {}

        def report(progress: Progress) -> None:
            latest.update(progress.metrics)
            shown = [
                f"{label} {form.format(latest[name])}"
                for name, (label, form) in _SHOWN.items()
                if name in latest
            ]
            bar.update(
                task, total=progress.steps, completed=progress.step, metrics="  ".join(shown)
            )

        try:
            yield report
        finally:
            if bar.tasks[0].total is None:  # nothing was left to do, or done
                bar.update(task, visible=False)


@contextmanager
def waiting(what: str) -> Iterator[Callable[[str], None]]:
    """Says on a terminal, while it lasts, what is waited for; gives what to tell it to say next."""
    from rich.console import Console
    from rich.markup import escape

    with Console().status(escape(what)) as status:
        yield lambda text: status.update(escape(text))


def table(title: str, rows: Sequence[tuple[str, ...]], header: tuple[str, ...]) -> None:
    """Prints a table; the first column is text, the others are numbers."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    grid = Table(title=escape(title), title_justify="left", title_style="bold")
    for number, name in enumerate(header):
        grid.add_column(name, justify="left" if number == 0 else "right")
    for row in rows:
        grid.add_row(*map(escape, row))
    Console().print(grid)


def line(text: str, **style: Any) -> None:
    """Prints a line as it is: no markup, no wrapping of paths."""
    from rich.console import Console

    Console(soft_wrap=True, highlight=False).print(text, markup=False, **style)


def paths(folder: Path, names: tuple[str, ...]) -> None:
    """Prints where the files of a run are."""
    for name in names:
        if (folder / name).exists():
            line(f"  {folder / name}")
