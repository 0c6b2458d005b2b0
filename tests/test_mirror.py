"""Every file of minigrad/ and vae/ has a test file of the same path, or is named here with the tests that cover it.

`minigrad/core/rules.py` is tested by `tests/minigrad/core/test_rules.py`. A folder's name may be part of the file's:
`minigrad/backends/cuda/sums.py` by `tests/minigrad/backends/test_cuda_sums.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for package in ("minigrad", "vae")
    for path in (ROOT / package).rglob("*.py")
    if path.name != "__init__.py"  # they describe a folder
)
OPERATIONS = "minigrad/ops/test_properties.py"  # every operation at random arguments and at special values
ELSEWHERE = {
    # tests of the command lines
    "minigrad/__main__.py": "minigrad/test_main.py",
    "minigrad/checks/__main__.py": "minigrad/checks/test_suite.py",
    "minigrad/backends/__main__.py": "minigrad/backends/test_main.py",
    # operations and their traits are tested through the catalogue
    "minigrad/ops/arrange.py": OPERATIONS,
    "minigrad/ops/gaussian.py": OPERATIONS,
    "minigrad/core/traits.py": "minigrad/program/cpu/test_tiling.py",
    "minigrad/ops/define.py": "minigrad/test_outside_operation.py",
    "minigrad/ops/placement.py": "minigrad/test_device.py",
    "minigrad/ops/namespace.py": "minigrad/test_array_api.py",
    "minigrad/checks/array_api.py": "minigrad/test_array_api.py",
    # one test file covers both backends
    "minigrad/backends/backend.py": "minigrad/backends/test_backends.py",
    "minigrad/backends/numpy/backend.py": "minigrad/backends/test_backends.py",
    "minigrad/backends/cuda/backend.py": "minigrad/backends/test_backends.py",
    "minigrad/backends/numpy/fingerprint.py": "minigrad/backends/test_fingerprint.py",
    "minigrad/backends/cuda/fingerprint.py": "minigrad/backends/test_fingerprint.py",
    "minigrad/backends/numpy/indexing.py": "minigrad/backends/test_indexing.py",
    "minigrad/backends/cuda/indexing.py": "minigrad/backends/test_indexing.py",
    "minigrad/backends/streams.py": "minigrad/backends/test_numpy_streams.py",
    "minigrad/backends/formulas.py": "minigrad/backends/test_cuda_codegen.py",
    "minigrad/backends/loops.py": "minigrad/backends/test_native_codegen.py",
    "minigrad/backends/cuda/elementwise.py": "minigrad/backends/test_cuda_codegen.py",
    "minigrad/backends/cuda/epilogue.py": "minigrad/program/gpu/test_epilogues.py",
    "minigrad/ops/qr.py": "minigrad/ops/test_decompositions.py",
    "minigrad/program/control/leaves.py": "minigrad/program/control/test_scan.py",
    "minigrad/program/control/instruction.py": "minigrad/program/control/test_bodies.py",
    "minigrad/program/control/kept.py": "minigrad/program/control/test_bodies.py",
    # the output of the checker is tested with the checker
    "minigrad/checks/conventions.py": "minigrad/checks/test_suite.py",
    "minigrad/checks/report.py": "minigrad/checks/test_suite.py",
    "minigrad/checks/blame.py": "minigrad/checks/test_checker.py",
    "minigrad/checks/kinks.py": "minigrad/checks/test_checker.py",
    "minigrad/core/origin.py": "minigrad/core/test_errors.py",
    "minigrad/core/arrays.py": "minigrad/core/test_integers.py",
    "vae/__main__.py": "vae/cli/test_main.py",
    "minigrad/core/printing.py": "minigrad/show/test_text.py",
    "vae/gradient_report.py": "vae/test_gradients.py",
    # training and evaluation are tested by whole runs, the lecture's models by the claims they support
    "vae/autoencoder.py": "vae/test_objectives.py",
    "vae/drawing.py": "vae/test_pictures.py",
    "vae/errors.py": "vae/cli/test_main.py",
    "vae/groups.py": "vae/test_evaluation.py",
    "vae/numbers.py": "vae/test_config.py",
    "vae/requirements.py": "vae/test_config.py",
    "vae/runs.py": "vae/test_training_resume.py",
    "vae/sigma.py": "vae/test_likelihoods.py",
    "vae/trainer.py": "vae/test_training.py",
    "vae/validation.py": "vae/test_training.py",
    "vae/data/glyphs.py": "vae/data/test_digits.py",
    "vae/data/places.py": "vae/cli/test_options.py",
    "vae/lecture/run.py": "vae/lecture/test_page.py",
    "vae/lecture/models/autoencoders.py": "vae/lecture/test_image_claims.py",
    "vae/lecture/models/bound.py": "vae/lecture/test_exact_models.py",
    "vae/lecture/models/coders.py": "vae/lecture/test_image_claims.py",
    "vae/lecture/models/exact.py": "vae/lecture/test_exact_models.py",
    "vae/lecture/models/trained.py": "vae/lecture/test_image_claims.py",
}
"""Source files without a test file of the same path, and the tests that cover them."""


def own_tests(file: str) -> list[Path]:
    """The test files that mirror the path of a source file."""
    folder, parts = Path(file).parent, []
    found = []
    name = Path(file).stem
    while folder.parts:
        path = ROOT / "tests" / folder / f"test_{'_'.join([*parts, name])}.py"
        if path.exists():
            found.append(path)
        folder, parts = folder.parent, [folder.name, *parts]
    return found


def covered_by(file: str) -> str | None:
    """The test file that covers a source file without a test file of its own; None if none is listed."""
    if file.startswith("vae/lecture/slides/"):  # each claim must fail under its planted mistake
        return f"vae/lecture/planted/{Path(file).name}"
    if file.startswith("minigrad/checks/catalogue/") and not own_tests(file):  # data: each entry is checked
        return OPERATIONS
    return ELSEWHERE.get(file)


@pytest.mark.parametrize("file", FILES)
def test_a_file_has_tests(file):
    elsewhere = covered_by(file)
    if elsewhere is None:
        assert own_tests(file), f"no tests/{Path(file).parent}/test_{Path(file).stem}.py, no entry in test_mirror.py"
    else:
        assert not own_tests(file), f"{own_tests(file)} exists: remove the entry from test_mirror.py"
        assert (ROOT / "tests" / elsewhere).exists()


def test_every_entry_names_an_existing_file():
    assert set(ELSEWHERE) - set(FILES) == set()


def test_a_file_without_tests_is_reported():
    assert own_tests("minigrad/core/rules.py") and not own_tests("minigrad/core/missing.py")
    assert covered_by("minigrad/core/missing.py") is None
