"""Checkpoints: a killed solve goes on to the same bits; a file of another solve is refused."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from importlib import import_module

import h5py
import pytest
import torch

import invcore
from invcore import DataError, LinearOperator, ParameterError, Physics, SolverError, Space
from invcore.io import write_hdf5
from invcore.noises import GaussianNoise
from invcore.operators import Matrix
from invcore.priors import L1, Prior, WaveletL1
from invcore.solvers import FISTA, ConjugateGradient, Status
from invcore.solvers._checkpoint import _Decoder, _encode
from invcore.solvers._fingerprint import fingerprint
from invcore.testing import SolverExample
from invcore.testing import _solver_problems as kit
from invcore_testsupport import normal

F64 = torch.float64


def physics_of(seed=0, sigma=0.1, dtype=F64):
    return Physics(Matrix(normal(30, 20, seed=seed, dtype=dtype)), GaussianNoise(sigma=sigma))


SOLVERS = {
    "fista": FISTA(prior=L1(), weight=0.1, max_steps=60, rtol=0.0),
    "cg": ConjugateGradient(weight=0.1, max_steps=15, rtol=0.0),
    "restart": FISTA(prior=L1(), weight=0.1, restart="free", max_steps=40, rtol=0.0),
    "listed": FISTA(prior=L1(), weight=(0.5, 0.4, 0.3, 0.2, 0.1, 0.1), max_steps=14, rtol=0.0),
    "tolerance": FISTA(prior=L1(), weight=0.1, max_steps=400, rtol=1e-7),
}


def stop_at(step):
    return lambda k, problem, state: k == step


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex128])
@pytest.mark.parametrize("batch", [(), (1,), (3,)])
@pytest.mark.parametrize("name", list(SOLVERS))
def test_an_interrupted_solve_ends_at_the_same_bits(name, batch, dtype, tmp_path):
    solver, physics = SOLVERS[name], physics_of(dtype=dtype)
    y = normal(*batch, 30, seed=1, dtype=dtype)
    whole = solver.solve(y, physics, record_objective=True)
    options = {"checkpoint": tmp_path / "run.h5", "record_objective": True}
    for step in (3, 9):
        stopped = solver.solve(y, physics, callback=stop_at(step), **options)
        assert stopped.status is Status.STOPPED and stopped.stats["change"].shape[0] == step + 1
    resumed = solver.solve(y, physics, **options)
    assert torch.equal(resumed.value, whole.value) and resumed.status is whole.status
    assert resumed.stats.keys() == whole.stats.keys()
    for key, value in whole.stats.items():
        assert torch.equal(resumed.stats[key], value) and resumed.stats[key].dtype == value.dtype, key
    calls = []
    again = solver.solve(y, physics, callback=lambda k, *_: calls.append(k), **options)
    assert not calls and torch.equal(again.value, whole.value)  # a finished solve is not run again


@pytest.mark.parametrize("name", [c.name for c in invcore.components(kind="solver", plugin="invcore")])
def test_every_solver_resumes_to_the_same_bits(name, tmp_path):
    (component,) = (c for c in invcore.components(kind="solver", plugin="invcore") if c.name == name)
    module, function = component.examples.split(":")
    example = next(iter(getattr(import_module(module), function)().values()))
    solver = kit.with_options(kit.plain_solver(kit.solver_of(example)), rtol=0.0, max_steps=10)
    problem = example if isinstance(example, SolverExample) else solver
    physics = kit.physics_of(problem)
    y = kit.data_of(problem, physics, (2,))
    solver.solve(y, physics, checkpoint=tmp_path / "c", callback=stop_at(4))
    resumed = solver.solve(y, physics, checkpoint=tmp_path / "c")
    whole = solver.solve(y, physics)
    assert torch.equal(resumed.value, whole.value)
    assert torch.equal(resumed.stats["steps"], whole.stats["steps"])


def test_a_stochastic_prior_resumes_with_the_draws_it_would_have_made(tmp_path):
    solver = FISTA(prior=WaveletL1(levels=2), weight=0.05, max_steps=20, rtol=0.0)
    operator = LinearOperator.from_function(_running_sum, Space((1, 16, 16)))
    y = normal(1, 16, 16, seed=3, dtype=torch.float32)
    physics = Physics(operator)
    whole = solver(y, physics)
    solver.solve(y, physics, callback=stop_at(6), checkpoint=tmp_path / "c")
    assert torch.equal(solver.solve(y, physics, checkpoint=tmp_path / "c").value, whole)


def _running_sum(x):
    return x.cumsum(-1) / 16


SCRIPT = """
import sys, time, torch
from invcore import Physics
from invcore.operators import Matrix
from invcore.priors import L1
from invcore.solvers import FISTA
torch.set_num_threads(1)
draw = lambda *s, seed: torch.randn(s, generator=torch.Generator().manual_seed(seed))
physics = Physics(operator=Matrix(matrix=draw(60, 40, seed=0)))
solver = FISTA(prior=L1(), weight=0.1, rtol=0.0, max_steps=300)
slow = lambda k, *_: time.sleep(float(sys.argv[2]))
path = sys.argv[1] if sys.argv[1] != "-" else None
seen = []
x = solver.solve(
    draw(2, 60, seed=1), physics, callback=lambda k, *_: (seen.append(k), slow(k))[1],
    checkpoint=path, checkpoint_every=0.0,
).value
torch.save({"x": x, "first": seen[0] if seen else None}, sys.argv[3])
"""


def test_a_killed_process_resumes_to_the_same_bits(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"

    def run(*words):  # in this process: one of its own would take seconds to import torch
        monkeypatch.setattr(sys, "argv", ["-c", *map(str, words)])
        exec(SCRIPT, {})

    with subprocess.Popen([sys.executable, "-c", SCRIPT, str(path), "0.02", str(tmp_path / "no")]) as process:
        deadline = time.monotonic() + 60
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and not (tmp_path / "no").exists()
    run(path, 0, tmp_path / "resumed")
    run("-", 0, tmp_path / "whole")
    resumed, whole = (torch.load(tmp_path / n, weights_only=True) for n in ("resumed", "whole"))
    assert resumed["first"] > 0 and whole["first"] == 0
    assert torch.equal(resumed["x"], whole["x"])


LONG = """
import sys, time, torch
from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.operators import Convolution
from invcore.priors import WaveletL1
from invcore.solvers import FISTA
torch.set_num_threads(1)
path, out, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
steps = 120
draw = lambda *s, seed: torch.randn(s, generator=torch.Generator().manual_seed(seed))
physics = Physics(Convolution(torch.ones(1, 5, 5) / 25, domain=(1, 128, 128)), GaussianNoise(sigma=0.1))
solver = FISTA(prior=WaveletL1(), rtol=0.0, max_steps=steps)
seen = []
def paced(k, problem, state):
    seen.append(k)
    time.sleep(seconds / steps)
solution = solver.solve(
    draw(2, 1, 128, 128, seed=1), physics, callback=paced,
    checkpoint=None if path == "-" else path, checkpoint_every=min(60.0, seconds / 10),
)
torch.save({"x": solution.value, "stats": solution.stats, "first": seen[0], "steps": len(seen)}, out)
"""


@pytest.mark.slow
def test_a_long_solve_that_is_killed_resumes_to_the_same_bits(tmp_path):
    """Ten minutes (INVCORE_LONG_SOLVE seconds), killed twice on the way, equal the same solve left alone."""
    seconds = float(os.environ.get("INVCORE_LONG_SOLVE", 600))
    path = tmp_path / "run.h5"

    def launch(checkpoint, out):
        return subprocess.Popen(
            [sys.executable, "-c", LONG, str(checkpoint), str(tmp_path / out), str(seconds)]
        )

    with launch("-", "whole") as whole:
        for _ in range(2):
            before = path.stat().st_mtime_ns if path.exists() else None
            with launch(path, "killed") as process:
                while not path.exists() or path.stat().st_mtime_ns == before:
                    assert process.poll() is None
                    time.sleep(0.1)
                time.sleep(0.25 * seconds)
                process.send_signal(signal.SIGKILL)
            assert process.returncode == -signal.SIGKILL and path.exists()
        with launch(path, "resumed") as process:
            assert process.wait(60 + 2 * seconds) == 0
        assert whole.wait(60 + 2 * seconds) == 0
    assert not (tmp_path / "killed").exists()
    resumed, alone = (torch.load(tmp_path / n, weights_only=True) for n in ("resumed", "whole"))
    assert (
        alone["first"] == 0 and resumed["first"] > 0 and resumed["first"] + resumed["steps"] == alone["steps"]
    )
    assert torch.equal(resumed["x"], alone["x"])
    assert all(torch.equal(resumed["stats"][name], value) for name, value in alone["stats"].items())


def test_a_checkpoint_of_another_solve_is_refused_with_the_reason(tmp_path):
    path = tmp_path / "run.h5"
    y, solver = normal(30, seed=1), SOLVERS["fista"]
    solver.solve(y, physics_of(), checkpoint=path)
    kept = path.read_bytes()
    other = FISTA(prior=L1(), weight=0.2, max_steps=60, rtol=0.0)
    cases = [
        (other, y, physics_of(), {}, r"solver\.weight: 0\.1 in the file, 0\.2 now"),
        (SOLVERS["cg"], y, physics_of(), {}, r"ConjugateGradient now"),
        (solver, y + 1, physics_of(), {}, r"y: float64\[30\] cpu \w+ in the file"),
        (solver, y, physics_of(seed=5), {}, r"physics\.operator\.matrix"),
        (solver, y, physics_of(sigma=0.2), {}, r"physics\.noise\.sigma: 0\.1 in the file, 0\.2 now"),
        (solver, y, physics_of(), {"x0": normal(20)}, r"x0: None in the file"),
        (
            solver,
            y,
            physics_of(),
            {"record_objective": True},
            r"record_objective: False in the file, True now",
        ),
    ]
    for s, data, physics, options, reason in cases:
        with pytest.raises(SolverError, match=reason):
            s.solve(data, physics, checkpoint=path, **options)
    assert path.read_bytes() == kept and list(tmp_path.iterdir()) == [path]


def test_files_that_are_not_checkpoints_are_left_alone(tmp_path):
    y = normal(30, seed=1)
    text = tmp_path / "notes.txt"
    text.write_text("mine")
    with pytest.raises(DataError, match="cannot be used as a checkpoint: .*not an HDF5 file"):
        SOLVERS["cg"].solve(y, physics_of(), checkpoint=text)
    assert text.read_text() == "mine"
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["a"] = 1
    with pytest.raises(DataError, match="cannot be used as a checkpoint: .*no digest"):
        SOLVERS["cg"].solve(y, physics_of(), checkpoint=tmp_path / "data.h5")
    with pytest.raises(DataError, match="there is no directory"):
        SOLVERS["cg"].solve(y, physics_of(), checkpoint=tmp_path / "no" / "run.h5")
    with pytest.raises(ParameterError, match="checkpoint_every"):
        SOLVERS["cg"].solve(y, physics_of(), checkpoint=tmp_path / "run.h5", checkpoint_every=-1.0)
    with pytest.raises(ParameterError, match="a graph through all steps"):
        SOLVERS["cg"].solve(y, physics_of(), checkpoint=tmp_path / "run.h5", differentiate="unroll")


def test_a_checkpoint_that_cannot_be_written_warns_and_the_solve_goes_on(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("invcore._files.atomic.os.replace", full)
    y = normal(30, seed=1)
    with pytest.warns(UserWarning, match="could not be written .*No space left"):
        x = SOLVERS["cg"].solve(y, physics_of(), checkpoint=tmp_path / "run.h5").value
    assert torch.equal(x, SOLVERS["cg"](y, physics_of())) and not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_does_not_end_a_solve(tmp_path):
    """The limit on the size of files is met at other moments of the write; the process ends well, too."""
    code = textwrap.dedent("""
        import resource, signal, sys, warnings, torch
        from invcore import Physics, Space
        from invcore.operators import Identity
        from invcore.solvers import FISTA
        from invcore.priors import TV
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        y = torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(0))
        solver, physics = FISTA(prior=TV(), weight=0.1, max_steps=3, rtol=0.0), Physics(Identity((1, 64, 64)))
        plain = solver(y, physics)
        for size in (0, 100, 1000, 5000, 20000, 50000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                found = solver.solve(y, physics, checkpoint=sys.argv[1], checkpoint_every=0.0)
            assert torch.equal(found.value, plain) and "could not be written" in str(said[0].message), size
    """)
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "run.h5"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_refused_wherever_the_damage_is(tmp_path):
    path, y, solver = tmp_path / "run.h5", normal(30, seed=1), SOLVERS["fista"]
    solver.solve(y, physics_of(), checkpoint=path, callback=stop_at(5))
    whole = path.read_bytes()
    places = [0, 20, 511, 512, *range(600, len(whole), len(whole) // 40)]
    damaged = [whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :] for at in places]
    for content in [*damaged, b"", whole[:512], whole[:-1], whole + b"x"]:
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"run.h5' cannot be used as a checkpoint: .*or delete it$"):
            solver.solve(y, physics_of(), checkpoint=path)
        assert path.read_bytes() == content
    path.write_bytes(whole)
    assert torch.equal(solver.solve(y, physics_of(), checkpoint=path).value, solver(y, physics_of()))


def test_a_checkpoint_does_not_read_other_files_or_more_than_it_holds(tmp_path):
    path, y, solver = tmp_path / "run.h5", normal(30, seed=1), SOLVERS["fista"]
    solver.solve(y, physics_of(), checkpoint=path, callback=stop_at(5))
    with h5py.File(path) as held:
        inputs = held.attrs["inputs"]
    os.rename(path, tmp_path / "other.h5")

    def link(file):
        file["run"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/run")

    def sparse(file):
        file.create_dataset("run", (10**6, 10**6), "f4").attrs["kind"] = "tensor"

    def circle(file):
        group = file.create_group("run")
        group.attrs["kind"] = "dict"
        group["run"] = group

    for fill, message in ((link, "not followed"), (sparse, "incomplete"), (circle, "recursion")):

        def whole(file, fill=fill):
            file.attrs["invcore_checkpoint"], file.attrs["inputs"] = 2, inputs
            fill(file)

        write_hdf5(path, whole, digest=True)
        with pytest.raises(DataError, match=f"cannot be used as a checkpoint: .*{message}"):
            solver.solve(y, physics_of(), checkpoint=path)


def test_implicit_derivatives_survive_a_resume(tmp_path):
    y = normal(30, seed=1).requires_grad_()
    solver = FISTA(prior=L1(), weight=0.1, max_steps=2000, rtol=1e-12)
    gradients = []
    for path in (None, tmp_path / "run.h5", tmp_path / "run.h5"):
        x = solver.solve(y, physics_of(), differentiate="implicit", checkpoint=path).value
        gradients.append(torch.autograd.grad(x.square().sum(), y)[0])
    assert all(torch.equal(g, gradients[0]) for g in gradients)


def test_layouts_dtypes_and_generators_come_back_as_they_were(tmp_path):
    generator = torch.Generator().manual_seed(4)
    torch.randn(3, generator=generator)
    held = {
        "expanded": torch.arange(3.0).expand(4, 3),
        "transposed": normal(3, 5).mT,
        "conjugate": normal(2, 2, dtype=torch.complex64).conj(),
        "half": normal(3, dtype=torch.float32).bfloat16(),
        "truth": torch.tensor([True, False]),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "rest": (1, 2.5, None, "text", True, [torch.ones(1)], {"a": (3,)}),
        "generator": generator,
    }
    with h5py.File(tmp_path / "f", "w") as file:
        _encode(file, "run", held)
        got = _Decoder({}, torch.device("cpu")).decode(file, "run", None)
    for name in ("expanded", "transposed", "conjugate", "half", "truth", "scalar", "empty"):
        assert torch.equal(got[name], held[name]) and got[name].dtype == held[name].dtype, name
    assert got["expanded"].stride() == (0, 1) and got["transposed"].stride() == held["transposed"].stride()
    assert got["rest"][:5] == held["rest"][:5] and got["rest"][6] == {"a": (3,)}
    assert torch.equal(torch.randn(2, generator=got["generator"]), torch.randn(2, generator=generator))


def test_fingerprints_see_functions_networks_and_nothing_accidental():
    class Net(Prior):
        network: torch.nn.Module

        def _value(self, x, space):
            return x.sum()

    def print_of(scale, seed=0, slope=0.1):
        torch.manual_seed(seed)
        network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LeakyReLU(slope))
        operator = LinearOperator.from_function(lambda x: scale * x, Space((2,)))
        return fingerprint({"solver": Net(network=network), "physics": Physics(operator)})

    with torch.random.fork_rng():
        assert print_of(2.0) == print_of(2.0)
        for changed in (print_of(3.0), print_of(2.0, seed=1), print_of(2.0, slope=0.2)):
            assert changed != print_of(2.0)
