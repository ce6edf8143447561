"""The whole chain on synthetic heads: what a newcomer runs first."""

from brats3d.demo.journey import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
__dir__ = __all__.copy
