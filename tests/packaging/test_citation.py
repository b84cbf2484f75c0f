"""CITATION.cff says what the package and its data cards say."""

import tomllib
from pathlib import Path

import yaml

from kernel_distill.artefact import METHOD_NAMES, method_citation

ROOT = Path(__file__).parents[2]


def test_citation() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert cited["version"] == project["version"]
    assert cited["license"] == project["license"]
    assert len(cited["references"]) == 2
    for paper in cited["references"]:
        authors = (f"{each['given-names']} {each['family-names']}" for each in paper["authors"])
        for part in (paper["title"], " and ".join(authors), str(paper["year"]), paper["url"]):
            for method in ("kip", "label-solve"):
                assert f"{{{part}}}" in method_citation(method)


def test_every_method_has_its_papers() -> None:
    for method in METHOD_NAMES:
        for entry in method_citation(method).split("\n@"):
            assert entry.removeprefix("@").startswith(("inproceedings{", "article{"))
            for field in ("title", "author", "year", "url"):
                assert f"\n  {field}={{" in entry
