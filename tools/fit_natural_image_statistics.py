"""Make ``invcore/metrics/data``: the model of natural images of NIQE, and the regressor of BRISQUE.

    python tools/fit_natural_image_statistics.py FOLDER

FOLDER holds the 400 gray crops of 180 x 180 pixels from BSDS that denoisers are commonly trained on, as PNG
files. The figures that the cards beside the files state are printed. The files come out the same to the bit
wherever torch, NumPy and SciPy have the same version, and the cards hold their digests.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", MKL_CBWR="AVX2", ATEN_CPU_CAPABILITY="avx2")

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib import image as reader
from scipy.fft import dctn, idctn
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from invcore.metrics import BRISQUE, GMSD, NIQE
from invcore.metrics._brisque import _kernel, _scaled
from invcore.metrics._natural import gray
from invcore.metrics._niqe import _features

DATA = Path(__file__).parents[1] / "packages/core/src/invcore/metrics/data"
HELD_OUT = 40


def load(folder):
    """All images as one tensor ``(image, 1, y, x)`` in [0, 1]."""
    images = [np.atleast_3d(reader.imread(path))[..., 0] for path in sorted(Path(folder).glob("*.png"))]
    return torch.from_numpy(np.stack(images))[:, None]


def coded(x, step):
    """Blocks of 8 x 8 cosine coefficients, rounded to steps that grow with frequency."""
    rows, columns = (n // 8 * 8 for n in x.shape)
    blocks = x[:rows, :columns].reshape(rows // 8, 8, columns // 8, 8)
    k = np.arange(8)
    steps = step * (1 + (k[:, None, None] + k) / 2)
    coefficients = np.round(dctn(blocks, axes=(1, 3), norm="ortho") / steps) * steps
    out = x.copy()
    out[:rows, :columns] = idctn(coefficients, axes=(1, 3), norm="ortho").reshape(rows, columns)
    return out


def versions(x, rng):
    """An image, and three levels of each defect, drawn log-uniformly."""
    yield x
    for _ in range(3):
        yield x + rng.standard_normal(x.shape) * np.exp(rng.uniform(np.log(2), np.log(100))) / 255
        yield gaussian_filter(x, np.exp(rng.uniform(np.log(0.4), np.log(6))))
        yield coded(x, np.exp(rng.uniform(np.log(4), np.log(150))) / 255)


def degraded(images, seed):
    """Features, and 100 times the GMSD to the original, of all versions."""
    rng, features, scores = np.random.default_rng(seed), [], []
    metric, gmsd = (
        BRISQUE(data_range=1.0, regressor=dict.fromkeys(PARTS, torch.zeros(()))),
        GMSD(data_range=1.0),
    )
    for x in images.double():
        batch = torch.from_numpy(np.stack(list(versions(x[0].numpy(), rng)))).clamp(0, 1)[:, None]
        features.append(metric.features(batch))
        scores.append(100 * gmsd(batch, x.expand_as(batch)))
    return torch.cat(features), torch.cat(scores)


PARTS = ("low", "high", "centers", "weights", "offset", "width")


def main():
    """Fit both, and say how well they do."""
    images = load(sys.argv[1])
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    held, choosing, fitted = images[order].split((HELD_OUT, HELD_OUT, len(images) - 2 * HELD_OUT))
    DATA.mkdir(exist_ok=True)

    niqe = NIQE.fit(images, data_range=1.0, stride=28)
    np.savez(DATA / "niqe.npz", mean=niqe.mean.numpy(), covariance=niqe.covariance.float().numpy())
    _, sharp = _features(gray("", images, 1.0), 96, 28)
    print(
        "NIQE:",
        int((sharp > 0.75 * sharp.amax(-1, keepdim=True)).sum()),
        "patches; eigenvalues of the covariance",
    )
    print("  from {:.2g} to {:.2g}".format(*torch.linalg.eigvalsh(niqe.covariance)[[0, -1]].tolist()))

    features, scores = degraded(fitted, 0)
    choices, choice_scores = degraded(choosing, 1)
    others, truth = degraded(held, 2)
    best = None
    for width in (1.0, 2.0, 3.0, 5.0):
        for ridge in (1e-6, 1e-5, 1e-4, 1e-3):
            metric = BRISQUE.fit(features, scores, data_range=1.0, width=width, ridge=ridge)
            error = float((predicted(metric, choices) - choice_scores).square().mean().sqrt())
            if best is None or error < best[0]:
                best = (error, width, ridge, metric)
    _, width, ridge, metric = best
    error = float((predicted(metric, others) - truth).square().mean().sqrt())
    np.savez(DATA / "brisque.npz", **{k: v.float().numpy() for k, v in metric.regressor.items()})
    rank = spearmanr(predicted(metric, others), truth).statistic
    print(f"BRISQUE: {len(scores)} images for the fit, {len(truth)} held out; width {width}, ridge {ridge:g}")
    print(
        f"  held out: root mean square error {error:.2f} of a spread of {float(truth.std()):.2f}, rank "
        f"{rank:.3f}"
    )
    for path in sorted(DATA.glob("*.npz")):
        print(path.name, path.stat().st_size, "bytes, sha256", hashlib.sha256(path.read_bytes()).hexdigest())


def predicted(metric, features):
    """The score of features."""
    r = metric.regressor
    return r["offset"] + _kernel(_scaled(features, r), r) @ r["weights"]


if __name__ == "__main__":
    main()
