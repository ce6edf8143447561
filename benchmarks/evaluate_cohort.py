"""Question: how much memory does `evaluate` need a case, and what does a second worker bring?

Real labels against predictions made of them, in folders of masks; the command runs in a process of its own with each protocol,
once with one worker and once with two. Memory is the high-water mark of the resident set that Linux keeps of every process
(VmHWM), looked at 20 times a second, beside that of a process that has imported `brats3d.evaluate` and scored nothing; seconds
are wall clock, of the scoring and of the report, with the start of the processes.

    python benchmarks/evaluate_cohort.py DATA --cases 12 --protocol casewise brats2023 all

DATA holds BraTS case folders with labels. Linux only; use a machine that does nothing else.
"""

from __future__ import annotations

import argparse
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


def measure(*command: str) -> tuple[float, list[int]]:
    """Run Python on some arguments; return wall-clock seconds and the peak MB of its processes, the first one's first."""
    start, peaks = time.perf_counter(), dict[int, int]()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=said, text=True)
        while process.poll() is None:
            for pid in family(process.pid):
                peaks[pid] = max(peaks.get(pid, 0), peak_mb(pid))
            time.sleep(0.05)
        seconds = time.perf_counter() - start
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)} failed: {said.read()[-2000:]}")
    return seconds, [peaks.pop(process.pid, 0), *sorted(peaks.values(), reverse=True)]


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def peak_mb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM:")), 0)


def make_predictions(data: Path, folder: Path, count: int) -> list[str]:
    """Write masks for the first cases and return their ids."""
    grids = {case.id: images.read(case.label).grid for case in find_cases(data) if case.label}
    for number, label in enumerate(labels_of_cases(data, count)):
        prediction = scatter(wobble(label.array, label.coding, seed=number), label.coding, seed=number)
        images.write(folder / f"{label.case}.nii.gz", prediction.astype(np.uint8), grids[label.case])
    return sorted(path.name.removesuffix(".nii.gz") for path in folder.iterdir())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--protocol", nargs="+", default=["casewise", "brats2023", "all"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        masks, ids = Path(scratch) / "masks", Path(scratch) / "ids.txt"
        masks.mkdir()
        ids.write_text("\n".join(make_predictions(options.data, masks, options.cases)))
        base = measure("-c", "import brats3d.evaluate.__main__")[1][0]
        rows = []
        for protocol in options.protocol:
            common = ["-m", "brats3d.evaluate", str(masks), str(options.data), "--cases", str(ids), "--protocol", protocol]
            (one, alone), (two, several) = (
                measure(*common, "--out", f"{scratch}/{protocol}{workers}", "--workers", str(workers)) for workers in (1, 2)
            )
            rows.append([protocol, one, two, one / two, base, alone[0], *[*several, 0, 0][:2]])
    print(f"{options.cases} cases; MB are the peaks of: an import, one worker alone, two workers' parent, the larger worker")
    print(text_table(["protocol", "one worker s", "two workers s", "ratio", "import", "alone", "parent", "worker"], rows))


if __name__ == "__main__":
    main()
