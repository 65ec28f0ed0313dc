"""The engine of a training: Lightning Fabric."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from invcore import ParameterError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")


def engine(*, accelerator: str = "auto", precision: str = "32-true") -> Fabric:
    """Make and launch a Lightning Fabric: one device, or one for each process that torchrun started.

    Any other Fabric may be given to `train`, if it is launched.

    Parameters
    ----------
    accelerator : str
        ``"cpu"``, ``"cuda"``, ``"mps"``, or by default what there is.
    precision : {"32-true", "16-mixed", "bf16-mixed"}
        That of the network; the physics computes in float32.

    Returns
    -------
    lightning_fabric.Fabric

    Raises
    ------
    ParameterError
        If the precision is another one, or there is no such accelerator.

    Examples
    --------
    >>> engine(accelerator="cpu").world_size
    1
    """
    from lightning_fabric import Fabric
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    world = int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1
    local = int(os.environ["LOCAL_WORLD_SIZE"]) if world > 1 else 1
    processes: dict[str, Any] = {"devices": local, "num_nodes": world // local}
    strategy = "ddp" if world > 1 else "auto"
    if precision not in PRECISIONS:
        raise ParameterError(f"engine: precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    try:
        fabric = Fabric(accelerator=accelerator, precision=precision, strategy=strategy, **processes)  # type: ignore[arg-type]
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        raise ParameterError(f"engine: accelerator {accelerator!r} cannot be used here: {error}") from error
    fabric.launch()
    return fabric


def check_engine(fabric: Fabric) -> None:
    """Raise a `ParameterError` for an engine that shares the weights out, or computes in low precision."""
    if "FSDP" in (strategy := type(fabric.strategy).__name__) or "ModelParallel" in strategy:
        raise ParameterError(
            f"train: {strategy} shares the weights out among processes; checkpoints and averages need "
            "them whole. Use strategy='ddp'."
        )
    if (precision := fabric.strategy.precision.precision) not in PRECISIONS:
        raise ParameterError(
            f"train: precision must be one of {', '.join(PRECISIONS)}, got {precision}: the physics "
            "computes in float32 or float64, as images and weights are"
        )
