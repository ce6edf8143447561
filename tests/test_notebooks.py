"""The notebooks run from a clean kernel, from the first cell to the last, word for word but for how long they train."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
TRAINED = '{"training.epochs": 4, "data.batches": 20, "training.validate_every": 2}'
SHORT = '{"training.epochs": 2, "data.batches": 3, "training.validate_every": 2, "network.options.base_filters": 4}'


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
# ipykernel starts its sockets with deprecated calls of its own libraries
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_notebook_runs(path: Path, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install 'brats3d[notebook]'")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install 'brats3d[notebook]'")
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit notebooks without outputs"
    assert sum(TRAINED in cell.source for cell in notebook.cells) == 1
    for cell in notebook.cells:
        cell.source = cell.source.replace(TRAINED, SHORT)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [o for c in notebook.cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(pictures) == 3
    assert (tmp_path / "from_scans_to_scores" / "synthetic" / "scores" / "scores.csv").is_file()


@pytest.mark.parametrize("scans", [None, "BraTS2020"])
def test_beginning_anew_leaves_real_work_alone(scans: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two cells of code, where stores of real and of synthetic cases were made before."""
    cells = json.loads((NOTEBOOKS[0]).read_text(encoding="utf-8"))["cells"]
    first, second = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"][:2]
    work = tmp_path / "from_scans_to_scores"
    for name in ("store", "real/store", "synthetic/store"):
        (work / name).mkdir(parents=True)
        (work / name / "case.h5").write_text("weeks of work")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("brats3d.phantom.write_cohort", lambda out, **options: out.mkdir(parents=True))
    names: dict[str, object] = {}
    exec(first.replace("%matplotlib inline\n", ""), names)
    names["SCANS"] = scans
    exec(second, names)
    left = {p.relative_to(work).as_posix() for p in work.rglob("*.h5")}
    assert left == {"store/case.h5", "real/store/case.h5"} | ({"synthetic/store/case.h5"} if scans else set())
    assert names["folder"] == Path("from_scans_to_scores") / ("real" if scans else "synthetic")
