"""The whole chain on synthetic heads: the first thing to run."""

from brats3d.demo.journey import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
__dir__ = __all__.copy
