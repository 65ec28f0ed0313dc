"""Measured files lead to the same bits and the same record by both roads."""

import pytest
import torch

from invcore.run import reconstruct, run


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mri/brain8_und2x2.cfl", {}),
        ("tomography/htc2022_fan_ta_sparse.mat", {"size": 64}),
        pytest.param("radio/gravity.oifits", {"size": 16}, marks=pytest.mark.slow),
    ],
)
def test_the_arguments_of_reconstruct_are_a_problem(measured, name, options, tmp_path):
    path = measured(name)
    (tmp_path / "problem.toml").write_text(
        f'[data]\nfile = "{path.as_posix()}"\n[solver]\nmax_steps = 5\n[data.options]\n'
        + "".join(f"{key} = {value}\n" for key, value in options.items())
    )
    one = reconstruct(path, options=options, max_steps=5, output=tmp_path / "one")
    two = run(tmp_path / "problem.toml", output=tmp_path / "two")
    assert torch.equal(one.x, two.x)
    assert one.problem == two.problem
    assert {**one.provenance, "date": None} == {**two.provenance, "date": None}
