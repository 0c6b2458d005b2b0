"""The door and its guards: escaped values, missing rules, two devices, NumPy's protocols, DLPack, and the layers."""

from __future__ import annotations

import ast
import math
import threading
from pathlib import Path

import elsewhere  # noqa: F401  (registers itself)
import numpy as np
import pytest
from conftest import to_host

import minigrad as mg
from minigrad import backends
from minigrad.core import Interpreter, Primitive, Tracer, bind, current, primitive, primitives

PACKAGE = Path(mg.__file__).parent

# Traced values that got away


@pytest.mark.parametrize("transform", [mg.grad, lambda f: lambda x: mg.jvp(f, (x,), (x,))], ids=["reverse", "forward"])
def test_escaped_value_names_its_operation_and_line(transform, xp):
    kept = []

    def f(x):
        kept.append(mg.sin(x))  # this line is named
        return mg.sum(kept[0])

    transform(f)(xp.asarray([1.0]))
    line = f.__code__.co_firstlineno + 1
    with pytest.raises(mg.EscapedTracerError, match=f"'exp' got .* made by 'sin' at .*test_core.py:{line}"):
        mg.exp(kept[0])
    with pytest.raises(mg.EscapedTracerError, match="'sin'"):
        mg.grad(lambda x: mg.sum(x * kept[0]))(xp.asarray([1.0]))
    with pytest.raises(mg.EscapedTracerError):
        kept[0] + 1


def test_escaped_input_says_it_was_an_input(xp):
    kept = []
    mg.grad(lambda x: kept.append(x) or x * x)(xp.asarray(1.0))
    with pytest.raises(mg.EscapedTracerError, match="made by 'input' at"):
        kept[0] * 2


def test_traced_value_in_another_thread(xp):
    caught = []

    def f(x):
        def work():
            try:
                mg.sin(x)
            except mg.EscapedTracerError as error:
                caught.append(str(error))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return x * x

    assert float(mg.grad(f)(xp.asarray(3.0))) == 6
    assert len(caught) == 1 and "runs in another thread" in caught[0]


def test_pullback_of_an_inner_level_after_the_outer_one_is_over(xp):
    kept = []

    def f(x):
        kept.append(mg.vjp(lambda y: mg.sin(x * y), x)[1])
        return x * x

    mg.grad(f)(xp.asarray(1.0))
    with pytest.raises(mg.EscapedTracerError):
        kept[0](xp.asarray(1.0))


# Rules


@pytest.fixture
def without_rule():
    """A primitive registered for one test."""
    made = Primitive("made_for_a_test", lambda b, x, out=None: b.xp.add(x, 1, out=out))
    yield made
    del primitives["made_for_a_test"]


def test_missing_rule_names_the_primitive_and_the_mode(without_rule, xp):
    x = xp.asarray([1.0])
    assert float(without_rule(x)[0]) == 2
    with pytest.raises(mg.MissingRuleError, match="'made_for_a_test' has no derivative rule, so reverse mode"):
        mg.grad(lambda x: mg.sum(without_rule(x)))(x)
    with pytest.raises(mg.MissingRuleError, match="'made_for_a_test' has no derivative rule, so forward mode"):
        mg.jvp(without_rule, (x,), (x,))
    assert not to_host(mg.grad(lambda x: mg.sum(without_rule(mg.stop_gradient(x))))(x)).any()


def test_a_rule_cannot_speak_of_what_its_primitive_does_not_have(without_rule):
    from minigrad.rules import partials

    with pytest.raises(ValueError, match=r"the rule of 'made_for_a_test' speaks of .*z"):
        partials(without_rule, x=lambda x, z: z)
    with pytest.raises(ValueError, match="speaks of w"):
        partials(without_rule, w=lambda x: x)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="'sin' is already registered"):
        primitive("sin")(lambda b, x, out=None: x)


def test_a_rule_of_the_wrong_shape_is_noticed(without_rule, xp):
    from minigrad.rules import custom

    custom(without_rule, x=(lambda t: mg.sum(t), lambda g: mg.sum(g)))
    x = xp.asarray([1.0, 2.0])
    with pytest.raises(AssertionError, match="vjp of 'made_for_a_test'"):
        mg.grad(lambda x: mg.sum(without_rule(x)))(x)
    with pytest.raises(AssertionError, match="jvp of 'made_for_a_test'"):
        mg.jvp(without_rule, (x,), (x,))


# Interpreters


def test_an_interpreter_of_your_own(xp):
    """Counting operations takes ten lines, and works under and over derivatives."""

    class Count(Interpreter):
        def __init__(self):
            self.names = []

        def process(self, primitive, args, params):
            self.names.append(primitive.name)
            return self.parent.process(primitive, args, params)

    before = current()
    with Count() as count:
        assert current() is count
        mg.grad(lambda x: mg.sum(mg.sin(x)))(xp.asarray([1.0]))
    assert current() is before
    assert count.names[:2] == ["sin", "sum"] and "cos" in count.names


def test_bind_is_the_call(xp):
    x = xp.asarray([1.0, 2.0])
    summed = bind(primitives["sum"], (x,), {"axes": (0,)})
    assert float(summed) == 3 and repr(primitives["sum"]) == "<primitive sum>"


# Devices


def test_arrays_of_two_devices_do_not_mix():
    here, there = np.ones(2), mg.to_device(np.ones(2), "elsewhere")
    assert (mg.device_of(here), mg.device_of(there)) == ("cpu", "elsewhere")
    message = (
        r"two devices: float64\[2\] on cpu \(numpy\), float64\[2\] on elsewhere \(elsewhere\); move .* mg.to_device"
    )
    for f in (
        lambda: mg.add(here, there),
        lambda: mg.grad(lambda x: mg.sum(x * there))(here),
        lambda: mg.jvp(lambda x: mg.sum(x * there), (here,), (here,)),
    ):
        with pytest.raises(mg.DeviceError, match=message):
            f()
    with pytest.raises(mg.DeviceError):
        mg.concatenate([there, here])


def test_numbers_go_with_any_device():
    there = mg.to_device(np.ones(2, np.float32), "elsewhere")
    for number in (2, 2.0, np.float32(2), np.float64(2)):
        assert mg.device_of(mg.multiply(there, number)) == "elsewhere"
        assert mg.device_of(mg.grad(lambda x, n=number: mg.sum(n * x / n - n**x))(there)) == "elsewhere"
    assert mg.multiply(there, 2.0).dtype == np.float32
    assert mg.device_of(3.0) == "cpu"


def test_to_device_moves_trees():
    params = {"w": np.ones(2), "n": 3, "none": None}
    moved = mg.to_device(params, "elsewhere")
    assert mg.device_of(moved["w"]) == "elsewhere" and moved["n"] == 3 and moved["none"] is None
    back = mg.to_device(moved, "cpu")
    assert type(back["w"]) is np.ndarray and np.array_equal(back["w"], params["w"])
    assert mg.to_device(params, "cpu")["w"] is params["w"]


def test_without_a_gpu_the_error_says_what_to_do():
    try:
        mg.to_device(np.ones(1), "cuda")
    except mg.DeviceError as error:
        assert "install" in str(error) or "GPU" in str(error)


def test_unknown_devices_and_arrays():
    with pytest.raises(ValueError, match="unknown device 'gpu': use 'cpu' or 'cuda'"):
        mg.to_device(np.ones(1), "gpu")
    with pytest.raises(TypeError, match=r"not an array: builtins.str; pass a NumPy or CuPy array or a number"):
        mg.sin("1.0")
    for stranger in (np.ma.masked_array([1.0]), object(), {"a": 1.0}):
        with pytest.raises(TypeError, match=r"not an array: .*; pass a NumPy or CuPy array or a number"):
            backends.backend_of((stranger,))


def test_lists_of_numbers_become_arrays():
    assert mg.sum([1.0, 2.0]) == 3 and mg.add(np.ones(2), [1, 2]).tolist() == [2, 3]


# NumPy's protocols


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (np.sin, mg.sin),
        (np.absolute, mg.abs),
        (lambda x: np.add(x, 1), lambda x: x + 1),
        (lambda x: np.power(x, 3), lambda x: x**3),
        (lambda x: np.matmul(x, x.T), lambda x: x @ x.T),
        (lambda x: np.concatenate([x, x], axis=1), lambda x: mg.concatenate([x, x], 1)),
        (lambda x: np.sum(x, axis=0), lambda x: mg.sum(x, 0)),
        (lambda x: np.where(x > 0, x, 0), lambda x: mg.where(x > 0, x, 0)),
        (lambda x: np.einsum("ij->j", x), lambda x: mg.einsum("ij->j", x)),
        (lambda x: np.linalg.norm(x), lambda x: mg.norm(x)),
        (lambda x: np.linalg.inv(x @ x.T), lambda x: mg.inv(x @ x.T)),
        (lambda x: np.max(x, axis=-1, keepdims=True), lambda x: mg.max(x, -1, keepdims=True)),
        (lambda x: np.reshape(x, -1), lambda x: x.reshape(-1)),
        (lambda x: np.stack([x, x]), lambda x: mg.stack([x, x])),
        (lambda x: np.clip(x, -0.5, 0.5), lambda x: mg.clip(x, -0.5, 0.5)),
        (lambda x: np.pad(x, 1), lambda x: mg.pad(x, 1)),
        (lambda x: np.std(x, axis=1, ddof=1), lambda x: mg.std(x, 1, ddof=1)),
        (lambda x: np.shape(x)[0] * np.ndim(x) * np.size(x) * x, lambda x: 24 * x),
        (lambda x: np.trace(x), lambda x: mg.trace(x)),
    ],
)
def test_numpy_functions_of_traced_values_are_ours(theirs, ours):
    x = np.array([[0.3, -0.8, 1.1], [-0.4, 0.6, 0.9]])
    traced = []
    y, pullback = mg.vjp(lambda x: traced.append(theirs(x)) or traced[0], x)
    assert isinstance(traced[0], Tracer)
    expected, other = mg.vjp(ours, x)
    g = np.cos(np.arange(y.size)).reshape(y.shape)
    assert np.array_equal(y, expected) and np.array_equal(pullback(g)[0], other(g)[0])


@pytest.mark.parametrize(
    ("f", "value", "slope"),
    [
        (lambda c, x: c + x, 5, 1),
        (lambda c, x: c - x, -1, -1),
        (lambda c, x: c * x, 6, 2),
        (lambda c, x: c / x, 2 / 3, -2 / 9),
        (lambda c, x: c**x, 8, 8 * math.log(2)),
        (lambda c, x: x + c, 5, 1),
        (lambda c, x: x - c, 1, 1),
        (lambda c, x: x / c, 1.5, 0.5),
        (lambda c, x: x**c, 9, 6),
    ],
)
@pytest.mark.parametrize(
    "kind", [float, np.float64, np.float32, lambda v: np.array([v, v])], ids=["float", "float64", "float32", "array"]
)
def test_operators_with_plain_operands_on_either_side(f, value, slope, kind, on_device):
    c, x = on_device(kind(2.0)), on_device(np.array([3.0, 3.0]))
    y, pullback = mg.vjp(lambda x: f(c, x), x)
    assert to_host(y) == pytest.approx([value] * 2) and y.dtype == np.float64
    assert to_host(pullback(mg.ones_like(y))[0]) == pytest.approx([slope] * 2)


def test_array_on_the_left_of_a_matrix_product(on_device):
    a, x = on_device((np.arange(6.0).reshape(2, 3), np.ones(3)))
    assert to_host(mg.grad(lambda x: mg.sum(a @ x))(x)).tolist() == [3, 5, 7]
    assert to_host(mg.grad(lambda x: mg.sum(x[None] @ a.T))(x)).tolist() == [3, 5, 7]


def test_unary_operators_comparisons_and_truth(xp):
    def f(x):
        assert (x > 1) and not (x < 1) and (x >= 2) and (x <= 2) and (x == 2) and (x != 3)
        assert not isinstance(x > 1, Tracer) and (x == None) is False  # noqa: E711
        return abs(-x) + (+x)

    assert float(mg.grad(f)(xp.asarray(2.0))) == 2


def test_traced_values_look_like_arrays(xp):
    def f(x):
        assert (x.shape, x.ndim, x.dtype, x.size, len(x)) == ((2, 3), 2, np.float64, 6, 2)
        assert x.T.shape == (3, 2) and x.mT.shape == (3, 2) and x[0, 0].shape == ()
        assert repr(x).startswith("traced(") and len({x: 1}) == 1
        assert x.reshape(3, 2).shape == x.transpose(1, 0).shape == x.swapaxes(0, 1).shape == (3, 2)
        assert x.flatten().shape == x.ravel().shape == (6,)
        assert int(x[0, 0]) == 1
        return (x.mean() + x.dot(x.T).trace() + x.diagonal().sum() + x.take(0) + x.clip(0, 2).max()).squeeze()

    assert mg.grad(f)(xp.ones((2, 3))).shape == (2, 3)


def test_value_shows_the_array_and_cannot_change_it(xp, backend):
    seen = []

    def f(x):
        y = mg.exp(x)
        seen.append(mg.grad(lambda z: seen.append(z.value) or mg.sum(z * y))(x).value)
        seen.append(y.value)
        return mg.sum(y)

    mg.grad(f)(xp.zeros(2))
    assert all(type(v) is backend.array_type for v in seen) and to_host(seen[2]).tolist() == [1, 1]
    if backend.name == "numpy":
        with pytest.raises(ValueError, match="read-only"):
            seen[2][0] = 7


# What would lose a derivative


@pytest.mark.parametrize(
    ("use", "what"),
    [
        (float, "float"),
        (complex, "complex"),
        (np.asarray, "np.asarray"),
        (math.sin, "float"),
        (lambda x: x.item(), "item"),
        (lambda x: x.tolist(), "tolist"),
        (lambda x: x.__dlpack__(), "DLPack"),
    ],
    ids=["float", "complex", "asarray", "math.sin", "item", "tolist", "dlpack"],
)
def test_conversions_that_would_lose_the_derivative_are_refused(use, what, xp):
    with pytest.raises(TypeError, match=f"{what}.*(stop_gradient|mg)"):
        mg.grad(lambda x: use(x) or x)(xp.asarray(1.0))


def test_assignment_is_refused(xp):
    def f(x):
        x[0] = 1.0
        return mg.sum(x)

    with pytest.raises(TypeError, match=r"cannot be assigned to: build the result with mg.where"):
        mg.grad(f)(xp.ones(2))


def test_writing_into_a_plain_array_is_refused():
    with pytest.raises(
        (TypeError, ValueError)
    ):  # NumPy says "setting an array element with a sequence", because of ours
        mg.grad(lambda x: np.zeros(1).__setitem__(0, x) or x)(1.0)

    def f(x):
        y = np.ones(2)
        y += x
        return mg.sum(x)

    with pytest.raises(TypeError, match=r"np.add with out is not offered"):
        mg.grad(f)(np.ones(2))
    with pytest.raises(TypeError, match=r"np.add.reduce is not offered"):
        mg.grad(lambda x: np.add.reduce(x))(np.ones(2))
    with pytest.raises(TypeError, match=r"np.float_power is not offered"):
        mg.grad(lambda x: mg.sum(np.float_power(x, 2)))(np.ones(2))
    with pytest.raises(TypeError, match=r"numpy.interp is not offered"):
        mg.grad(lambda x: mg.sum(np.interp(x, x, x)))(np.ones(2))


@pytest.mark.parametrize("function", [np.linalg.trace, np.linalg.diagonal], ids=lambda f: f.__name__)
def test_functions_of_one_name_and_two_meanings_are_refused(function):
    """np.linalg.trace takes the last two axes, np.trace the first two."""
    with pytest.raises(TypeError, match=r"numpy.linalg.* is not offered"):
        mg.grad(lambda x: mg.sum(function(x)))(np.ones((2, 3, 3)))


def test_lists_are_no_operands(xp):
    with pytest.raises(TypeError, match="unsupported operand"):
        mg.grad(lambda x: mg.sum(x + [1.0]))(xp.ones(1))


# DLPack


def test_dlpack_in_and_out():
    torch = pytest.importorskip("torch", reason="PyTorch is an optional peer")
    theirs = torch.arange(4, dtype=torch.float64)
    x = mg.from_dlpack(theirs)
    assert type(x) is np.ndarray and mg.asarray(theirs).dtype == np.float64
    theirs[0] = 7
    assert x[0] == 7  # one memory
    gradient = mg.grad(lambda x: mg.sum(x**2))(x)
    back = torch.from_dlpack(gradient)
    assert back.tolist() == [14, 2, 4, 6]
    back[0] = 1
    assert gradient[0] == 1


def test_asarray(xp):
    assert mg.asarray([[1, 2], [3, 4]]).shape == (2, 2) and mg.asarray(3.0).shape == ()
    x = xp.ones(2)
    assert mg.asarray(x) is x
    assert float(mg.grad(lambda x: mg.sum(mg.asarray(x)))(x)[0]) == 1
    with pytest.raises(TypeError, match="does not offer DLPack"):
        mg.from_dlpack([1.0])


# Layers


LAYERS = (
    ("backends",),
    ("core",),
    ("rules",),
    ("tree",),
    ("ops",),
    ("random",),
    ("device",),
    ("forward", "reverse"),
    ("transforms",),
    ("tape",),
    ("checks",),
    ("program",),
)
"""From the top of DESIGN.md's table down; a file imports from rows above its own, and from its own folder."""


def imports(path: Path) -> list[str]:
    """The modules that a file imports, in dotted form."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
    return found


def row(module: str) -> int:
    """The row of `minigrad.<module>…` in the table."""
    (found,) = [i for i, names in enumerate(LAYERS) if module in names] or [None]
    assert found is not None, f"minigrad.{module} has no place in the table of layers"
    return found


def sources() -> list[Path]:
    return [p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py" or p.parent != PACKAGE]


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_import_points_down(path):
    here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for module in imports(path):
        parts = module.split(".")
        if (
            parts[0] == "minigrad"
            and len(parts) > 1
            and (PACKAGE / parts[1]).with_suffix(".py").exists() | (PACKAGE / parts[1]).is_dir()
        ):
            if parts[1] != here:
                assert row(parts[1]) < row(here), f"{path.name} imports {module} from below"
        else:
            assert parts[0] not in ("minigrad", ""), f"{path.name} imports the whole package, or a relative {module}"
            assert parts[0] not in ("vae", "tests"), f"{path.name} imports {module}"


def test_only_one_file_imports_cupy():
    users = {p.name for p in sources() for m in imports(p) if m.split(".")[0] in ("cupy", "cupyx")}
    assert users <= {"cupy.py"}


def test_inner_order_of_the_operations():
    """Within ops/, no two files import each other."""
    folder = PACKAGE / "ops"
    uses = {p.stem: {m.split(".")[2] for m in imports(p) if m.startswith("minigrad.ops.")} for p in folder.glob("*.py")}
    done: set[str] = set()
    while len(done) < len(uses):
        ready = {name for name in uses.keys() - done if not uses[name] & uses.keys() - done - {name}}
        assert ready, f"files that import each other: {uses.keys() - done}"
        done |= ready


def test_vae_imports_public_minigrad_only():
    for path in (PACKAGE.parent / "vae").rglob("*.py"):
        for module in imports(path):
            parts = module.split(".")
            if parts[0] == "minigrad":
                assert len(parts) == 1 or parts[1] in dir(mg), f"{path.name} imports {module}"
