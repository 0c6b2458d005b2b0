"""Hashing, copying and pickling of programs, traced values, primitives, backends and errors."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad
import minigrad as mg
import vae
from minigrad import backends
from minigrad.core import tree
from minigrad.core.interpreter import primitives
from tests.support.programs import same

A = np.array([[0.5, -1.0, 2.0]])


def loss(tree, key, scale):
    noise = mg.random.normal(key, (4, 3))
    picked = tree["w"][[0, 2, 1]][:, :2]
    return mg.sum(mg.tanh(picked @ picked.T) ** 2) * scale + mg.sum((noise + A) * tree["b"][1:])


def arguments():
    rng = np.random.default_rng(0)
    return {"w": rng.normal(size=(3, 4)), "b": rng.normal(size=4)}, mg.random.key(7), 2.0


@pytest.fixture(params=["traced", "of jit"])
def program(request):
    f = mg.value_and_grad(loss)
    return mg.trace(f)(*arguments()) if request.param == "traced" else mg.jit(f).program(*arguments())


def test_programs_are_compared_and_hashed_by_identity(program):
    other = mg.trace(mg.value_and_grad(loss))(*arguments())
    assert program == program and program != other
    assert len({program, other, program}) == 2 and {program: 1}[program] == 1


def test_copying_a_program_returns_the_program(program):
    assert copy.copy(program) is program and copy.deepcopy(program) is program
    assert copy.deepcopy({"step": [program]})["step"][0] is program


@pytest.mark.parametrize("has_run", [False, True])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_program_computes_the_same_bits(program, protocol, has_run):
    if has_run:
        program(*arguments())
    again = pickle.loads(pickle.dumps(program, protocol))
    assert str(again) == str(program) and again is not program and again.flops == program.flops
    assert [str(i.origin) for i in again.instructions] == [str(i.origin) for i in program.instructions]
    assert same(again(*arguments()), program(*arguments()))
    assert same(mg.grad(lambda t: again(t, *arguments()[1:])[0])(arguments()[0]), program(*arguments())[1])
    with pytest.raises(ValueError, match="the program was captured with float64"):
        again(tree.map(lambda x: x[:1], arguments()[0]), *arguments()[1:])
    again.outside[0].array[...] += 1  # its own copy of A
    with pytest.raises(mg.MutationError):
        again(*arguments())
    assert program(*arguments())


def test_a_pickled_program_runs_in_another_process(program, tmp_path):
    (tmp_path / "program").write_bytes(pickle.dumps((program, arguments())))
    run = (
        "import pickle, sys; program, arguments = pickle.load(open(sys.argv[1], 'rb'));"
        "pickle.dump(program(*arguments), open(sys.argv[2], 'wb'))"
    )
    command = [sys.executable, "-c", run, str(tmp_path / "program"), str(tmp_path / "result")]
    done = subprocess.run(command, cwd=Path(mg.__file__).parents[1], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert same(pickle.loads((tmp_path / "result").read_bytes()), program(*arguments()))


def test_a_program_is_not_pickled_after_its_captured_array_changed():
    a = np.ones(3)
    program = mg.trace(lambda x: x * a)(np.ones(3))
    a[0] = 2
    with pytest.raises(mg.MutationError, match="has changed"):
        pickle.dumps(program)


def test_programs_on_the_device_of_the_run_are_pickled(on_device, backend):
    args = on_device(arguments()[0])
    program = mg.trace(lambda t: mg.exp(t["w"]) * mg.sum(t["b"]))(args)
    if backend.name == "numpy":
        assert pickle.loads(pickle.dumps(program)).backend is backend
    assert copy.deepcopy(program) is program
    assert same(program(args), mg.exp(args["w"]) * mg.sum(args["b"]))


def test_primitives_and_backends_are_singletons():
    for one in (*primitives.values(), backends.get("cpu")):
        assert copy.copy(one) is copy.deepcopy(one) is pickle.loads(pickle.dumps(one)) is one


def test_unpickling_names_a_missing_primitive(make_primitive):
    primitive = make_primitive(lambda b, x, out=None: b.xp.multiply(x, 2, out=out))
    data = pickle.dumps(mg.trace(primitive)(np.ones(2)))
    assert same(pickle.loads(data)(np.ones(2)), np.full(2, 2.0))
    del primitives[primitive.name]
    with pytest.raises(ValueError, match=f"no primitive is named '{primitive.name}': import the module"):
        pickle.loads(data)


def test_traced_values_and_tapes_cannot_be_pickled():
    with mg.Tape() as tape:
        x = tape.watch(np.ones(2))
        y = mg.sum(x)
    for value in (x, y):
        assert copy.copy(value) is copy.deepcopy(value) is value and hash(value) == hash(value)
        with pytest.raises(TypeError, match=r"a traced value, made by .* cannot be pickled"):
            pickle.dumps(value)
    for use in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="a Tape can be neither copied nor pickled"):
            use(tape)
    with pytest.raises(TypeError, match="cannot be pickled"):
        mg.jit(lambda x: pickle.dumps(x))(np.ones(2))


def test_structures_kinds_and_keys_are_pickled():
    structure = tree.flatten({"a": [1, (2, None)]})[1]
    for data in (structure, mg.trace(mg.exp)(A).kinds, mg.trace(mg.exp)(A).memory()):
        assert pickle.loads(pickle.dumps(data)) == copy.deepcopy(data) == data and hash(data) == hash(copy.copy(data))
    key = mg.random.key(3)
    again = pickle.loads(pickle.dumps(key))
    assert np.array_equal(mg.random.normal(again, (5,)), mg.random.normal(key, (5,)))


def test_public_functions_are_pickled():
    for name in dir(mg):
        if callable(getattr(mg, name)) and not name.startswith("_"):
            assert pickle.loads(pickle.dumps(getattr(mg, name))) is getattr(mg, name), name


def test_errors_keep_their_message_when_pickled():
    found = 0
    for package in (minigrad, vae):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                loaded = importlib.import_module(module.name)
                for kind in vars(loaded).values():
                    if inspect.isclass(kind) and issubclass(kind, Exception) and kind.__module__ == module.name:
                        again = pickle.loads(pickle.dumps(kind("what to do")))
                        assert type(again) is kind and str(again) == "what to do"
                        found += 1
    assert found >= 12
