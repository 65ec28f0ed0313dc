"""Memory of training through 20 iterations of proximal gradient with a network as prior, against deepinv.

Ours is `invcore_learning.Unrolled` with recomputed steps, and with all of them recorded; and `Equilibrium`.
Each contestant runs in a process of its own; the figure is how far its peak resident memory rises during one
forward and backward pass, after a pass on a small image that loads the libraries. The gradients are compared.
"""

import os
import resource
import subprocess
import sys
from pathlib import Path

N, STEPS, CHANNELS, LAYERS = 192, 20, 16, 9
BATCHES = (1, 3)


def rise(work):
    """How far the peak lies above what was resident before ``work``, in MiB, and what it returns."""
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    result = work()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10 - before, result


def network():
    import torch

    torch.manual_seed(0)
    layers = []
    for i in range(LAYERS):
        layers += [
            torch.nn.Conv2d(CHANNELS if i else 1, CHANNELS if i < LAYERS - 1 else 1, 3, padding=1),
            torch.nn.ReLU(),
        ]
    return torch.nn.Sequential(*layers[:-1])


def contestant(name, batch):
    import torch

    torch.set_num_threads(2)
    net = network()
    generator = torch.Generator().manual_seed(0)
    mask = (torch.rand(1, N, N, generator=generator) > 0.5).float()
    truth = torch.rand(batch, 1, N, N, generator=generator)
    y = mask * truth
    if name == "deepinv":
        import deepinv

        class Denoiser(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.net = net

            def forward(self, x, sigma=None):
                return x - 0.1 * self.net(x)

        model = deepinv.optim.PGD(
            data_fidelity=deepinv.optim.L2(),
            prior=deepinv.optim.PnP(Denoiser()),
            stepsize=1.0,
            sigma_denoiser=0.1,
            max_iter=STEPS,
            unfold=True,
            trainable_params=[],
        )
        forward = lambda y, mask: model(y, deepinv.physics.Inpainting(y.shape[1:], mask=mask))
    else:
        from invcore import Physics
        from invcore.operators import Mask, Space
        from invcore.priors import PnP
        from invcore.solvers import ProximalGradient
        from invcore_learning import Equilibrium, NetworkDenoiser, Unrolled

        class Residual(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.net = net

            def forward(self, x):
                return x - 0.1 * self.net(x)

        prior = PnP(NetworkDenoiser(Residual(), blind=True, value_range=None))
        solver = ProximalGradient(prior=prior, weight=1.0, max_steps=STEPS, rtol=0.0)
        if name == "equilibrium":
            model = Equilibrium(solver, backward="jacobian_free")
        else:
            model = Unrolled(solver, steps=STEPS, checkpointed=name == "unrolled, checkpointed")
        forward = lambda y, mask: model(y, Physics(Mask(mask, domain=Space(tuple(y.shape[1:])))))

    def train():
        net.zero_grad()
        ((forward(y, mask) - truth) ** 2).mean().backward()
        return float(sum((p.grad**2).sum() for p in net.parameters()) ** 0.5)

    net(y).sum().backward()  # the work space of the network and the gradients allocated
    forward(y[..., :8, :8], mask[..., :8, :8]).sum().backward()  # libraries loaded
    memory, gradient = rise(train)
    print(f"{memory:.1f} {gradient:.7e}")


def main():
    for batch in BATCHES:
        rows = {}
        for name in ("unrolled, checkpointed", "unrolled", "equilibrium", "deepinv"):
            got = subprocess.run(
                [sys.executable, __file__, name, str(batch)],
                env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},  # freed memory goes back to the system
                capture_output=True,
                text=True,
                check=False,
            )
            if got.returncode:
                print(f"{name}: left out ({got.stderr.strip().splitlines()[-1]})")
                continue
            rows[name] = [float(v) for v in got.stdout.split()[-2:]]
        ours = rows["unrolled, checkpointed"][0]
        print(
            f"\nPeak memory of training through {STEPS} steps, {batch} x {N} x {N}, {LAYERS} layers of "
            f"{CHANNELS} channels"
        )
        for name, (memory, gradient) in rows.items():
            print(
                f"  {name:22} {memory:8.1f} MiB   norm of the gradient {gradient:.6e}   {memory / ours:6.2f}x"
            )


if __name__ == "__main__":
    contestant(sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 1 else main()
