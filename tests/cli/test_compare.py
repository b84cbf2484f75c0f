"""`kernel-distill compare`."""

import json
import re


def test_compare(kip_run, cli, tmp_path):
    path, _ = kip_run
    options = ("--network", "mlp", "--width", 16, "--seeds", 2, "--steps", 5, "--out", tmp_path)
    outcome = cli("compare", path, *options, "--baselines", "kmeans", "nearest-kmeans")
    assert (outcome.status, outcome.err) == (0, "")
    table = (tmp_path / "table.md").read_text().splitlines()
    assert (
        table[0] == "| learned from | images | fc1 ntk (%) | mlp 16 (%) | nearest neighbour (%) |"
    )
    accuracy = json.loads((path / "result.json").read_text())["test_accuracy"]
    assert table[2].startswith(f"| {path} | 20 | {100 * accuracy:.2f} | ")
    assert re.match(r"\| kmeans \| 20 \| \d\d\.\d\d ± \d+\.\d\d \| \d", table[3])
    assert re.match(r"\| nearest-kmeans \| 20 \|  \|  \| 9\d\.\d\d ± ", table[4])
    for name in ("table.md", "table.csv", "table.png", "comparison.json"):
        assert f"  {tmp_path / name}\n" in outcome.out
        assert (tmp_path / name).stat().st_size > 0
    assert "did you mean" in cli("compare", path, *options, "--baselines", "kmeanz").err
    assert cli("compare", "--out", tmp_path).status == 1
