"""Every code block of README.md runs: Python blocks one after another in one namespace, sh blocks as commands.

`.ci/run` extracts the three bash blocks, which set up environments and run the tests, and runs them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]
ELSEWHERE = {"python -m minigrad.checks"}  # tests/minigrad/checks/test_suite.py runs all of it


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from minigrad import core

    monkeypatch.chdir(tmp_path)  # one block writes a file

    before = set(core.primitives)
    namespace: dict = {}
    try:
        for language, text in BLOCKS:
            if language == "python":
                exec(compile(text, "README.md", "exec"), namespace)
    finally:
        for name in set(core.primitives) - before:  # the README adds an operation; other tests use all of them
            del core.primitives[name]


def test_the_first_gradient_prints_and_draws_what_the_readme_shows(tmp_path: Path) -> None:
    source = next(text for language, text in BLOCKS if language == "python")
    shown = next(text for language, text in BLOCKS if language == "text")
    (tmp_path / "first.py").write_text(source, encoding="utf-8")
    done = subprocess.run([sys.executable, "first.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == (shown, "")
    drawn = (tmp_path / "first-gradient.svg").read_text(encoding="utf-8")
    assert drawn == (ROOT / ".github" / "first-gradient.svg").read_text(encoding="utf-8")


def test_every_link_within_the_readme_has_its_heading() -> None:
    headings = re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    linked = re.findall(r"\]\(#([^)]*)\)", README)
    assert linked and set(linked) <= anchors


def test_the_places_that_contributors_are_sent_to_exist() -> None:
    page = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    places = re.findall(r"\b(?:minigrad|vae|tests|benchmarks)/[\w./]*", page)
    assert len(places) > 10 and all((ROOT / place).exists() for place in places)
    sections = re.findall(r"README\.md,\s+section ([\w ]+?)[,.]", page)
    assert sections and all(f"# {section}\n" in README for section in sections)


def test_the_tape_in_the_readme_is_what_is_printed() -> None:
    (shown,) = [text for language, text in BLOCKS if language == "text" and text.startswith("%0")]
    source = next(text for language, text in BLOCKS if "tape.watch" in text)
    namespace: dict = {}
    exec(compile("import minigrad as mg\n" + source.split("print")[0], "tour.py", "exec"), namespace)
    lines = [re.sub(r"tour.py:\d+", "", line) for line in str(namespace["tape"]).splitlines()]
    assert lines == [re.sub(r"tour.py:\d+", "", line) for line in shown.splitlines()]


def test_commands_run(tmp_path: Path) -> None:
    assert set(COMMANDS) >= ELSEWHERE
    for command in COMMANDS:
        if command in ELSEWHERE:
            continue
        words = command.split()
        assert words[0] in ("python", "mpiexec")
        programs = {"python": sys.executable, "mpiexec": str(Path(sys.executable).with_name("mpiexec"))}
        words = [programs.get(word, word) for word in words]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_ci_runs_the_setup_commands() -> None:
    bash = [text for language, text in BLOCKS if language == "bash"]
    assert len(bash) == 3 and "python -m vae" in bash[0] and all("pytest" in command for command in bash[1:])
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "README.md" in script and "pip install" not in script


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_ci_runs_in_a_hook_of_git_and_for_another_user(tmp_path: Path) -> None:
    """`.ci/run` runs the committed README's commands in a path with a space, without HOME, despite bad variables."""
    root, tools = tmp_path / "check out", tmp_path / "bin"
    for folder in (root / ".ci", tools):
        folder.mkdir(parents=True)
    (tools / "chromium").write_text("#!/bin/sh\n")  # otherwise .ci/run would install it
    (tools / "chromium").chmod(0o755)
    shutil.copy(ROOT / ".ci" / "run", root / ".ci")
    first = 'mkdir -p .venv/bin && ln -s "$(type -P echo)" .venv/bin/ruff'
    commands = [first, f'{first} && echo home: "${{HOME-none}}"', 'echo python: "${PYTHONHOME-none}"']
    (root / "README.md").write_text("".join(f"```bash\n{command}\n```\n" for command in commands), encoding="utf-8")
    git = ["git", "-C", str(root), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    if hasattr(os, "getuid") and os.getuid() == 0:
        for path in (root, root / ".git"):
            os.chown(path, 65534, 65534)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    hostile = {"PATH": path, "GIT_DIR": "/nonsense", "PYTHONHOME": "/nonsense", "CDPATH": str(tools)}
    done = subprocess.run(["bash", ".ci/run"], cwd=root, env=hostile, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "\nhome: none\n" in done.stdout and "\npython: none\n" in done.stdout
    assert done.stdout.endswith("check .\nformat --check .\n")
