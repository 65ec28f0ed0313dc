"""A file name, a problem that only names the file, and a result lead to the same bits and the same record."""

import pytest
import torch

import invcore
from invcore.operators import Identity
from invcore.run import reconstruct, run
from invcore.run._problem import complete

SMALL = {
    "mri.phantom": ({"shape": (48, 44), "coils": 3, "acceleration": 2.0}, {}),
    "tomography.shepp_logan": ({"columns": 32, "views": 12, "full_views": 24}, {}),
    "radio.galaxy": ({"antennas": 6, "hours": 1.0, "interval": 600.0}, {"size": 32}),
    "lidar.still_life": ({"shape": (8, 10), "full_photons": 10.0}, {}),
}
"""Options of the demos' data sets, and of their readers, that make them quick."""


def plain(record):
    return {key: value for key, value in record.items() if key not in ("date", "command")}


def agree(path, options, folder):
    """Reconstruct a file in each way, and return the first result."""
    lines = ["[data]", f'file = "{path.as_posix()}"']
    if options:
        lines.append("options = { " + ", ".join(f"{k} = {v}" for k, v in options.items()) + " }")
    (folder / "problem.toml").write_text("\n".join(lines))
    first = reconstruct(path, options=options, output=folder / "first")
    problems = folder / "problem.toml", {"data": {"file": path, "options": options}}, first.files["image"]
    for problem in problems:
        other = run(problem, output=folder / "other")
        assert torch.equal(first.x, other.x)
        assert plain(first.provenance) == plain(other.provenance)
        assert first.problem == other.problem
    return first


@pytest.mark.parametrize("name", [found.name for found in invcore.components("dataset", tag="demo")])
def test_all_ways_agree_on_every_demo(name, tmp_path):
    options, of_reader = SMALL.get(name, ({}, {}))
    generator = torch.Generator().manual_seed(0)
    raw, _ = invcore.dataset(name, **options).write(tmp_path, generator=generator)
    result = agree(raw, of_reader, tmp_path)
    suggested = invcore.read(raw, **of_reader).solver
    assert result.problem["solver"]["name"] == suggested["name"]
    assert result.problem["solver"]["rtol"] == suggested.get("rtol", 1e-3)


def test_a_suggested_weight_suits_the_suggested_prior_only():
    acquisition = invcore.Acquisition(
        y=torch.zeros(1, 4, 4),
        physics=invcore.Physics(Identity((1, 4, 4))),
        solver={"name": "fista", "prior": {"name": "tv"}, "weight": 0.25},
    )

    def weight(**solver):
        return complete({"seed": 0, "solver": {"name": "fista", **solver}}, acquisition)["solver"].get(
            "weight"
        )

    assert weight() == weight(prior="tv") == 0.25
    assert weight(prior={"name": "wavelet"}) is None
    assert weight(prior="wavelet", weight=3.0) == 3.0
