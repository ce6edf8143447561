"""oneDNN is on before TensorFlow is imported, whatever a user begins with; what the user says stands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cards import flat_card

import brats3d
from brats3d.machine import ONEDNN_FLAGS, ONEDNN_VARIABLE, cpu_model, describe_machine, warn_of_late_onednn
from brats3d.models import save_model
from brats3d.phantom import write_cohort

ROOT = Path(__file__).parents[2]
LOOKOUT = f"""
import importlib.abc, os, sys
class Lookout(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "tensorflow":
            print("seen", os.environ.get({ONEDNN_VARIABLE!r}), flush=True)
            os._exit(0)
sys.meta_path.insert(0, Lookout())
"""
"""Says what the variable is when TensorFlow is asked for the first time, and ends there."""
READER = """
import multiprocessing
from pathlib import Path
from brats3d.patches import BatchSettings, PatchPlan, ReaderPool
from brats3d.store import open_store
settings = BatchSettings(patch_size=(8, 8, 8), spacing_mm=None, batch_size=1, readers=1)
pool = ReaderPool(PatchPlan(Path("STORE"), tuple(open_store("STORE")), settings))
pool.get(0, 0, 1)
(child,) = [c.pid for c in multiprocessing.active_children()]
environment = Path(f"/proc/{child}/environ").read_bytes().decode().split("\\0")
told = dict(pair.split("=", 1) for pair in environment if "=" in pair)
print("seen", told.get("TF_ENABLE_ONEDNN_OPTS"))
pool.close()
"""


def command(line: str) -> str:
    name, *words = line.split()
    return f"import runpy\nsys.argv = {['brats3d', *words]!r}\nrunpy.run_module('brats3d.{name}', run_name='__main__')"


def readme_examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)


def notebook() -> str:
    cells = json.loads((ROOT / "notebooks" / "01_from_scans_to_scores.ipynb").read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return code.replace("%matplotlib inline", "")


@pytest.fixture(scope="module")
def folder(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import keras

    folder = tmp_path_factory.mktemp("entry")
    (folder / "STORE").symlink_to(store)
    images = keras.Input((None, None, None, 4))
    logits = keras.layers.Conv3D(3, 1, name="logits")(images)
    network = keras.Model(images, keras.layers.Activation("sigmoid", name="probabilities")(logits))
    modalities = ("t1", "t1ce", "t2", "flair")
    card = flat_card(modalities=modalities, stride=1)
    save_model(folder / "model.keras", network, card)
    return folder


ENTRIES = {
    "train": command("train STORE --out RUN --recipe cpu_small"),
    "predict": command("predict model.keras STORE --out MASKS"),
    "demo": command("demo --size quick --out demo"),
    "PatchDataset": "from brats3d import PatchDataset",
    "notebook": notebook(),
    **{f"README {number}": example for number, example in enumerate(readme_examples())},
}


def seen(code: str, folder: Path, **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != ONEDNN_VARIABLE}
    environment |= {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg", **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    found = re.findall(r"^seen (.*)$", done.stdout, re.M)
    assert len(found) == 1, done.stdout + done.stderr
    return str(found[0])


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_point_switches_it_on_first(entry: str, folder: Path, tmp_path: Path) -> None:
    if entry.startswith("README"):
        write_cohort(tmp_path / "scans", cases=6, shape=(32, 32, 21), seed=0)
    for made in ("STORE", "model.keras"):
        if entry != "README 0":
            (tmp_path / made).symlink_to(folder / made)
    assert seen(LOOKOUT + ENTRIES[entry], tmp_path) == "1"


@pytest.mark.slow
def test_a_reader_process_has_it_too(folder: Path) -> None:
    assert seen(READER, folder) == "1"


@pytest.mark.slow
@pytest.mark.parametrize("own", ["0", "1"])
def test_what_the_user_says_stands(own: str, folder: Path) -> None:
    assert seen(LOOKOUT + "import brats3d, keras", folder, **{ONEDNN_VARIABLE: own}) == own


def test_the_lookout_sees_a_variable_that_is_not_set(folder: Path) -> None:
    assert seen(LOOKOUT + "import keras", folder) == "None"


def cpu(folder: Path, flags: str) -> Path:
    (folder / "proc").mkdir()
    lines = ["processor: 0", "cpu family\t: 25", "model\t\t: 1", "model name\t: AMD EPYC 7763", f"flags\t\t: {flags}"]
    (folder / "proc" / "cpuinfo").write_text("\n".join([*lines, "", "processor: 1", "model name: other", ""]))
    return folder


@pytest.mark.parametrize("flag", [None, *sorted(ONEDNN_FLAGS)])
def test_a_tensorflow_imported_too_early_is_warned_of_where_it_costs(flag: str | None, tmp_path: Path) -> None:
    root = cpu(tmp_path, f"fpu avx2 fma {flag or ''}")
    if flag:
        warn_of_late_onednn(root)  # a warning would be an error
    else:
        with pytest.warns(RuntimeWarning, match=r"AMD EPYC 7763, family 25 model 1.*TF_ENABLE_ONEDNN_OPTS=1"):
            warn_of_late_onednn(root)


@pytest.mark.parametrize(("variables", "warned"), [({}, True), ({ONEDNN_VARIABLE: "0"}, False)])
def test_importing_brats3d_after_tensorflow_asks_for_the_warning(variables: dict[str, str], warned: bool, folder: Path) -> None:
    code = (
        "import sys, types\nsys.modules['tensorflow'] = types.ModuleType('tensorflow')\n"
        "sys.modules['brats3d.machine'] = late = types.ModuleType('brats3d.machine')\n"
        "asked = []\nlate.warn_of_late_onednn = lambda: asked.append(1)\nimport brats3d\nprint('seen', bool(asked))"
    )
    assert seen(code, folder, **variables) == str(warned)


def test_the_machine_in_one_line() -> None:
    line = describe_machine()
    assert "\n" not in line
    for told in (cpu_model(), f"brats3d {brats3d.__version__}", "keras 3.", "tensorflow", f"{ONEDNN_VARIABLE}="):
        assert told in line
