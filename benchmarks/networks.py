"""Predicted times of a step on many processes, from times of few and published figures of networks.

    T(P) = s·t + 2(P − 1)·α + (k + 1)(P − 1)/P·n·β + u

P processes, of which the busiest has s shards of k nodes (`minigrad.collectives.shards.divide`); t is the time of a
shard's gradient of n bytes, u that of the update. Every process sends each other one a message of every exchange, two
in all; a message costs α, a byte β. In a run whose batch grows with the processes, the efficiency is T(1)/T(P); in one
whose batch does not, T(1)/(P·T(P)). T(1) has no communication. A batch has at least one image for each shard, and a
shard for each process: a batch of 1024 images has no work for more than 1024 processes, and shards of few images take
longer for each image.

What does not hold: all processes send to all others at once, and only a network whose switches carry everything at
full speed (full bisection, no hot spots) does this at β. The cited α is the time until a message arrives, and messages
overlap, which makes the prediction too high; but a message also costs processor time on both sides, more from Python
than in the cited tests, which makes it too low. t, u and the speed of additions are those of one core here, on every
network. Processes are equally fast: a real step waits for the slowest of P. The update could be shared; it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from minigrad.collectives.shards import count, divide

FORMULA = "T(P) = s·t + 2(P − 1)·α + (k + 1)(P − 1)/P·n·β + u"
POWERS = tuple(2**i for i in range(1, 13))  # numbers of processes
PAYS = 0.5  # the efficiency below which more processes do not pay


class Network(NamedTuple):
    """A network: seconds a message, bytes a second, and where the figures are from."""

    alpha: float
    rate: float
    source: str
    largest: int = POWERS[-1]  # number of processes


NETWORKS = {
    "10 GbE, TCP": Network(
        46e-6,
        0.95 * 10e9 / 8,
        "measured on EC2 c3.8xlarge, half of a round trip of 92 µs, and 95 % of 10 Gb/s: "
        "blogs.scalablelogic.com/2014/01/enhanced-networking-in-aws-cloud-part-2.html",
    ),
    "25 GbE, TCP": Network(
        50e-6,
        25e9 / 8,
        "typical latency from kernel to kernel: www.wwt.com/article/the-basics-of-high-performance-networking; "
        "nominal rate",
    ),
    "40 GbE, usNIC": Network(
        1.93e-6,
        37.23e9 / 8,
        "measured with NetPIPE over Open MPI, back to back: blogs.cisco.com/performance/mpi-over-40gb-ethernet",
    ),
    "100 GbE, RoCE": Network(
        1e-6,
        97e9 / 8,
        "half of a round trip of 2 µs on ConnectX-5: forums.developer.nvidia.com/t/358441; measured with ib_send_bw on "
        "ConnectX-4: mellanox37.rssing.com/chan-11689808/article3279.html",
    ),
    "InfiniBand HDR": Network(
        1.2e-6,
        192e9 / 8,
        "Azure HBv3: docs.azure.cn/en-us/virtual-machines/hbv3-performance (which prints GB/s for Gb/s)",
    ),
    "InfiniBand NDR": Network(
        2e-6,
        400e9 / 8,
        "upper bound of the latency, nominal rate: Azure HBv4, "
        "github.com/MicrosoftDocs/azure-docs/blob/main/articles/virtual-machines/hbv4-performance.md",
    ),
    "NVLink 4, NVSwitch": Network(
        3.4e-6,
        450e9,
        "hop of a ring in NCCL's tuning.h (NVLink, Simple); nominal rate of one direction: "
        "developer.nvidia.com/blog/upgrading-multi-gpu-interconnectivity-with-the-third-generation-nvidia-nvswitch",
        largest=256,
    ),
}


class Work(NamedTuple):
    """What a step does: seconds for a shard of so many images and for the update, and the bytes of a gradient."""

    shard: Callable[[int], float]
    update: float
    size: int


def step_time(work: Work, network: Network, processes: int, shards: int, images: int) -> float:
    """Seconds of a step on shards of so many images: the formula."""
    owned = divide([(0, shards)], processes)
    most, nodes = max(sum(map(count, mine)) for mine in owned), max(map(len, owned))
    messages, share = 2 * (processes - 1), (nodes + 1) * (processes - 1) / processes
    communication = messages * network.alpha + share * work.size / network.rate
    return most * work.shard(images) + communication + work.update


def predict_growing(work: Work, network: Network, shards: int, images: int) -> dict[int, tuple[float, float]]:
    """Time and efficiency by number of processes, each with this many shards of this many images."""
    alone = step_time(work, network, 1, shards, images)
    times = {p: step_time(work, network, p, p * shards, images) for p in POWERS if p <= network.largest}
    return {p: (time, alone / time) for p, time in times.items()}


def predict_shared(work: Work, network: Network, batch: int, shards: int) -> dict[int, tuple[float, float]]:
    """Time and efficiency by number of processes that share a batch: in so many shards, or one for each process."""
    alone = step_time(work, network, 1, shards, batch // shards)
    found = {}
    for p in POWERS:
        if p <= min(batch, network.largest):
            cut = max(p, shards)
            time = step_time(work, network, p, cut, batch // cut)
            found[p] = time, alone / (p * time)
    return found


def pays_up_to(predicted: Mapping[int, tuple[float, float]]) -> int:
    """The largest number of processes before the efficiency falls below `PAYS`; 1 if two already fall below."""
    largest = 1
    for processes, (_, efficiency) in predicted.items():
        if efficiency < PAYS:
            break
        largest = processes
    return largest


def record(predicted: Mapping[int, tuple[float, float]]) -> dict[str, Any]:
    """A prediction for the JSON."""
    steps = {
        str(processes): {"ms": round(1e3 * time, 4), "efficiency": round(efficiency, 4)}
        for processes, (time, efficiency) in predicted.items()
    }
    return {"processes": steps, "pays_up_to": pays_up_to(predicted)}
