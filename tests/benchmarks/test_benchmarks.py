"""Every script of benchmarks/ runs, compares results, and writes JSON and a plot. Times are not asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALONE = ("--threads", "1")  # with several, OpenBLAS's threads spin on the cores that other tests need
SMALLEST = {
    "vae_step": ("--model", "mlp", "--batch", "8"),
    "conv": ("--batch", "2", *ALONE),
    "overhead": ALONE,
    "scaling": ("--small", *ALONE),
    "transforms": ALONE,
}


@pytest.fixture
def run(module, monkeypatch, capsys):
    """Runs a benchmark in this process, which need not import its peers again; returns what it prints."""

    def call(script, *options):
        monkeypatch.setattr(sys, "argv", [f"{script}.py", *options])
        module(script).main()
        return capsys.readouterr().out

    return call


@pytest.mark.parametrize("script", SMALLEST)
def test_a_benchmark_runs_and_writes_its_results(script, run, tmp_path):
    results = json.loads(run(script, *SMALLEST[script], "--rounds", "1", "--json", "--out", str(tmp_path)))
    assert results == json.loads((tmp_path / f"{script}.json").read_text(encoding="utf-8"))
    assert (tmp_path / f"{script}.png").read_bytes().startswith(b"\x89PNG")
    assert results.pop("machine")["versions"]["numpy"]
    for case in results.values():
        assert any(name.startswith("ratio") for name in case)
        ours = next(iter(case.values()))
        assert ours["median_ms"] > 0


def test_without_a_gpu_cpu_gpu_measures_the_cpu_and_gives_a_reason(run, tmp_path):
    few = "--small", "--model", "mlp", "--batches", "4", "--kernel-batch", "2", "--rounds", "1", "--device", "cpu"
    results = json.loads(run("cpu_gpu", *few, *ALONE, "--json", "--out", str(tmp_path)))
    assert results == json.loads((tmp_path / "cpu_gpu.json").read_text(encoding="utf-8"))
    assert (tmp_path / "cpu_gpu.png").read_bytes().startswith(b"\x89PNG")
    point, left_out = results["steps"]["strict float32"]["mlp"]["4"], {"skipped": "left out: --device cpu"}
    assert point["NumPy eager"]["median_ms"] > 0 and point["NumPy jit"]["median_ms"] > 0
    assert [point["CuPy jit"], results["machine"]["gpu"], results["roofline"]["cuda"]] == [left_out] * 3
    kernels = results["roofline"]["cpu"]["kernels"]
    dense = kernels["dense 784→400 forward"]
    assert dense["flops"] == 2 * 2 * 784 * 400 and dense["bytes"] == 4 * (2 * 784 + 784 * 400 + 2 * 400)
    convolution = kernels["conv 64→128 on 7² in kernel"]
    assert convolution["flops"] == 2 * 2 * 49 * 9 * 64 * 128
    assert convolution["bytes"] == 4 * (2 * 49 * 64 + 9 * 64 * 128 + 2 * 49 * 128)
    assert all(kernel["tflops"] > 0 for kernel in kernels.values())


WRONG = [
    ("overhead", "--rounds", "0"),
    ("overhead", "--threads", "999"),
    ("overhead", "--out", "/proc/nowhere"),
    ("vae_step", "--batch", "-1"),
    ("conv", "--what"),
    ("scaling", "--rounds", "two"),
    ("processes", "--batch", "31"),
    ("processes", "--threads", "1"),
    ("cpu_gpu", "--batches", "0"),
    ("cpu_gpu", "--device", "tpu"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=" ".join)
def test_a_wrong_option_gives_one_line_and_exit_code_2(wrong, module, monkeypatch, capsys):
    script, *options = wrong
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *options])
    with pytest.raises(SystemExit) as stop:
        module(script).main()
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_wrong_option_prints_no_traceback():
    command = [sys.executable, str(ROOT / "benchmarks/conv.py"), "--what"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
