"""What a method is called, and what to cite of it."""

from collections.abc import Mapping
from typing import Any

METHOD_NAMES = {
    "kip": "Kernel Inducing Points (KIP)",
    "label-solve": "Label Solve",
    "unrolled": "unrolled training (dataset distillation)",
    "gradient": "gradient matching",
    "trajectory": "trajectory matching",
    "distribution": "distribution matching",
    "features": "neural feature regression",
}
_OF_OTHERS = {
    **{name.lower(): name for name in ("RFAD", "DC", "DSA", "DM")},
    "foreign": "an unknown method",
}

# of KIP and Label Solve
_KERNELS = """@inproceedings{nguyen2021dataset,
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
_PAPERS = {
    "kip": _KERNELS,
    "label-solve": _KERNELS,
    "unrolled": """@article{wang2018dataset,
  title={Dataset Distillation},
  author={Tongzhou Wang and Jun-Yan Zhu and Antonio Torralba and Alexei A. Efros},
  journal={arXiv preprint arXiv:1811.10959},
  year={2018},
  url={https://arxiv.org/abs/1811.10959}
}
@inproceedings{sucholutsky2021soft,
  title={Soft-Label Dataset Distillation and Text Dataset Distillation},
  author={Ilia Sucholutsky and Matthias Schonlau},
  booktitle={International Joint Conference on Neural Networks},
  year={2021},
  url={https://arxiv.org/abs/1910.02551}
}""",
    "gradient": """@inproceedings{zhao2021dataset,
  title={Dataset Condensation with Gradient Matching},
  author={Bo Zhao and Konda Reddy Mopuri and Hakan Bilen},
  booktitle={International Conference on Learning Representations},
  year={2021},
  url={https://arxiv.org/abs/2006.05929}
}
@inproceedings{zhao2021differentiable,
  title={Dataset Condensation with Differentiable Siamese Augmentation},
  author={Bo Zhao and Hakan Bilen},
  booktitle={International Conference on Machine Learning},
  year={2021},
  url={https://arxiv.org/abs/2102.08259}
}""",
    "trajectory": """@inproceedings{cazenavette2022dataset,
  title={Dataset Distillation by Matching Training Trajectories},
  author={George Cazenavette and Tongzhou Wang and Antonio Torralba and Alexei A. Efros
    and Jun-Yan Zhu},
  booktitle={IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year={2022},
  url={https://arxiv.org/abs/2203.11932}
}""",
    "distribution": """@inproceedings{zhao2023distribution,
  title={Dataset Condensation with Distribution Matching},
  author={Bo Zhao and Hakan Bilen},
  booktitle={IEEE/CVF Winter Conference on Applications of Computer Vision},
  year={2023},
  url={https://arxiv.org/abs/2110.04181}
}""",
    "features": """@inproceedings{zhou2022dataset,
  title={Dataset Distillation using Neural Feature Regression},
  author={Yongchao Zhou and Ehsan Nezhadarya and Jimmy Ba},
  booktitle={Advances in Neural Information Processing Systems},
  year={2022},
  url={https://arxiv.org/abs/2206.00719}
}""",
}


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
    return _PAPERS.get(method, "")
