"""Help, completion, and what `invcore info` says of the components that are there."""

import os
import subprocess
import sys

import pytest
import torch
from typer.main import get_command

import invcore
from invcore import Physics
from invcore.cli import _app
from invcore.operators import Identity

COMMANDS = get_command(_app.build()).commands


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("columns", ["50", "200"])
def test_help_shows_every_text_whole(name, columns, command, monkeypatch):
    """No markup is taken out of it, and no type is invented for a flag."""
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERMINAL_WIDTH", columns)
    shown = "".join(command(name, "--help")[1].split())
    for parameter in COMMANDS[name].params:
        if parameter.name != "help":
            assert parameter.help, f"{parameter.name} has no help"
            assert "".join(parameter.help.split()) in shown
    assert "".join(COMMANDS[name].help.split()) in shown
    assert "<bool>" not in shown


def test_the_list_of_commands_cuts_no_sentence(command):
    assert "..." not in command("--help")[1].partition("Options:")[2]


def complete(*words):
    """What the shell is offered after ``invcore WORDS``; the last is to be completed."""
    env = {**os.environ, "_INVCORE_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(["invcore", *words])}
    code = (
        "import sys; from invcore.cli import main\n"
        "try:\n    main([])\nfinally:\n    assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**env, "COMP_CWORD": str(len(words))},
        capture_output=True,
        text=True,
    )
    assert not done.stderr
    return done.stdout.split()


def test_completion_offers_commands_options_and_names_without_torch():
    assert complete("reconstruct", "--max") == ["--max-steps"]
    assert complete("reconstruct", "scan.h5", "--solver", "richardson") == ["richardson_lucy"]


def accepted(solver, prior):
    """Whether two steps with this prior raise no ParameterError."""
    physics = Physics(Identity((1, 8, 8)), invcore.noise("gaussian", sigma=0.1))
    try:
        invcore.solver(solver, prior=prior, weight=0.1, max_steps=2)(torch.full((1, 8, 8), 0.5), physics)
    except invcore.ParameterError:
        return False
    return True


@pytest.mark.parametrize("solver", [c for c in invcore.components("solver") if c.plugin == "invcore"])
def test_a_solver_and_a_prior_fit_if_they_share_a_tag(solver):
    """l1 has a proximal operator only, the relative difference a gradient only."""
    if "prior" not in getattr(solver.load(), "__dataclass_fields__", {}):
        assert not {"prox", "smooth"} & set(solver.tags)
        return
    if solver.name != "irls":  # for l1 alone, which it smooths
        assert accepted(solver.name, invcore.prior("l1")) == ("prox" in solver.tags)
    assert accepted(solver.name, invcore.prior("relative_difference")) == ("smooth" in solver.tags)


def test_info_names_priors_that_fit_a_solver(command):
    out = command("info", "fista")[1]
    shown = out.partition("  priors ")[2]
    assert "tv" in shown and "wavelet" in shown and "relative_difference" not in shown
    assert "invcore reconstruct FILE --solver fista --prior NAME" in out
    assert "Maximum number of steps." in out  # said by the base class
    assert "fista" in command("info", "tv", "--kind", "prior")[1].partition("  solvers ")[2]


def test_demo_without_a_name_lists_them(command, distributions):
    distributions.simple("invcore-acme", "dataset", extra='summary="A scan.", tags=("demo",)')
    code, out, _ = command("demo")
    assert code == 0 and "invcore demo acme" in out and "A scan." in out
    assert "Did you mean 'acme'?" in command("demo", "acm")[2]
