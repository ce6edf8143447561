"""Describes the machine in one line for logs and benchmarks: CPU, threads, and the versions that decide speed.

It also explains why brats3d sets an environment variable. TensorFlow decides at import whether 3-D convolutions use oneDNN. By
default it does so only on CPUs with VNNI, bfloat16 or AMX instructions (`ONEDNN_FLAGS`). On all others (AMD before Zen 4, Intel
before Cascade Lake) a training step takes 3 to 9 times the CPU time and nearly twice the memory (``benchmarks/onednn.py``). A
library should leave the environment alone, but a default that costs hours is worse, and later is too late: so
``import brats3d`` sets the variable to 1 unless the user has set it.
"""

from __future__ import annotations

import os
import platform
import warnings
from importlib import metadata
from pathlib import Path

from brats3d.limits import core_count
from brats3d.version import __version__

__all__ = ["ONEDNN_FLAGS", "ONEDNN_VARIABLE", "cpu_flags", "cpu_model", "describe_machine", "warn_of_late_onednn"]
__dir__ = __all__.copy

ONEDNN_VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
ONEDNN_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"})
"""With any of these, TensorFlow enables oneDNN by default (tensorflow/core/util/util.cc)."""
SPEED_FLAGS = ("sse4_2", "avx", "avx2", "fma", "avx512f", *sorted(ONEDNN_FLAGS))
PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "jax", "numpy", "scipy", "h5py")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "ONEDNN_MAX_CPU_ISA")


def warn_of_late_onednn(root: Path = Path("/")) -> None:
    """Warn if TensorFlow, imported before the variable was set, leaves oneDNN off on this CPU.

    ``import brats3d`` calls this if TensorFlow was imported first and the user has not set the variable.

    Args:
        root: folder of the kernel's own ``proc``.
    """
    flags = cpu_flags(root)
    if flags and not ONEDNN_FLAGS & flags:
        warnings.warn(
            f"TensorFlow was imported before brats3d and leaves oneDNN off on this CPU ({cpu_model(root)}): training takes 3 to"
            f" 9 times as long, at nearly twice the memory. Import brats3d first, or set {ONEDNN_VARIABLE}=1.",
            RuntimeWarning,
            stacklevel=3,
        )


def cpu_model(root: Path = Path("/")) -> str:
    """Return the CPU's name as far as the system gives it; virtual machines hide the name, but not family and model.

    Args:
        root: folder of the kernel's own ``proc``.
    """
    told = _first_cpu(root)
    name = told.get("model name", "") or platform.processor() or platform.machine() or "unknown CPU"
    numbers = [f"{word} {told[key]}" for word, key in (("family", "cpu family"), ("model", "model")) if key in told]
    return ", ".join([name, *([" ".join(numbers)] if numbers else [])])


def cpu_flags(root: Path = Path("/")) -> frozenset[str]:
    """Return the CPU's instruction set flags, as Linux names them; empty if the system does not list them.

    Args:
        root: folder of the kernel's own ``proc``.
    """
    return frozenset(_first_cpu(root).get("flags", "").split())


def describe_machine() -> str:
    """Return CPU, relevant flags, cores, settings and versions as one line; no framework is imported."""
    flags = cpu_flags()
    settings = [f"{name}={os.environ[name]}" for name in (ONEDNN_VARIABLE, *THREAD_VARIABLES) if name in os.environ]
    return "; ".join(
        [
            f"{cpu_model()} ({' '.join(f for f in SPEED_FLAGS if f in flags) or 'no flags listed'}), {core_count()} cores",
            *([", ".join(settings)] if settings else []),
            f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
            ", ".join(_versions()),
        ]
    )


def _versions() -> list[str]:
    found = [f"brats3d {__version__}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found


def _first_cpu(root: Path) -> dict[str, str]:
    """Return what ``/proc/cpuinfo`` says about the first CPU; empty if there is no such file."""
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    parts = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, colon, value in parts if colon}
