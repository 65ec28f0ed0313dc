"""Read damaged files with every registered reader, and print what came of it.

    python tools/fuzz.py --inputs 100000 --seed 0 --keep finds [--data FOLDER] [READER ...]

Readers take turns, the one that has used the least time next, so that quick ones get more inputs. Files of at
most 256 kB below ``--data`` that a reader recognizes are samples too, beside those of its examples. Each
finding is kept as a folder; ``READER --only 123`` with the same seed and data tries one input again. The exit
status is 1 if there are findings.
"""

import argparse
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

import torch

import invcore
from invcore.testing import FuzzReport, fuzz

_TURN = 2000
_SECONDS = 60  # of a turn, about
_LARGEST = 2**18


def samples_below(folder, component):
    """Functions that copy the small files of a folder that a reader recognizes."""
    reader = component.load()()
    found = {}
    for path in sorted(folder.rglob("*")) if folder else []:
        if path.is_file() and path.stat().st_size <= _LARGEST and reader.sniff(path):
            beside = [p for p in path.parent.glob(f"{path.stem}.*") if p.stat().st_size <= _LARGEST]
            found[path.relative_to(folder).as_posix()] = copier(path, beside)
    return found


def copier(path, beside):
    """A function that copies a file, and what lies beside it, into a folder."""

    def write(folder):
        for file in {path, *beside}:
            shutil.copy(file, folder / file.name)
        return folder / path.name

    return write


def figures(reports, began):
    """The figures of all readers together."""
    outcomes = sum((r.outcomes for r in reports), Counter())
    kinds = Counter(f.kind for r in reports for f in r.findings)
    slowest, greediest = (max(getattr(r, n) for r in reports) for n in ("seconds", "memory"))
    return (
        f"{sum(outcomes.values())} inputs of {len(reports)} readers in {time.time() - began:.0f} s\n"
        f"answers: {', '.join(f'{n} {what}' for what, n in outcomes.most_common())}\n"
        f"crashes {kinds['crash']}, hangs {kinds['hang']}, out of memory {kinds['memory']}, "
        f"wrong kind of error {kinds['error']}, silent wrong data {kinds['silent']}, sniff {kinds['sniff']}\n"
        f"slowest {slowest:.1f} s, peak memory {greediest / 2**20:.0f} MiB"
    )


def joined(into, part):
    """Add the figures of a turn to those of a reader."""
    into.outcomes += part.outcomes
    into.findings += part.findings
    into.seconds, into.memory = max(into.seconds, part.seconds), max(into.memory, part.memory)
    into.skipped = part.skipped


def main():
    """Let the readers take turns until the inputs are used up."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("readers", nargs="*", help="names; all by default")
    parser.add_argument("--inputs", type=int, default=100_000, help="of all readers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10.0, help="time limit for an input")
    parser.add_argument("--keep", type=Path, help="folder for inputs that make findings")
    parser.add_argument("--data", type=Path, help="folder of measured data")
    parser.add_argument("--only", type=int, help="try this input alone")
    words = parser.parse_args()
    torch.set_num_threads(1)
    components = [c for c in invcore.components("reader") if not words.readers or c.name in words.readers]
    components = [c for c in components if c.examples and c.status == "available"]
    more = {c.name: samples_below(words.data, c) for c in components}
    reports, spent, began = {c.name: FuzzReport(c.name) for c in components}, Counter(), time.time()
    while (done := sum(r.inputs for r in reports.values())) < words.inputs:
        c = min(components, key=lambda c: spent[c.name])
        start = reports[c.name].inputs
        rate = start / spent[c.name] if start else 3.0  # inputs a second
        count = min(_TURN, words.inputs - done, max(20, int(_SECONDS * rate)))
        turn = range(start, start + count) if words.only is None else [words.only]
        begun = time.time()
        part = fuzz(
            c, inputs=turn, seed=words.seed, seconds=words.seconds, samples=more[c.name], keep=words.keep
        )
        spent[c.name] += time.time() - begun
        for finding in part.findings:
            print(f"{c.name}: {finding}", flush=True)
        joined(reports[c.name], part)
        if words.only is not None:
            break
        print(
            f"{done + part.inputs} of {words.inputs} after {time.time() - began:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    print(*reports.values(), figures(list(reports.values()), began), sep="\n")
    return 1 if any(r.findings for r in reports.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
