"""Question: how much memory does `evaluate` need a case, and what does a second worker bring?

Real labels against predictions made of them, in folders of masks; the command runs in a process of its own with each protocol.
Memory is the peak of that process (resident set, as the kernel counts it) with one worker and of the largest of its workers
with two, once the interpreter and its imports (`brats3d.evaluate` imported, nothing scored) are known; seconds are wall clock.

    python benchmarks/evaluate_cohort.py DATA --cases 12 --protocol all

DATA holds BraTS case folders with labels. Use a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from real_labels import labels_of_cases, scatter, wobble

from brats3d import images
from brats3d.cases import find_cases
from brats3d.console import text_table

MEASURED = """
import json, resource, sys
from brats3d.evaluate.__main__ import main
code = main(sys.argv[1:]) if len(sys.argv) > 1 else 0
peaks = [resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print("PEAKS " + json.dumps(peaks), file=sys.stderr)
sys.exit(code)
"""


def measure(*arguments: str) -> tuple[float, list[int]]:
    """Return wall-clock seconds and the peak resident MB of the process and of its largest child."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", MEASURED, *arguments], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"evaluate {' '.join(arguments)} failed: {done.stderr[-2000:]}")
    peaks = next(line for line in done.stderr.splitlines()[::-1] if line.startswith("PEAKS "))
    return seconds, json.loads(peaks.removeprefix("PEAKS "))


def make_predictions(data: Path, folder: Path, count: int) -> None:
    grids = {case.id: images.read(case.label).grid for case in find_cases(data) if case.label}
    for number, label in enumerate(labels_of_cases(data, count)):
        prediction = scatter(wobble(label.array, label.coding, seed=number), label.coding, seed=number)
        images.write(folder / f"{label.case}.nii.gz", prediction.astype(np.uint8), grids[label.case])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--protocol", nargs="+", default=["casewise", "brats2023", "all"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        masks = Path(scratch) / "masks"
        masks.mkdir()
        make_predictions(options.data, masks, options.cases)
        _, (base, _) = measure()
        rows = []
        for protocol in options.protocol:
            found = []
            for workers in (1, 2):
                out = str(Path(scratch) / f"{protocol}{workers}")
                common = [str(masks), str(options.data), "--out", out, "--protocol", protocol]
                found.append(measure(*common, "--workers", str(workers)))
            (one, (alone, _)), (two, (_, worker)) = found
            rows.append([protocol, one, two, one / two, base, alone - base, worker])
    columns = ["protocol", "one worker s", "two workers s", "ratio", "imports MB", "peak above that MB", "largest worker MB"]
    print(f"{options.cases} cases")
    print(text_table(columns, rows))


if __name__ == "__main__":
    main()
