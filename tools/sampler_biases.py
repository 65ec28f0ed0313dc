"""Print how far the draws of every registered sampler are from posteriors that are known in closed form.

    python tools/sampler_biases.py [NAME ...]
    python tools/sampler_biases.py --steps 20 80 320 -- [NAME ...]

The tables of ``docs/explanation/posterior-sampling.md``, in Markdown: images of two pixels, Gaussian ones
behind a blur and a mixture of three Gaussians of which one pixel is seen, with noise of standard deviation
0.5. The samplers are the first of the examples that the conformance kit tests: some take fewer steps than by
default. With ``--steps`` those that go down noise levels take so many, and the table has the error of the
variance on the Gaussian images and the distance on the mixture. Rows go to stderr as they are found.
"""

import argparse
import dataclasses
import sys
import time

import torch

import invcore
from invcore.testing import KnownPrior
from invcore.testing._draws import Truth
from invcore.testing._known import data_of, physics_of, posterior_of

DRAWS = 4000
PROBLEMS = ((KnownPrior.gaussian(), physics_of("blur")), (KnownPrior.mixture(), physics_of("mask")))
FIGURES = ("covariance", "distance", "90 % set")
HEAD = ("sampler", "steps", "Gaussian: mean", *FIGURES, "mixture: mean", *FIGURES, "states a bias")
LEFT_OUT = ("diffusion.diffusion",)  # any guidance: those that are methods have names of their own


def made(component, known):
    """The sampler for this prior, None if it is not for it."""
    example = next(iter(component.load_examples().values()))
    return None if example.physics is not None else example.make(known)


def drawn(sampler, known, physics, draws):
    """Draws as vectors, and the number of steps; None if they diverge."""
    try:
        g = torch.Generator().manual_seed(0)
        chain = sampler.chain(data_of(known, physics), physics, draws=1, chains=draws, keep=0, generator=g)
    except invcore.SolverError:
        return None, 0
    return chain.last.reshape(draws, -1).double(), chain.steps


def cells(truth, vectors):
    """The errors of draws, as text."""
    e = truth.errors(vectors)
    return (f"{e.mean:.2f}", f"{e.ratio - 1:+.2f}", f"{e.distance:.2f}", f"{0.9 + e.coverage:.0%}")


def row(component, truths):
    """A sampler on both problems; None if it is for neither."""
    found, steps, biased = [], 0, False
    for (known, physics), truth in zip(PROBLEMS, truths):
        sampler = made(component, known)
        if sampler is None:
            found += 4 * ["-"]
            continue
        vectors, taken = drawn(sampler, known, physics, DRAWS)
        steps, biased = max(steps, taken), biased or bool(sampler.bias)
        found += 4 * ["diverges"] if vectors is None else cells(truth, vectors)
    if not steps:
        return None
    return [f"`{component.name}`", str(steps), *found, "yes" if biased else "no"]


def row_of_steps(component, truths, numbers):
    """A sampler with several numbers of steps: the error of the variance, then the distance."""
    found = []
    for (known, physics), truth, figure in zip(PROBLEMS, truths, ("ratio", "distance")):
        sampler = made(component, known)
        if sampler is None or not any(f.name == "steps" for f in dataclasses.fields(sampler)):
            return None
        for steps in numbers:
            vectors, _ = drawn(dataclasses.replace(sampler, steps=steps), known, physics, truth.draws)
            if vectors is None:
                found.append("diverges")
                continue
            error = getattr(truth.errors(vectors), figure)
            found.append(f"{error - 1:+.2f}" if figure == "ratio" else f"{error:.2f}")
    return [f"`{component.name}`", *found, "yes" if sampler.bias else "no"]


def main(names, numbers):
    """Print the table."""
    torch.set_num_threads(1)
    draws = DRAWS // 2 if numbers else DRAWS
    truths = [Truth(posterior_of(k, p, data_of(k, p)), draws) for k, p in PROBLEMS]
    g = torch.Generator().manual_seed(1)
    if numbers:
        head = ["sampler", *(f"{figure}, {n}" for figure in ("covariance", "distance") for n in numbers)]
        head, rows = [*head, "states a bias"], []
    else:
        exact = [cell for t in truths for cell in cells(t, t.density.sample(DRAWS, g))]
        head, rows = HEAD, [["exact draws", "", *exact, "no"]]
    known = len(rows)
    for component in invcore.components("sampler"):
        if component.name in LEFT_OUT or (names and component.name not in names):
            continue
        start = time.perf_counter()
        found = row_of_steps(component, truths, numbers) if numbers else row(component, truths)
        if found is None:
            continue
        rows.append(found)
        print(f"{time.perf_counter() - start:5.1f} s", *found, file=sys.stderr, flush=True)
    rows[known:] = sorted(rows[known:], key=lambda r: (r[-1], r[0]))
    for cells_of in (head, ("---", *(len(head) - 2) * ("--:",), "---"), *rows):
        print("|", " | ".join(cells_of), "|")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--steps", nargs="+", type=int, default=[])
    given = parser.parse_args()
    main(given.names, given.steps)
