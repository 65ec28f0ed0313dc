"""`train`: any model R(y, physics), with any loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch.nn import Module

from invcore import Physics
from invcore.losses import Loss, Supervised

from .engine import check_engine, engine
from .layout import channels_last
from .loop import Loop, Training
from .objective import full_precision_images
from .options import Files, Loading, Logging, Optimization, Validation

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def train(
    model: Module,
    physics: Physics | Sequence[Physics],
    dataset: Any,
    *,
    loss: Loss | None = None,
    optimization: Optimization | None = None,
    loading: Loading | None = None,
    validation: Validation | None = None,
    files: Files | None = None,
    logging: Logging | None = None,
    seed: int = 0,
    fabric: Fabric | None = None,
) -> Training:
    """Train a model, in place.

    All random numbers depend on the seed, the step and the sample, and on nothing else: a training that is
    killed and called again goes on from its last checkpoint to the same bits. (On a GPU that also takes
    ``torch.use_deterministic_algorithms``.) Torch's global generator stays as it is. On a CPU 2-D
    convolutions work with their channels last in memory, which is faster; the model comes back as it was.

    Parameters
    ----------
    model : Module
        ``model(y, physics)``.
    physics : Physics or sequence of Physics
        What measures the images.
    dataset : data set
        With len and entries: images ``(channel, *spatial)``, which are measured here, or `Sample`, whose data
        are used where it has some.
    loss : Loss, optional
        By default the mean squared error. One that changes from step to step has ``at(step)``; of one that
        wraps the model, such as `R2R`, ``loss.wrap(model)`` is what to train.
    optimization : Optimization, optional
    loading : Loading, optional
    validation : Validation, optional
        By default there is none, and the last weights are kept (their average, with ``ema``).
    files : Files, optional
        Where to write checkpoints, table and report; by default nothing is written.
    logging : Logging, optional
    seed : int
    fabric : lightning_fabric.Fabric, optional
        Devices, precision and processes, launched; by default `engine` makes it.

    Returns
    -------
    Training

    Raises
    ------
    ParameterError
    SolverError
        If the loss or its gradient is not finite; the weights stay as they were.
    DataError
        If the folder holds the checkpoint of another training, or a damaged one.

    References
    ----------
    L. Prechelt, Early stopping - but when?, in Neural Networks: Tricks of the Trade (1998): patience.

    Examples
    --------
    >>> import invcore
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> physics = Physics(Identity((1, 8, 8)), GaussianNoise(sigma=0.1))
    >>> images = invcore.dataset("dead_leaves", length=8, size=(8, 8))
    >>> network = invcore.model("learning.unet", features=(4,), blocks=1)
    >>> done = train(network, physics, images, optimization=Optimization(epochs=2), loading=Loading(batch=4))
    >>> done.status, done.steps, [row["epoch"] for row in done.history]
    ('finished', 4, [1, 2])
    """
    fabric = fabric or engine()
    check_engine(fabric)
    with channels_last(model, fabric.device):
        loop = Loop(
            model,
            [physics] if isinstance(physics, Physics) else list(physics),
            dataset,
            Supervised() if loss is None else loss,
            optimization or Optimization(),
            loading or Loading(),
            validation,
            files,
            logging or Logging(),
            seed,
            fabric,
        )
        with full_precision_images(model):
            loop.restore()
            status = loop.run()
    return loop.finished(status)
