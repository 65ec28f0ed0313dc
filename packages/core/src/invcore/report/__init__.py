"""Figures, and one self-contained HTML report of a reconstruction.

Figures are made with Matplotlib's object-oriented interface: no window opens and no global state changes.
"""

from ._figures import convergence_figure as convergence_figure
from ._figures import error_figure as error_figure
from ._figures import image_figure as image_figure
from ._figures import save_figure as save_figure
from ._report import write_report as write_report

__all__ = ["convergence_figure", "error_figure", "image_figure", "save_figure", "write_report"]
