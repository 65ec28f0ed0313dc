"""The engine is imported when a training starts, not before."""

import subprocess
import sys


def test_lightning_comes_with_the_training():
    code = (
        "import sys, torch, invcore\n"
        "from invcore_learning import Files, Loading, Optimization, Validation, evaluate, train\n"
        "assert not any(name.startswith('lightning') for name in sys.modules)\n"
        "images = [torch.zeros(1, 2, 2)]\n"
        "physics = invcore.Physics(invcore.operators.Identity((1, 2, 2)))\n"
        "class Model(torch.nn.Conv2d):\n"
        "    def forward(self, y, physics): return super().forward(y)\n"
        "train(Model(1, 1, 1), physics, images, optimization=Optimization(steps=1))\n"
        "assert 'lightning_fabric' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
