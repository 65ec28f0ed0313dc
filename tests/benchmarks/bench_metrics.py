"""What every metric says of Set12, undamaged and damaged in four ways, and the time it takes for 256 x 256
pixels.

python tests/benchmarks/bench_metrics.py
"""

import os
import time
from pathlib import Path

import _timing  # noqa: F401  # first: pins the threads
import torch
from matplotlib import image as reader
from scipy.ndimage import gaussian_filter

import invcore

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("INVCORE_DATA", ROOT.parent / "shared" / "data")) / "images" / "set12"
RANGED = ("psnr", "ssim", "ms_ssim", "gmsd", "haarpsi", "niqe", "brisque")
NAMES = (
    *("mae", "mse", "l1l2", "lp_norm", "nmse", "nrmse", "snr", "psnr", "cosine", "ergas"),
    *("ssim", "ms_ssim", "gmsd", "haarpsi", "niqe", "brisque", "sharpness", "blur_strength"),
)


def damaged(x, seed):
    """Label to image."""
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=x.dtype)
    return {
        "undamaged": x,
        "noise, σ = 15/255": x + 15 / 255 * noise,
        "noise, σ = 50/255": x + 50 / 255 * noise,
        "blur, 1.5 pixels": torch.from_numpy(gaussian_filter(x.numpy(), (0, 1.5, 1.5))),
        "contrast × 0.6": x.mean() + 0.6 * (x - x.mean()),
    }


def main():
    """Print the table of means over the pictures."""
    torch.set_num_threads(1)
    pictures = [
        torch.from_numpy(reader.imread(p).copy())[None].double() for p in sorted(FOLDER.glob("*.png"))
    ]
    if not pictures:
        raise SystemExit(f"no pictures in {FOLDER}; set INVCORE_DATA")
    versions = [damaged(x, seed) for seed, x in enumerate(pictures)]
    labels = list(versions[0])
    print("| metric | better | " + " | ".join(labels) + " | ms |")
    print("| --- | --- |" + " --- |" * (len(labels) + 1))
    for name in NAMES:
        options = {"data_range": 1.0} if name in RANGED else {"factor": 1.0} if name == "ergas" else {}
        metric = invcore.metric(name, **options)
        blind = getattr(metric, "no_reference", False)
        means = []
        for label in labels:
            values = [
                float(metric(v[label]) if blind else metric(v[label], x))
                for x, v in zip(pictures, versions, strict=True)
            ]
            means.append(sum(values) / len(values))
        x, spent = pictures[0], []
        for _ in range(5):
            begun = time.perf_counter()
            metric(x) if blind else metric(versions[0][labels[1]], x)
            spent.append(time.perf_counter() - begun)
        cells = " | ".join(f"{m:.4g}" for m in means)
        better = "higher" if metric.higher_is_better else "lower"
        print(f"| `{name}` | {better} | {cells} | {1e3 * sorted(spent)[2]:.1f} |")


if __name__ == "__main__":
    main()
