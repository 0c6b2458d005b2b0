"""benchmarks/cpu_gpu.py: summary, tables and figure of a synthetic record with a GPU; timing; competitors."""

from __future__ import annotations

import io
import json
import sys
import time
import types
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

import minigrad as mg
from minigrad import backends
from tests.support.environment import optional
from vae.models import MODELS

BATCHES = (8, 32, 128, 512, 2048, 8192)
STEPS = {  # milliseconds at batch 0, and for each image
    "NumPy eager": (3.0, 0.25),
    "NumPy jit": (1.0, 0.16),
    "PyTorch CPU": (1.5, 0.15),
    "CuPy eager": (6.0, 0.0006),
    "CuPy jit": (0.12, 0.0004),
    "PyTorch eager": (0.8, 0.00045),
    "PyTorch eager, fused Adam": (0.6, 0.00045),
    "PyTorch compiled": (0.3, 0.0004),
    "PyTorch CUDA graph": (0.15, 0.00045),
    "JAX jit": (0.35, 0.0004),
}
KERNELS = {  # FLOP a byte, TFLOP/s
    "conv 1→32 on 28² forward": (4, 11.0),
    "conv 32→64 on 14² forward": (50, 35.0),
    "conv 64→128 on 7² forward": (300, 46.9),
    "conv 64→128 on 7² in images": (300, 40.2),
    "conv 64→128 on 7² in kernel": (300, 26.8),
    "dense 784→400 forward": (110, 38.0),
    "product of 4096²": (680, 52.0),
    "Adam": (0.36, 1.3),
    "normals": (0.25, 0.86),
}
REASON = "no CuPy here: install it"


def statistics(ms):
    return {"median_ms": ms, "lower_quartile_ms": 0.95 * ms, "upper_quartile_ms": 1.08 * ms, "minimum_ms": 0.93 * ms}


def roofline(peak, bandwidth, batch):
    found = {}
    for name, (intensity, tflops) in KERNELS.items():
        entry = statistics(0.1) | {"intensity": intensity, "tflops": tflops, "gbs": 1e3 * tflops / intensity}
        found[name] = entry | {"of_roof": tflops / min(peak, intensity * bandwidth / 1e3)}
    roofs = {"float32_tflops": peak, "float32_from": "device properties", "bandwidth_gbs": bandwidth}
    return {"batch": batch, "roofs": roofs, "kernels": found}


def make_record(gpu):
    """A record as `cpu_gpu` writes it, after a round trip through JSON; with or without a GPU."""

    def entry(who, batch, size, tf32):
        if not gpu and who not in ("NumPy eager", "NumPy jit", "PyTorch CPU"):
            return {"skipped": REASON}
        if (tf32 and who.startswith("CuPy")) or (who == "PyTorch compiled" and batch != 128):
            return {"skipped": "not here"}
        launch, each = STEPS[who]
        return statistics(launch + size * each * batch * (0.6 if tf32 else 1))

    def steps(names, tf32):
        return {
            model: {str(b): {who: entry(who, b, size, tf32) for who in names} for b in BATCHES}
            for model, size in (("mlp", 0.5), ("conv", 1))
        }

    record = {
        "machine": {"threads": 2, "gpu": {"name": "NVIDIA Synthetic"} if gpu else {"skipped": REASON}},
        "steps": {"strict float32": steps(STEPS, False), "TF32": steps(list(STEPS)[3:], True)},
        "roofline": {
            "cpu": roofline(100.0, 4000.0, 128),
            "cuda": roofline(67.0, 4300.0, 1024) if gpu else {"skipped": REASON},
        },
    }
    return json.loads(json.dumps(record))


def render_tables(module, record):
    out = io.StringIO()
    Console(width=120, file=out).print(module("summary").tables(record))
    return out.getvalue()


def texts_of(figure):
    """All text of a figure, line breaks as spaces."""
    import matplotlib.text

    return " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text)).replace("\n", " ")


def test_summary_with_a_gpu_has_floor_crossover_and_goals(module, tmp_path):
    record = make_record(gpu=True)
    found = record["summary"] = module("summary").summarise(record)
    assert found["launch_floor"]["conv"]["jit"] == {"ms": pytest.approx(0.12 + 0.0004 * 8), "batch": 8}
    assert found["crossover"]["conv"]["jit"]["batch"] == 8  # 0.12 ms beside 2.28
    eager = found["crossover"]["conv"]["eager"]  # 6.02 ms beside 11 at 32, and beside 5 at 8
    assert (eager["batch"], eager["cpu_ms"]) == (32, pytest.approx(11.0))
    goals = list(found["goals"].values())
    assert goals[0]["measured"] == pytest.approx((0.12 + 0.0512) / (0.8 + 0.0576)) and goals[0]["met"]
    assert goals[1]["measured"] == pytest.approx((0.12 + 0.0512) / (0.15 + 0.0576)) and goals[1]["met"]
    assert goals[2]["measured"] == pytest.approx(26.8 / 67) and not goals[2]["met"]
    assert goals[3]["measured"] == pytest.approx(4 * 0.86 / 4.3) and goals[3]["met"]
    text = render_tables(module, record)
    assert "TF32" in text and "batch 32" in text and "not met" in text and "NVIDIA" not in text
    figure = module("figure").draw(record)
    figure.savefig(tmp_path / "made_up.png", dpi=100)
    shown = texts_of(figure)
    assert "launch floor, jit: 0.123 ms" in shown and "eager: GPU faster from batch 32" in shown
    assert "conv, TF32" in shown and "not measured" not in shown


def test_without_a_gpu_every_part_gives_the_reason(module):
    record = make_record(gpu=False)
    found = record["summary"] = module("summary").summarise(record)
    assert found["crossover"]["mlp"] == {"eager": {"skipped": REASON}, "jit": {"skipped": REASON}}
    assert all(goal == {"skipped": REASON} for goal in found["goals"].values())
    text = render_tables(module, record)
    assert text.count(REASON) == 1 and "Kernels on cpu" in text and "skipped [1]" in text
    shown = texts_of(module("figure").draw(record))
    assert shown.count(f"not measured: {REASON}") == 3  # both models' steps, and the roofline
    assert "TF32" not in shown and "launch floor" not in shown


def test_no_crossover_where_the_gpu_is_never_faster(module):
    record = make_record(gpu=True)
    for point in record["steps"]["strict float32"]["mlp"].values():
        point["CuPy jit"] = statistics(1e4)
    record["summary"] = module("summary").summarise(record)
    assert record["summary"]["crossover"]["mlp"]["jit"] == {"batch": None}
    assert "no batch measured" in render_tables(module, record)
    module("figure").draw(record)


# Time


def test_events_that_miss_the_work_are_ignored(module):
    Span, summary = (getattr(module("device"), name) for name in ("Span", "summary"))
    held_up = [Span(0.98, 1.0), Span(0.98, 3.0), Span(0.97, 1.0)]
    assert summary(held_up, 10) == {
        "median_ms": 98.0,
        "lower_quartile_ms": 97.5,
        "upper_quartile_ms": 98.0,
        "minimum_ms": 97.0,
        "steps": 10,
        "clock": "events",
    }
    for events in (0.1, None):
        found = summary([Span(events, 1.0), Span(events, 1.2)], 10)
        assert (found["minimum_ms"], found["clock"]) == (100.0, "wall clock")


def test_queued_steps_are_timed_between_events_and_synchronised_once(module, monkeypatch):
    """On a simulated device: a step takes 2 ms, and the host takes 0.1 ms to queue it."""
    device, now, queue, waits = module("device"), [0.0], [0.0], []
    monkeypatch.setattr(device, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))

    class Event:
        def record(self):
            self.at = max(queue[0], now[0])

    def step():
        queue[0] = max(queue[0], now[0]) + 2e-3
        now[0] += 1e-4

    def synchronise():
        waits.append(now[0])
        now[0] = max(now[0], queue[0])

    start = device.stopwatch(synchronise, Event, lambda first, last: 1e3 * (last.at - first.at))
    found = device.measure_queued({"simulated": (step, start)}, rounds=3)["simulated"]
    assert found["median_ms"] == pytest.approx(2) and found["clock"] == "events"
    assert found["steps"] == 25 and len(waits) == 2 * (1 + 3)  # a pilot and three rounds, before and after each


# A run with a GPU


@pytest.fixture
def fake_gpu(monkeypatch):
    """The stand-in as backend "cuda", with the parts of CuPy's `cuda` that the benchmark uses."""
    from tests.support import cuda_shim, stand_in

    if cuda_shim.GXX is None:
        pytest.skip("the stand-in compiles kernels with g++, which is not installed")

    class Event:
        def record(self):
            self.at = time.perf_counter()

    runtime = types.SimpleNamespace(
        deviceSynchronize=lambda: None,
        memGetInfo=lambda: (3 * 10**9, 4 * 10**9),
        getDeviceProperties=lambda i: {"name": b"Fake GPU"},
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13000,
    )
    device = types.SimpleNamespace(
        id=0, compute_capability="90", attributes={"MultiProcessorCount": 132, "ClockRate": 1980000}
    )
    cuda = types.SimpleNamespace(
        runtime=runtime,
        Device=lambda: device,
        Event=Event,
        get_elapsed_time=lambda first, last: 1e3 * (last.at - first.at),
    )
    pool = types.SimpleNamespace(free_all_blocks=lambda: None)
    parts = {"cuda": cuda, "get_default_memory_pool": lambda: pool}
    xp = types.SimpleNamespace(**{**vars(stand_in.BACKEND.xp), **parts})
    run_immediately = lambda levels: (lambda: [launch() for level in levels for launch in level], 0)
    recorder = replace(stand_in.BACKEND.recorder, record=run_immediately)
    made = replace(stand_in.BACKEND, name="cupy", device="cuda", xp=xp, recorder=recorder)
    monkeypatch.setitem(backends._by_device, "cuda", made)
    monkeypatch.setitem(backends._by_type, stand_in.Array, made)


def test_the_peak_is_computed_from_device_properties(module, fake_gpu):
    found = module("device").gpu_facts()
    assert found["name"] == "Fake GPU" and found["float32_lanes"] == 128
    assert found["peak_tflops"] == pytest.approx(66.9, abs=0.05)  # an H200: 132 · 128 · 2 · 1.98 GHz


def test_a_run_with_a_fake_gpu(module, fake_gpu, monkeypatch, tmp_path, capsys):
    """Everything that works without a real GPU, from the options to the figure."""
    options = "--small --model mlp --batches 4 --kernel-batch 1 --rounds 1 --json --compiled 8 --threads 1".split()
    monkeypatch.setattr(sys, "argv", ["cpu_gpu.py", *options, "--out", str(tmp_path)])
    for name, least in (("SECONDS", 1e-6), ("FEW", 1)):
        monkeypatch.setattr(module("device"), name, least)
    made, few = module("kernels").kernels, ("conv 64→128", "product", "Adam", "normals")
    monkeypatch.setattr(
        module("kernels"), "kernels", lambda *sizes: {n: k for n, k in made(*sizes).items() if n.startswith(few)}
    )
    if module("resident").torch is not None:
        monkeypatch.setattr(module("resident").torch.cuda, "is_available", lambda: False)
    module("cpu_gpu").main()
    record = json.loads(capsys.readouterr().out)
    strict, tf32 = (record["steps"][which]["mlp"]["4"] for which in ("strict float32", "TF32"))
    for who in ("CuPy eager", "CuPy jit"):
        assert strict[who]["median_ms"] > 0 and strict[who]["clock"] == "events" and "device_mb" in strict[who]
        assert "minigrad computes" in tf32[who]["skipped"]
    assert "skipped" in strict["PyTorch CUDA graph"]  # not installed, or without a GPU
    assert "compiled only at batch 8" in tf32["PyTorch compiled"]["skipped"]
    roofline = record["roofline"]["cuda"]
    assert roofline["roofs"]["float32_from"] == "device properties"
    assert {kernel["way"] for kernel in roofline["kernels"].values()} <= {"jit", "eager"}
    found = record["summary"]
    assert found["launch_floor"]["mlp"]["jit"]["ms"] > 0 and "batch" in found["crossover"]["mlp"]["jit"]
    assert [("measured" in goal) for goal in found["goals"].values()] == [False, False, True, True]  # no batch of 128
    assert (tmp_path / "cpu_gpu.png").exists()


# Competitors, on the CPU


@pytest.mark.parametrize("model", MODELS)
def test_all_competitors_take_the_same_step(module, model):
    cpu_gpu, resident = module("cpu_gpu"), module("resident")
    images = mg.random.uniform(mg.random.key(1), (24, 28, 28, 1)) ** 4
    task = cpu_gpu.make_task(model, 8, images)
    assert sorted(np.concatenate(task.rows)) == list(range(24))
    ways = {**resident.ON_CPU, "fused": lambda task: resident.pytorch(task, "cpu", fused=True)}
    with resident.precision(False):
        made = {who: make(task) for who, make in ways.items()}
        made["JAX"] = resident.jax_jit(task, "cpu")
        there = {who: c for who, c in made.items() if isinstance(c, resident.Competitor)}
        assert {"NumPy eager", "NumPy jit"} <= set(there)
        cpu_gpu.check_same_loss(there, 1e-4)
        for c in there.values():
            for _ in range(4):
                c.step()
        cpu_gpu.check_loss_decreases(there)
        after = [c.loss() for c in there.values()]
        np.testing.assert_allclose(after, after[0], rtol=0.02)  # each draws its own noise


def test_a_competitor_with_another_loss_is_refused(module):
    cpu_gpu, Competitor = module("cpu_gpu"), module("resident").Competitor
    right, wrong = (Competitor(None, lambda: 1.0, initial, None) for initial in (2.0, 2.1))
    cpu_gpu.check_same_loss({"ours": right}, 1e-4)
    cpu_gpu.check_loss_decreases({"ours": right})
    with pytest.raises(SystemExit, match="theirs starts from a loss of 2"):
        cpu_gpu.check_same_loss({"ours": right, "theirs": wrong}, 1e-4)
    with pytest.raises(SystemExit, match="theirs does not learn"):
        cpu_gpu.check_loss_decreases({"theirs": Competitor(None, lambda: 2.0, 2.0, None)})


def test_tf32_is_switched_and_restored(module):
    torch = optional("torch", extra="bench")
    resident = module("resident")

    def switches():
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark

    before = switches()
    for tf32 in (True, False):
        with resident.precision(tf32):
            assert switches() == (tf32, tf32, True)
    assert switches() == before
