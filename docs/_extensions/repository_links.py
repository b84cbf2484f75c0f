"""Links of pages to files of the repository that the site does not have, as GitHub shows them."""

from typing import Any

from sphinx.application import Sphinx


def _lead_to_repository(app: Sphinx, page: str, source: list[str]) -> None:
    up = "../" * page.count("/") + "../"
    root = app.config.html_theme_options["source_repository"]
    source[0] = source[0].replace(f"]({up}", f"]({root}blob/main/")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", _lead_to_repository)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
