"""Question: how much memory does `evaluate` need a case, and what does a second worker bring?

Real labels against predictions made of them, in folders of masks; where more cases are asked for than there are, the same
labels come again with other predictions. The command runs in a process of its own with each protocol, with one worker and with
two, on all cases and on a third of them: the difference is what the further cases take, without the start of the processes and
without the report, which do not grow with the cohort. Memory is the high-water mark of the resident set that Linux keeps of
every process (VmHWM), looked at 20 times a second, beside that of a process that has imported `brats3d.evaluate` and scored
nothing; seconds are wall clock.

    python benchmarks/evaluate_cohort.py DATA --cases 36 --protocol casewise brats2023 all

DATA holds BraTS case folders with labels. Linux only; use a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from real_labels import labels_of_cases, scatter, wobble

from brats3d import images
from brats3d.cases import find_cases
from brats3d.console import text_table
from brats3d.machine import describe_machine
from brats3d.regions import LABEL_SETS, convert_label


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
            parents[int(status.parent.name)] = int(status.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def peak_mb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM:")), 0)


def make_cohort(data: Path, folder: Path, count: int) -> list[str]:
    """Write references and predictions of so many cases, and return their ids."""
    (folder / "masks").mkdir()
    (folder / "references").mkdir()
    grids = {case.id: images.read(case.label).grid for case in find_cases(data) if case.label}
    ids = []
    labels = enumerate(labels_of_cases(data, count))
    near = [(label, wobble(label.array, label.coding, seed=number)) for number, label in labels]
    for number, (label, prediction) in enumerate(itertools.islice(itertools.cycle(near), count)):
        prediction = scatter(prediction, label.coding, seed=number)
        ids.append(f"{number:04d}")
        for kind, array in (("masks", prediction), ("references", label.array)):
            as_l17 = convert_label(array, label.coding, LABEL_SETS["L17"])
            images.write(folder / kind / f"{ids[-1]}.nii.gz", as_l17, grids[label.case])
    return ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", type=int, default=36)
    parser.add_argument("--protocol", nargs="+", default=["casewise", "brats2023", "all"])
    options = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        ids = make_cohort(options.data, folder, options.cases)
        lists = {}
        for count in (options.cases // 3, options.cases):
            lists[count] = folder / f"{count}.txt"
            lists[count].write_text("\n".join(ids[:count]))
        base = measure("-c", "import brats3d.evaluate.__main__")[1][0]
        rows = []
        for protocol in options.protocol:
            seconds, peaks = {}, {}
            for (count, path), workers in itertools.product(lists.items(), (1, 2)):
                given = ["-m", "brats3d.evaluate", str(folder / "masks"), str(folder / "references"), "--cases", str(path)]
                more = ["--label-set", "L17", "--reference-label-set", "L17", "--protocol", protocol, "--workers", str(workers)]
                out = str(folder / f"{protocol}-{count}-{workers}")
                seconds[count, workers], peaks[workers] = measure(*given, *more, "--out", out)
            few, many = lists
            one, two = ((seconds[many, n] - seconds[few, n]) / (many - few) for n in (1, 2))
            whole = seconds[many, 1], seconds[many, 2], seconds[many, 1] / seconds[many, 2]
            rows.append([protocol, *whole, one, two, one / two, base, peaks[1][0], *[*peaks[2], 0, 0][:2]])
    print(f"{options.cases} cases; MB are the peaks of: an import, one worker alone, two workers' parent, the larger worker")
    columns = ["one worker s", "two s", "ratio", "a case more s", "with two s", "ratio", "import", "alone", "parent", "worker"]
    print(text_table(["protocol", *columns], rows))


if __name__ == "__main__":
    main()
