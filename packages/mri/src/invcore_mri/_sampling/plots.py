"""Pictures of trajectories."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from invcore import ShapeError


def plot_trajectory(trajectory: Tensor, axes: Any = None) -> Any:
    """Plot each shot of a trajectory as a line with its samples, x to the right and y down as in images.

    Parameters
    ----------
    trajectory : Tensor, shape (shot, sample, d)
        In cycles per field of view, d = 2 or 3.
    axes : matplotlib Axes, optional
        Where to draw; by default a new figure. Three-dimensional for d = 3.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ShapeError

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from invcore_mri import radial
    >>> len(plot_trajectory(radial(3, 8, 8)).lines)
    3
    """
    if trajectory.ndim != 3 or trajectory.shape[-1] not in (2, 3):
        raise ShapeError(
            f"plot_trajectory: the trajectory must be (shot, sample, 2 or 3), got {tuple(trajectory.shape)}"
        )
    d = trajectory.shape[-1]
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.figure().add_subplot(projection="3d" if d == 3 else None)
    for shot in trajectory.detach().cpu().numpy():
        axes.plot(*shot.T[::-1], ".-", markersize=2, linewidth=0.6)
    names = ("x", "y", "z")[:d]
    for name in names:
        getattr(axes, f"set_{name}label")(f"k{name} (cycles per field of view)")
    if d == 2:
        axes.set_aspect("equal")
        axes.invert_yaxis()
    return axes
