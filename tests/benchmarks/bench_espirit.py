"""ESPIRiT coil maps at 320 x 320 x 16 coils, against sigpy."""

import _timing  # first: pins the threads
import numpy as np
import torch
from _timing import Contestant, available, race

from invcore_mri import espirit, simulate

N, COILS = 320, 16


@torch.no_grad()
def main():
    scan = simulate((N, N), coils=COILS, sigma=0.002, generator=torch.Generator().manual_seed(0))
    inside = scan.image.abs()[0] > 0.2

    def error(maps):
        """1 - the mean correlation with the true sensitivities inside the object."""
        maps = torch.as_tensor(np.asarray(maps))
        dot = (maps.conj() * scan.maps).sum(0).abs()
        norms = torch.linalg.vector_norm(maps, dim=0) * torch.linalg.vector_norm(scan.maps, dim=0)
        return 1 - float((dot / norms.clamp_min(1e-12))[inside].mean())

    contestants = [Contestant("invcore", lambda: espirit(scan.kspace, calib=24, kernel=6), error)]
    if available("sigpy"):
        import sigpy.mri

        kspace = scan.kspace.numpy()

        def run():
            return sigpy.mri.app.EspiritCalib(kspace, calib_width=24, kernel_width=6, show_pbar=False).run()

        contestants.append(Contestant("sigpy", run, error))
        ours, theirs = contestants[0].work(), torch.as_tensor(run())
        both = inside & (theirs.abs().sum(0) > 0)
        dot = (ours.conj() * theirs).sum(0).abs()
        norms = torch.linalg.vector_norm(ours, dim=0) * torch.linalg.vector_norm(theirs, dim=0)
        correlation = (dot / norms.clamp_min(1e-12))[both]
        print(
            f"correlation with sigpy's maps: mean {correlation.mean():.6f}, 1 % quantile "
            f"{correlation.quantile(0.01):.6f}"
        )
    race(f"ESPIRiT, {N} x {N} x {COILS} coils (error: 1 - correlation with the truth)", contestants, rounds=3)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {_timing.THREADS} threads")
    main()
