"""benchmarks/processes.py and networks.py: a whole run, processes that stop, the formula. Times are not asserted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.environment import optional


@pytest.fixture
def mpi():
    optional("mpi4py", extra="mpi")
    if not Path(sys.executable).with_name("mpiexec").exists():
        pytest.skip("there is no mpiexec beside python")


def test_a_run_compares_times_and_predicts(mpi, module, monkeypatch, tmp_path, capsys):
    processes = module("processes")
    monkeypatch.setattr(processes, "BURST", 1e-6)
    monkeypatch.setattr(processes, "SIZES", processes.SIZES[:6])
    options = "--model", "mlp", "--batch", "32", "--rounds", "1", "--json", "--out", str(tmp_path)
    monkeypatch.setattr(sys, "argv", ["processes.py", *options])
    processes.main()
    results = json.loads(capsys.readouterr().out)
    assert results == json.loads((tmp_path / "processes.json").read_text(encoding="utf-8"))
    assert (tmp_path / "processes.png").read_bytes().startswith(b"\x89PNG")
    case = results["mlp, batch 32"]
    one, two = case["minigrad"], case["minigrad, 2 processes"]
    assert one["median_ms"] > 0 and two["median_ms"] > 0 and case["speedup"]["median"] > 0
    assert two["gradient_difference"] == two["loss_difference"] == 0
    assert 0 < two["sent_bytes"] <= 2 * two["gradient_bytes"]
    assert ("median_ms" in case["PyTorch"]) == (case["ratio"] is not None)
    costs = results["communication"]["all_sum"]
    assert costs["alpha_us"] >= 0 and costs["beta_ns"] >= 0
    steps = results["predictions"]["steps"]
    assert list(steps["mlp, 128 images for each process"]["InfiniBand HDR"]["processes"]) == [
        str(2**i) for i in range(1, 13)
    ]
    assert "2048" not in steps["mlp, 1024 images shared by all"]["InfiniBand HDR"]["processes"]


def test_processes_that_stop_end_the_benchmark_with_a_sentence(mpi, module, tmp_path):
    workers = module("processes").Workers("workers", 2, tmp_path / "socket")
    try:
        with pytest.raises(SystemExit, match="a process stopped"):
            workers.tell("no such request")
    finally:
        workers.stop()


def test_the_formula(module):
    networks = module("networks")
    work = networks.Work(lambda images: 1e-3 * images, update=5e-3, size=10**6)
    network = networks.Network(alpha=1e-6, rate=1e9, source="")
    assert networks.step_time(work, network, 1, 8, 16) == pytest.approx(8 * 16e-3 + 5e-3)
    assert networks.step_time(work, network, 2, 8, 16) == pytest.approx(4 * 16e-3 + 2e-6 + 1e-3 + 5e-3)
    assert networks.step_time(work, network, 3, 8, 16) == pytest.approx(3 * 16e-3 + 4e-6 + 2e-3 + 5e-3)  # two nodes
    assert networks.step_time(work, network, 4096, 4096, 16) == pytest.approx(
        16e-3 + 8190e-6 + 2e-3 * 4095 / 4096 + 5e-3
    )


def test_efficiencies(module):
    networks = module("networks")
    work = networks.Work(lambda images: 1e-3 * images, update=0.0, size=0)
    free, slow = networks.Network(0.0, 1e9, ""), networks.Network(64e-3, 1e9, "", largest=64)
    assert {efficiency for _, efficiency in networks.predict_growing(work, free, 2, 64).values()} == {1.0}
    assert networks.predict_shared(work, free, 1024, 8)[1024] == pytest.approx((1e-3, 1.0))
    growing = networks.predict_growing(work, slow, 1, 128)
    assert max(growing) == 64
    assert growing[2] == pytest.approx((256e-3, 0.5))
    assert networks.pays_up_to(growing) == 2
    assert networks.pays_up_to(networks.predict_shared(work, slow, 128, 8)) == 1


def test_costs_of_messages_and_bytes_are_found(module):
    sizes = {8: 1, 4096: 1, 1 << 20: 2, 1 << 24: 2}
    seconds = {size: messages * 3e-6 + size * 2e-10 for size, messages in sizes.items()}
    assert module("processes").fit(seconds, sizes) == pytest.approx((3e-6, 2e-10))


@pytest.mark.parametrize("seed", range(8))
def test_costs_are_not_negative_on_a_noisy_machine(module, seed):
    """As when another process runs during some of the sums."""
    scipy = optional("scipy.optimize", extra="test")
    sizes, rng = [8, 64, 4096, 1 << 20, 1 << 24], np.random.default_rng(seed)
    messages, seconds = np.array([1, 1, 1, 2, 2]), np.exp(rng.normal(-8, 3, 5))
    rows = np.stack([messages, sizes], axis=1) / seconds[:, None]
    expected = scipy.nnls(rows / rows.max(0), np.ones(5))[0] / rows.max(0)
    processes = module("processes")
    assert processes.fit(dict(zip(sizes, seconds)), dict(zip(sizes, messages))) == pytest.approx(
        tuple(expected), rel=1e-9, abs=0
    )
    assert processes.in_gb(np.inf) is None  # and not the "Infinity" that JSON does not know
