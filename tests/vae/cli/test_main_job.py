"""python -m vae: it checks gradients, trains two models, draws, and says in its exit code whether gradients agree."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from minigrad.core.interpreter import primitives
from tests.support.vae.small_runs import WRITTEN
from vae.cli import check, main_job, train
from vae.data import load

pytestmark = pytest.mark.host


@pytest.fixture
def small(monkeypatch):
    """One entry of each tensor is checked, on one image, and 60 images are trained on, in two epochs."""
    make_report, train_run = check.make_report, train.train_run
    shorter = lambda console, config, *more: train_run(console, replace(config, hidden=8, epochs=2), *more)
    monkeypatch.setattr(train, "train_run", shorter)
    fewer = lambda config, images, coordinates, *more: make_report(replace(config, hidden=8), 1, 1, *more)
    monkeypatch.setattr(check, "make_report", fewer)
    monkeypatch.setattr(main_job, "load_images", lambda config: load("digits", size=(60, 20), seed=config.seed))


def test_everything_is_in_one_folder(vae, small, tmp_path):
    code, out, err = vae("--out", "run", "--seed", "1")
    assert (code, err) == (0, "")
    assert "all gradients agree" in out and "everything is in run\n" in out
    paths = {str(p.relative_to(tmp_path)) for p in (tmp_path / "run").rglob("*") if p.is_file()}
    plane = WRITTEN | {"latent-plane.png", "latent-means.png"}
    runs = {f"run/conv/{name}" for name in WRITTEN} | {f"run/plane/{name}" for name in plane}
    assert paths == {"run/gradients-mlp.png", "run/gradients-conv.png", *runs}
    assert paths <= set(out.split())


def test_gradients_that_disagree_are_exit_code_1(vae, small, monkeypatch):
    """Nothing is trained here, so that the verdict comes at once."""
    rule = primitives["relu"].rule

    class Wrong:
        def __getattr__(self, name):
            return getattr(rule, name)

        def vjp(self, *args):
            return [g if g is None else g * 1.001 for g in rule.vjp(*args)]

    state = SimpleNamespace(history=[{"train_elbo": 0.0, "test_elbo": 0.0}])
    monkeypatch.setattr(train, "train_run", lambda *given: state)
    monkeypatch.setattr(primitives["relu"], "rule", Wrong())
    code, out, err = vae("--out", "run")
    assert (code, err) == (1, "")
    assert "GRADIENTS DISAGREE" in out
