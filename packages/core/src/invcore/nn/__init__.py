"""Learnable operators: ξ as the parameters of a `torch.nn.Module`."""

from ._operator_module import OperatorModule as OperatorModule

__all__ = ["OperatorModule"]
