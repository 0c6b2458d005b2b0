"""Static MNIST as published (the row of `vae reproduce static-mnist`), trained by PyTorch alone.

784-400-40-400-784, ReLU, batches of 100, Adam at 1e-4, times 10^(−1/5) at epochs 200 and 350, 500 epochs, the weights
that are best on the validation images. Prints −ELBO and −L₂₀₀ of the test images in nats: a second opinion on what
these settings give, since minigrad's 92.65 differs from the published 89.78. DIR holds `binarized_mnist.npz`, with
arrays `train`, `valid` and `test`.

    python benchmarks/static_mnist.py DIR [--epochs 500] [--seed 123]
"""

from __future__ import annotations

import argparse
import copy
import math
from pathlib import Path

import numpy as np
from common import import_peer

torch = import_peer("torch")
SAMPLES = 200


class Autoencoder(torch.nn.Module if torch else object):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = torch.nn.Linear(784, 400), torch.nn.Linear(40, 400)
        self.mean, self.log_variance = torch.nn.Linear(400, 40), torch.nn.Linear(400, 40)
        self.pixels = torch.nn.Linear(400, 784)

    def log_weights(self, images, samples):
        """ln P(y, z) − ln Q(z|y) of samples z of each image: (samples, images)."""
        hidden = torch.relu(self.encoder(images))
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        noise = torch.randn(samples, *mean.shape)
        z = mean + torch.exp(log_variance / 2) * noise
        logits = self.pixels(torch.relu(self.decoder(z)))
        targets = images.expand(logits.shape)
        nats = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(-1)
        return -nats + ((noise**2 + log_variance - z**2) / 2).sum(-1)

    def loss(self, images):
        """−ELBO, with the closed form of the KL."""
        hidden = torch.relu(self.encoder(images))
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        logits = self.pixels(torch.relu(self.decoder(z)))
        nats = torch.nn.functional.binary_cross_entropy_with_logits(logits, images, reduction="sum")
        return (nats - (1 + log_variance - mean**2 - log_variance.exp()).sum() / 2) / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=123)
    options = parser.parse_args()
    if torch is None:
        parser.error("this needs PyTorch: pip install '.[bench]'")
    path = options.folder / "binarized_mnist.npz"
    if not path.is_file():
        parser.error(f"no file {path}")
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    with np.load(path) as file:
        train, valid, test = (torch.tensor(file[part], dtype=torch.float32) for part in ("train", "valid", "test"))
    model = Autoencoder()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [200, 350], gamma=10**-0.2)
    best, weights = math.inf, model.state_dict()
    for epoch in range(1, options.epochs + 1):
        for rows in torch.randperm(len(train)).split(100):
            optimiser.zero_grad()
            model.loss(train[rows]).backward()
            optimiser.step()
        schedule.step()
        with torch.no_grad():
            validation = np.mean([model.loss(part).item() for part in valid.split(1000)])
        if validation < best:
            best, weights = validation, copy.deepcopy(model.state_dict())
        if epoch % 10 == 0:
            print(f"epoch {epoch}: validation −ELBO {validation:.2f}", flush=True)
    model.load_state_dict(weights)
    with torch.no_grad():
        found = torch.cat([model.log_weights(part, SAMPLES) for part in test.split(50)], 1)
    print(f"test −ELBO {-found.mean():.2f}, −L{SAMPLES} {math.log(SAMPLES) - found.logsumexp(0).mean():.2f}")


if __name__ == "__main__":
    main()
