"""What to cite of a method."""

METHOD_NAMES = {"kip": "Kernel Inducing Points (KIP)", "label-solve": "Label Solve"}

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


def method_citation(method: str) -> str:
    """BibTeX of the method's papers; empty where the method is not of this project."""
    return _PAPERS if method in METHOD_NAMES else ""
