"""The library's version."""

__all__ = ["__version__"]
__dir__ = __all__.copy

__version__ = "0.1.0"
