"""Mistakes in problem files and results: an error that names the entry, never a defect."""

import json
import os

import h5py
import numpy as np
import pytest

from invcore import InvcoreError, run
from invcore.run import simulate
from invcore.run._problem import load
from invcore.run._schema import fits

SECTIONS = {
    "image": {"file": '"x.npy"'},
    "operator": {"name": '"identity"'},
    "noise": {"name": '"gaussian"', "sigma": "0.1"},
    "solver": {"name": '"fista"', "max_steps": "2", "prior": '{ name = "l1" }'},
}
VALUES = [
    '"a"', "nan", "[1]", "true", "1" + "0" * 25, "2020-01-01", "07:32:00", "[[1], [2, 3]]", "{ a = 1 }",
    "{ name = 5 }", "{ file = 5 }", '{ tensor = "x" }', "{ tensor = [[1], [2, 3]] }", "{ generator = 3 }",
    "{ shape = [-1] }",
]  # fmt: skip


def written(folder, entries, top=""):
    """A problem file of some sections, and of entries by ``section.key``."""
    sections = {name: dict(table) for name, table in SECTIONS.items()}
    for place, value in entries.items():
        section, key = place.split(".")
        sections.setdefault(section, {})[key] = value
    lines = [top]
    for name, table in sections.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in table.items())]
    (folder / "problem.toml").write_text("\n".join(lines))
    return folder / "problem.toml"


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((1, 8, 8)).astype(np.float32))
    return tmp_path


ELSEWHERE = {('"a"', "prior"), ("nan", "sigma"), ("nan", "rtol"), ("nan", "weight"), ("[1]", "weight")}
"""What another test holds, and what is right: a weight may be a list, one for each step."""

PLACES = ["noise.sigma", "solver.rtol", "solver.weight", "solver.max_steps", "solver.prior"]


@pytest.mark.parametrize("place", PLACES)
def test_a_wrong_value_is_named_by_its_key(place, folder):
    key = place.split(".")[1]
    for value in VALUES:
        if (value, key) not in ELSEWHERE:
            with pytest.raises(InvcoreError, match=key):
                run.run(written(folder, {place: value}), output=folder / "out")


@pytest.mark.parametrize("value", VALUES)
def test_a_section_that_is_no_section_is_named(value, folder):
    for section in ("operator", "noise", "solver", "image", "metrics", "data", "seed", "device", "reference"):
        text = "\n".join(
            f"[{name}]\n" + "\n".join(f"{k} = {v}" for k, v in table.items())
            for name, table in SECTIONS.items()
            if name != section
        )
        (folder / "problem.toml").write_text(f"{section} = {value}\n{text}")
        table = value.startswith("{") and section in ("solver", "metrics")  # whose names are looked up later
        if not table and (section, value) not in {("device", '"a"'), ("reference", '"a"')}:
            with pytest.raises(InvcoreError, match=section):
                load(folder / "problem.toml")


def test_a_prior_or_fidelity_may_be_named_without_a_table(folder):
    path = written(folder, {"solver.prior": '"tv"', "solver.fidelity": '"least_squares"'})
    found = run.run(path, output=folder / "out").solver
    assert type(found.prior).__name__ == "TV" and type(found.fidelity).__name__ == "LeastSquares"


def test_files_that_are_no_problem(folder):
    deep = "a = " + "{b=" * 1000 + "1" + "}" * 1000
    dotted, brackets = ".".join("a" * 2000) + " = 1", "a = " + "[" * 2000 + "]" * 2000
    digits = f"seed = {'9' * 5000}"
    for text in ["", "\0", deep, brackets, dotted, digits, "[image]\n[image]", "seed = 1e400"]:
        (folder / "problem.toml").write_text(text)
        with pytest.raises(InvcoreError, match=r"problem\.toml"):
            load(folder / "problem.toml")
    os.mkfifo(folder / "pipe.toml")
    with pytest.raises(InvcoreError, match="named pipe"):
        load(folder / "pipe.toml")
    names = {
        "~nosuchuser/x.npy": "no such user",
        "a\\u0000b.npy": "a.*npy",
        "/dev/null": "no image by its name",
    }
    for name, message in names.items():
        with pytest.raises((InvcoreError, OSError), match=message):
            simulate(written(folder, {"image.file": f'"{name}"'}))
    with pytest.raises(InvcoreError, match="options has no 'path'"):
        load(written(folder, {"data.file": '"x.npy"', "data.options": '{ path = "y" }'}))


def test_results_that_embed_no_problem(folder):
    """A problem that is a group, a number, no TOML; a record that is no JSON, or no object."""

    def holding(**entries):
        with h5py.File(folder / "result.h5", "w") as file:
            for name, value in entries.items():
                file.create_group(name) if value is None else file.create_dataset(name, data=value)
        return folder / "result.h5"

    for entries in (
        {"problem": None},
        {"problem": 5.0},
        {"problem": "[[["},
        {"problem": ["a", "b"]},
        {"provenance": "{bad"},
        {"provenance": "[" * 5000},
        {"provenance": "[1]"},
        {"provenance": json.dumps({"problem": 5})},
        {"x": np.ones((1, 1, 4, 4))},
    ):
        with pytest.raises(InvcoreError, match=r"result\.h5"):
            load(holding(**entries))


def test_a_result_whose_data_are_elsewhere_says_where_it_looked(folder, tmp_path_factory, monkeypatch):
    done = run.run(written(folder, {}), output=folder / "out").files["image"]
    away = tmp_path_factory.mktemp("away")
    os.rename(done, away / "r.h5")
    monkeypatch.chdir(away)
    os.rename(folder / "x.npy", folder / "y.npy")
    with pytest.raises(FileNotFoundError, match=r"x\.npy' is neither in .* nor in the current folder"):
        load(away / "r.h5")
    os.rename(folder / "y.npy", folder / "x.npy")
    assert "image" in load(away / "r.h5")


def test_types_of_fields():
    for annotation, good, bad in (
        ("int", [3], [True, 3.0, "3"]),
        ("float | Tensor", [3, 0.5], ["0.5", (1.0,), True]),
        ("Literal['auto'] | float", ["auto", 1.0], ["al", True]),
        ("tuple[int, int] | None", [(1, 2), None], [(1,), (1, 2.5), 3]),
        ("tuple[tuple[int, int], ...]", [((1, 2),), ()], [(1, 2)]),
        ("Prior | None", [None, object()], ["tv", 1]),
        ("Boundary", ["anything"], []),
    ):
        assert all(fits(annotation, value) for value in good), annotation
        assert not any(fits(annotation, value) for value in bad), annotation
