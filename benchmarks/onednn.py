"""What does oneDNN buy in a training step?

    python benchmarks/onednn.py [--steps 5] [--recipe cpu_small]

Training steps of a recipe's own network on random patches, each setting in a process of its own: ``TF_ENABLE_ONEDNN_OPTS`` at 0
and at 1, on all instructions of the CPU and on AVX2 alone (``ONEDNN_MAX_CPU_ISA=AVX2``, about what a CPU without AVX-512 does:
those are the ones that TensorFlow leaves without oneDNN by itself). CPU seconds are the process's own and hardly depend on what
else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

from brats3d.console import text_table
from brats3d.machine import ONEDNN_VARIABLE, describe_machine

SETTINGS = {
    "oneDNN": {ONEDNN_VARIABLE: "1"},
    "no oneDNN": {ONEDNN_VARIABLE: "0"},
    "oneDNN, AVX2 only": {ONEDNN_VARIABLE: "1", "ONEDNN_MAX_CPU_ISA": "AVX2"},
}


def measure(recipe_name: str, steps: int) -> dict[str, float]:
    """Return medians over some steps after the first two, and the process's peak memory."""
    import numpy as np

    from brats3d.patches import RegionTarget
    from brats3d.regions import LABEL_SETS
    from brats3d.train import read_recipe
    from brats3d.train.devices import pick_devices
    from brats3d.train.learning_network import learning_network

    recipe = read_recipe(recipe_name).resolved()
    devices = pick_devices(1)
    with devices.scope():
        network = learning_network(recipe, 4, RegionTarget(recipe.regions, LABEL_SETS["L23"]), devices)
    rng = np.random.default_rng(0)
    shape = (recipe.data.batch_size, *recipe.data.patch_size)
    images = rng.normal(size=(*shape, 4)).astype(np.float32)
    targets = (rng.random((*shape, len(recipe.regions))) > 0.9).astype(np.float32)
    rows = []
    for _ in range(steps + 2):
        before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        network.train_on_batch(images, targets)
        after = resource.getrusage(resource.RUSAGE_SELF)
        rows.append(
            (
                time.perf_counter() - began,
                after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
                after.ru_stime - before.ru_stime,
                float(after.ru_minflt - before.ru_minflt),
            )
        )
    wall, cpu, system, faults = (statistics.median(column) for column in zip(*rows[2:], strict=True))
    return {"wall": wall, "cpu": cpu, "system": system, "faults": faults, "peak_mb": after.ru_maxrss / 1e3}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--recipe", default="cpu_small")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.recipe, options.steps)))
        return
    print(describe_machine())
    found = {}
    for name, variables in SETTINGS.items():
        command = [sys.executable, __file__, "--one", "--steps", str(options.steps), "--recipe", options.recipe]
        environment = {**os.environ, **variables, "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        found[name] = json.loads(done.stdout.splitlines()[-1])
    base = found["oneDNN"]
    rows = [
        [name, r["wall"], r["cpu"], r["cpu"] / base["cpu"], r["system"], int(r["faults"]), int(r["peak_mb"])]
        for name, r in found.items()
    ]
    print(text_table(["setting", "s per step", "CPU s", "÷ oneDNN", "of it system", "page faults", "peak MB"], rows))


if __name__ == "__main__":
    main()
