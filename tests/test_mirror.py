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
    if path.name != "__init__.py"  # these say what is in a folder
)
OPERATIONS = "minigrad/ops/test_properties.py"  # every operation at arguments that are drawn, and at special values
ELSEWHERE = {
    # the command lines are tested as command lines
    "minigrad/checks/__main__.py": "minigrad/checks/test_suite.py",
    "minigrad/backends/__main__.py": "minigrad/backends/test_main.py",
    # operations, and what is known of them, are tested by the catalogue
    "minigrad/ops/arrange.py": OPERATIONS,
    "minigrad/ops/gaussian.py": OPERATIONS,
    "minigrad/core/traits.py": "minigrad/program/cpu/test_tiling.py",
    "minigrad/ops/define.py": "minigrad/test_outside_operation.py",
    # twins are tested side by side, on the host and on the device of the run
    "minigrad/backends/backend.py": "minigrad/backends/test_backends.py",
    "minigrad/backends/numpy/backend.py": "minigrad/backends/test_backends.py",
    "minigrad/backends/cuda/backend.py": "minigrad/backends/test_backends.py",
    "minigrad/backends/numpy/fingerprint.py": "minigrad/backends/test_fingerprint.py",
    "minigrad/backends/cuda/fingerprint.py": "minigrad/backends/test_fingerprint.py",
    "minigrad/backends/numpy/indexing.py": "minigrad/backends/test_indexing.py",
    "minigrad/backends/cuda/indexing.py": "minigrad/backends/test_indexing.py",
    "minigrad/backends/streams.py": "minigrad/backends/test_numpy_streams.py",
    "minigrad/backends/formulas.py": "minigrad/backends/test_cuda_codegen.py",
    "minigrad/backends/cuda/elementwise.py": "minigrad/backends/test_cuda_codegen.py",
    "minigrad/backends/cuda/epilogue.py": "minigrad/program/gpu/test_epilogues.py",
    # what a checker says is tested where it says it
    "minigrad/checks/conventions.py": "minigrad/checks/test_suite.py",
    "minigrad/checks/report.py": "minigrad/checks/test_suite.py",
    "minigrad/checks/table.py": "minigrad/checks/test_suite.py",
    "minigrad/checks/blame.py": "minigrad/checks/test_checker.py",
    "minigrad/checks/kinks.py": "minigrad/checks/test_checker.py",
    "minigrad/core/origin.py": "minigrad/core/test_errors.py",
    "minigrad/core/arrays.py": "minigrad/core/test_integers.py",
    "vae/__main__.py": "vae/cli/test_main.py",
    "minigrad/core/printing.py": "minigrad/show/test_text.py",
    "vae/gradient_report.py": "vae/test_gradients.py",
    # training and evaluation are tested by runs, the lecture's models by the claims that they serve
    "vae/autoencoder.py": "vae/test_objectives.py",
    "vae/errors.py": "vae/cli/test_main.py",
    "vae/numbers.py": "vae/test_config.py",
    "vae/runs.py": "vae/test_training.py",
    "vae/trainer.py": "vae/test_training.py",
    "vae/data/glyphs.py": "vae/data/test_digits.py",
    "vae/data/places.py": "vae/cli/test_options.py",
    "vae/lecture/run.py": "vae/lecture/test_page.py",
    "vae/lecture/models/autoencoders.py": "vae/lecture/test_image_claims.py",
    "vae/lecture/models/bound.py": "vae/lecture/test_exact_models.py",
    "vae/lecture/models/coders.py": "vae/lecture/test_image_claims.py",
    "vae/lecture/models/exact.py": "vae/lecture/test_exact_models.py",
    "vae/lecture/models/trained.py": "vae/lecture/test_image_claims.py",
}
"""Where a file is tested that has no test file of its own."""


def own_tests(file: str) -> list[Path]:
    """The test files whose path is that of a source file."""
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
    """The test file that a source file without its own is named with."""
    if file.startswith("vae/lecture/slides/"):  # a claim is tested by its planted mistake, which must fail it
        return f"vae/lecture/planted/{Path(file).name}"
    if file.startswith("minigrad/checks/catalogue/") and not own_tests(file):  # data: each entry is checked
        return OPERATIONS
    return ELSEWHERE.get(file)


@pytest.mark.parametrize("file", FILES)
def test_a_file_has_tests(file):
    elsewhere = covered_by(file)
    if elsewhere is None:
        assert own_tests(file), f"no tests/{Path(file).parent}/test_{Path(file).stem}.py, and no line in test_mirror.py"
    else:
        assert not own_tests(file), f"{own_tests(file)} is there now: take the line out of test_mirror.py"
        assert (ROOT / "tests" / elsewhere).exists()


def test_no_line_is_about_a_file_that_is_gone():
    assert set(ELSEWHERE) - set(FILES) == set()


def test_a_file_without_tests_is_found():
    assert own_tests("minigrad/core/rules.py") and not own_tests("minigrad/core/nobodys.py")
    assert covered_by("minigrad/core/nobodys.py") is None
