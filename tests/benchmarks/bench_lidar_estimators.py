"""Depth errors of the lidar estimators on the synthetic still life: 1, 5 and 20 signal photons a pixel, two
backgrounds.

    python tests/benchmarks/bench_lidar_estimators.py [pixels]

Root mean square error in millimeters over all pixels of a 40 ns gate (6 m), bins of 100 ps, response of 300
ps; in parentheses the median error, and the share of pixels wrong by more than 10 cm. Pixels without photons
take the median depth.
"""

import sys

import torch

from invcore_lidar import (
    ImpulseResponse,
    RegularizedDepth,
    matched_filter,
    simulate_tags,
    still_life,
    unmixed,
)


def main(size: int) -> None:
    scene = still_life((size, size))
    impulse = ImpulseResponse.gaussian(fwhm=300e-12)
    methods = {
        "cross-correlation": lambda data: matched_filter(data, impulse, kind="correlation"),
        "log-matched": lambda data: matched_filter(data, impulse),
        "unmixed": lambda data: unmixed(data, impulse),
        "regularized": lambda data: RegularizedDepth().estimate(data, impulse),
    }
    print(f"{'photons':>7} {'SBR':>4}  " + "".join(f"{name:>27}" for name in methods) + "   gain")
    for photons in (1, 5, 20):
        for ratio in (0.1, 1.0):
            data = simulate_tags(
                scene.depth,
                scene.reflectivity,
                impulse=impulse,
                photons=photons,
                signal_to_background=ratio,
                generator=torch.Generator().manual_seed(0),
                gate=(0.0, 40e-9),
            ).histogram(100)
            cells, errors = "", {}
            for name, method in methods.items():
                error = (method(data).image()[:1] - scene.depth).abs()
                errors[name] = float(error.square().mean().sqrt())
                median, wrong = float(error.median()), float((error > 0.1).double().mean())
                cells += f"{1e3 * errors[name]:10.1f} ({1e3 * median:6.1f}, {100 * wrong:4.1f} %)"
            gain = errors["log-matched"] / errors["regularized"]
            print(f"{photons:7d} {ratio:4.1f}  {cells} {gain:6.1f}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 96)
