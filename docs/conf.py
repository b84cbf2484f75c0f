"""How Sphinx builds the site: `make docs`.

Sphinx with MyST, as JAX, flax and optax have it: pages are Markdown that GitHub shows too, parts of
README.md are included with their links mended, and furo needs nothing from a network. Material for
MkDocs, the other choice, is no longer developed further.
"""

import sys
from importlib import metadata
from pathlib import Path

import ziamath

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "kernel-distill"
author = "The kernel-distill maintainers"
project_copyright = author
release = metadata.version("kernel-distill")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "docstrings",
    "help_texts",
    "mathml",
    "repository_links",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_attr_annotations = False  # they stand in the signature, and shapes may have stars
# an argument a line, where one does not hold them all
python_maximum_signature_line_length = 90
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"kernel-distill {release}"
# a font for formulas, where the reader has none: most Linuxes
html_static_path = [
    "_static",
    str(Path(ziamath.__file__).parent / "fonts" / "STIXTwoMath-Regular.ttf"),
]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "source_repository": "https://github.com/kernel-distill/kernel-distill/",
    "source_branch": "main",
    "source_directory": "docs/",
}
