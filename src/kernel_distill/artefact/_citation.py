"""What a method is called, and what to cite of it."""

from collections.abc import Mapping
from typing import Any

METHOD_NAMES = {"kip": "Kernel Inducing Points (KIP)", "label-solve": "Label Solve"}
_OF_OTHERS = {
    **{name.lower(): name for name in ("RFAD", "DC", "DSA", "DM")},
    "foreign": "an unknown method",
}

# the papers of KIP and Label Solve
_PAPERS = """@inproceedings{nguyen2021dataset,
  title={Dataset Meta-Learning from Kernel Ridge-Regression},
  author={Timothy Nguyen and Zhourong Chen and Jaehoon Lee},
  booktitle={International Conference on Learning Representations},
  year={2021},
  url={https://openreview.net/forum?id=l-PrrQrK0QR}
}
@inproceedings{nguyen2021infinitely,
  title={Dataset Distillation with Infinitely Wide Convolutional Networks},
  author={Timothy Nguyen and Roman Novak and Lechao Xiao and Jaehoon Lee},
  booktitle={Advances in Neural Information Processing Systems},
  year={2021},
  url={https://arxiv.org/abs/2107.13034}
}"""


def method_name(metadata: Mapping[str, Any]) -> str:
    """What people call the method that made a set, as far as its metadata tell."""
    method = str(metadata.get("method", "foreign"))
    return METHOD_NAMES.get(method) or _OF_OTHERS.get(method, method)


def made_here(metadata: Mapping[str, Any]) -> bool:
    """Whether the metadata tell of a run of this library.

    A set that was read from a file of others has `origin`: the versions in its metadata may be
    those that read it.
    """
    return str(metadata.get("method")) in METHOD_NAMES and "origin" not in metadata


def method_citation(method: str) -> str:
    """BibTeX of the method's papers; empty where the method is not of this project."""
    return _PAPERS if method in METHOD_NAMES else ""
