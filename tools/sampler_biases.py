"""Print how far the draws of every registered sampler are from posteriors that are known in closed form.

    python tools/sampler_biases.py [NAME ...]

The table of ``docs/explanation/posterior-sampling.md``, in Markdown: images of two pixels, Gaussian ones
behind a blur and a mixture of three Gaussians of which one pixel is seen, with noise of standard deviation
0.5. The samplers are the first of the examples that the conformance kit tests: some take fewer steps than by
default. Rows go to stderr as they are found.
"""

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


def cells(truth, vectors):
    """The errors of draws, as text."""
    e = truth.errors(vectors)
    return (f"{e.mean:.2f}", f"{e.ratio - 1:+.2f}", f"{e.distance:.2f}", f"{0.9 + e.coverage:.0%}")


def row(component, truths):
    """A sampler on both problems."""
    found, steps, biased = [], 0, False
    for (known, physics), truth in zip(PROBLEMS, truths):
        sampler = made(component, known)
        if sampler is None:
            found += 4 * ["-"]
            continue
        g = torch.Generator().manual_seed(0)
        try:
            chain = sampler.chain(
                data_of(known, physics), physics, draws=1, chains=DRAWS, keep=0, generator=g
            )
        except invcore.SolverError:
            found += 4 * ["diverges"]
            continue
        steps, biased = max(steps, chain.steps), biased or bool(sampler.bias)
        found += cells(truth, chain.last.reshape(DRAWS, -1).double())
    return [f"`{component.name}`", str(steps), *found, "yes" if biased else "no"]


def main(names):
    """Print the table."""
    torch.set_num_threads(1)
    truths = [Truth(posterior_of(k, p, data_of(k, p)), DRAWS) for k, p in PROBLEMS]
    g = torch.Generator().manual_seed(1)
    exact = [cell for t in truths for cell in cells(t, t.density.sample(DRAWS, g))]
    rows = [["exact draws", "", *exact, "no"]]
    for component in invcore.components("sampler"):
        if component.name in LEFT_OUT or (names and component.name not in names):
            continue
        start = time.perf_counter()
        rows.append(row(component, truths))
        took = time.perf_counter() - start
        print(f"{took:5.1f} s", *rows[-1], file=sys.stderr, flush=True)
    rows[1:] = sorted(rows[1:], key=lambda r: (r[-1], r[0]))
    for cells_of in (HEAD, ("---", *(len(HEAD) - 2) * ("--:",), "---"), *rows):
        print("|", " | ".join(cells_of), "|")


if __name__ == "__main__":
    main(sys.argv[1:])
