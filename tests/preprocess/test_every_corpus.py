"""One real case under the names, the folders, the file format and the coding of every corpus: the same volume each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brats3d.cases import CORPORA, MODALITIES, find_cases
from brats3d.preprocess import build_store, prepare_case
from brats3d.regions import LABEL_SETS, region_masks
from brats3d.store import StoredCase, open_store, write_case

pytestmark = pytest.mark.real


@dataclass(frozen=True, eq=False)
class Original:
    """A part of a real case: modality → array, its label (1 core, 2 edema, 4 enhancing), and where it lies."""

    images: dict[str, np.ndarray]
    label: np.ndarray
    affine: np.ndarray


@pytest.fixture(scope="module")
def original(real_data: Path) -> Original:
    folder = real_data / "brats/Brats18_2013_2_1"
    files = {m: nib.load(folder / f"Brats18_2013_2_1_{m}.nii.gz") for m in (*MODALITIES, "seg")}
    label = np.asanyarray(files["seg"].dataobj)
    middle = np.argwhere(label == 4).mean(0).astype(int)
    part = tuple(slice(m - n, m + n + 1) for m, n in zip(middle, (23, 21, 17), strict=True))
    affine = files["t1"].slicer[part].affine
    arrays = {m: np.asanyarray(file.dataobj)[part].astype(np.int16) for m, file in files.items()}
    return Original({m: arrays[m] for m in MODALITIES}, arrays["seg"].astype(np.uint8), affine)


def recoded(label: np.ndarray, coding: str) -> np.ndarray:
    """Write the label in another coding, by hand; half of the core becomes the coding's second kind where it has one."""
    core, edema, enhancing = label == 1, label == 2, label == 4
    half = core & (np.indices(label.shape).sum(0) % 2 == 0)
    values = {
        "L12": [(core, 2), (edema, 1), (enhancing, 2)],
        "L13": [(core, 1), (half, 3), (edema, 2), (enhancing, 4)],
        "L17": [(core, 1), (edema, 2), (enhancing, 4)],
        "L23": [(core, 1), (edema, 2), (enhancing, 3)],
        "L24": [(core, 1), (edema, 2), (enhancing, 3)],
        "LPED": [(core, 2), (half, 3), (edema, 4), (enhancing, 1)],
        "LMSD": [(core, 2), (edema, 1), (enhancing, 3)],
        "GTV": [(core | edema | enhancing, 1)],
    }[coding]
    written = np.zeros_like(label)
    for where, value in values:
        written[where] = value
    if coding == "L24":  # a resection cavity, which is no tumour
        written[(label == 0) & (np.indices(label.shape)[0] < 3)] = 4
    return written


def write(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".mha"):
        itk = pytest.importorskip("SimpleITK")
        image = itk.GetImageFromArray(np.ascontiguousarray(array.T))
        image.SetOrigin([-affine[0, 3], -affine[1, 3], affine[2, 3]])  # voxels run to L, P, S: ITK's own axes
        itk.WriteImage(image, str(path), useCompression=True)
    else:
        nib.save(nib.Nifti1Image(array, affine), path)


def legacy(name: str, suffix: str = ".nii.gz") -> list[str]:
    return [f"{name}_{part}{suffix}" for part in ("t1", "t1ce", "t2", "flair", "seg")]


def modern(name: str) -> list[str]:
    return [f"{name}-{part}.nii.gz" for part in ("t1n", "t1c", "t2w", "t2f", "seg")]


def of(name: str, *parts: str, suffix: str = ".nii.gz") -> list[str]:
    return [f"{name}{part}{suffix}" for part in parts]


def vsd(folder: str, label: str) -> list[str]:
    parts = ["Brain.XX.O.MR_T1.685", "Brain.XX.O.MR_T1c.686", "Brain.XX.O.MR_T2.687", "Brain.XX.O.MR_Flair.684", label]
    return [f"{folder}/VSD.{part}/VSD.{part}.mha" for part in parts]


ASNR = "ASNR-MICCAI-BraTS2023-{}-Challenge-TrainingData/{}"
TCGA = "Pre-operative_TCGA_{}_NIfTI_and_Segmentations/TCGA-02-0006/TCGA-02-0006_1996.08.23_"
TCGA_PARTS = ("t1", "t1Gd", "t2", "flair", "GlistrBoost_ManuallyCorrected")
CASES: dict[str, tuple[list[str], str, type]] = {
    # files of t1, t1ce, t2, flair and the label; the label's coding and its type on disk
    "BraTS 2012": (of("BRATS_HG0015/BRATS_HG0015_", "T1", "T1C", "T2", "FLAIR", "truth", suffix=".mha"), "L12", np.int16),
    "BraTS 2013-2016": (vsd("BRATS2015_Training/HGG/brats_tcia_pat153_0109", "Brain_3more.XX.O.OT.54517"), "L13", np.int16),
    "BraTS 2017": (legacy("HGG/Brats17_2013_2_1/Brats17_2013_2_1"), "L17", np.uint8),
    "BraTS 2018": (legacy("MICCAI_BraTS_2018_Data_Training/HGG/Brats18_2013_2_1/Brats18_2013_2_1"), "L17", np.int16),
    "BraTS 2019": (legacy("HGG/BraTS19_2013_2_1/BraTS19_2013_2_1", ".nii"), "L17", np.uint8),
    "BraTS 2020": (
        [*legacy("MICCAI_BraTS2020_TrainingData/BraTS20_Training_355/BraTS20_Training_355", ".nii")[:4],
         "MICCAI_BraTS2020_TrainingData/BraTS20_Training_355/W39_1998.09.19_Segm.nii"], "L17", np.uint8),
    "BraTS 2021": (legacy("BraTS2021_00000/BraTS2021_00000"), "L17", np.uint16),
    "BraTS 2023 GLI": (modern(ASNR.format("GLI", "BraTS-GLI-00000-000/BraTS-GLI-00000-000")), "L23", np.float32),
    "BraTS 2023 SSA": (modern(ASNR.format("SSA", "BraTS-SSA-00002-000/BraTS-SSA-00002-000")), "L23", np.uint8),
    "BraTS 2023 MEN": (modern(ASNR.format("MEN", "BraTS-MEN-Train/BraTS-MEN-00004-000/BraTS-MEN-00004-000")), "L23", np.uint8),
    "BraTS 2023 MET": (modern(ASNR.format("MET", "BraTS-MET-00001-000/BraTS-MET-00001-000")), "L23", np.float64),
    "BraTS 2024 MET": (
        modern("MICCAI-BraTS2024-MET-Challenge-TrainingData_1/BraTS-MET-00001-000/BraTS-MET-00001-000"), "L23", np.float32),
    "BraTS 2025 MET": (
        modern("MICCAI-LH-BraTS2025-MET-Challenge-Training/BraTS-MET-00001-000/BraTS-MET-00001-000"), "L24", np.uint8),
    "BraTS MET": (modern("BraTS-MET-00001-000/BraTS-MET-00001-000"), "L24", np.uint8),
    "BraTS 2023 PED": (modern(ASNR.format("PED", "BraTS-PED-00002-000/BraTS-PED-00002-000")), "L23", np.uint8),
    "BraTS 2024-2025 PED": (modern("BraTS-PEDs2024_Training/BraTS-PED-00002-000/BraTS-PED-00002-000"), "LPED", np.uint8),
    "BraTS PED": (modern("BraTS-PED-00002-000/BraTS-PED-00002-000"), "LPED", np.uint8),
    "BraTS 2024-2025 GLI": (modern("training_data1_v2/BraTS-GLI-00005-100/BraTS-GLI-00005-100"), "L24", np.uint8),
    "BraTS 2024 MEN-RT": (
        of("BraTS-MEN-RT-Train-v2/BraTS-MEN-RT-0004-1/BraTS-MEN-RT-0004-1_", "t1n", "t1c", "t2w", "t2f", "gtv"),
        "GTV", np.uint8),
    "BraTS 2024 GoAT": (modern("BraTS-GoAT-02235/BraTS-GoAT-02235"), "L23", np.uint8),
    "BraTS-Africa": (modern("BraTS-Africa/95_Glioma/BraTS-SSA-00002-000/BraTS-SSA-00002-000"), "L23", np.uint8),
    "UPENN-GBM": (
        [*of("NIfTI-files/images_structural/UPENN-GBM-00054_11/UPENN-GBM-00054_11_", "T1", "T1GD", "T2", "FLAIR"),
         "NIfTI-files/images_segm/UPENN-GBM-00054_11_segm.nii.gz"], "L17", np.uint8),
    "UCSF-PDGM": (
        of("UCSF-PDGM-0004_nifti/UCSF-PDGM-0004_", "T1", "T1c", "T2", "FLAIR", "tumor_segmentation"), "L17", np.uint8),
    "TCGA-GBM": (of(TCGA.format("GBM"), *TCGA_PARTS), "L17", np.uint8),
    "TCGA-LGG": (of(TCGA.format("LGG"), *TCGA_PARTS), "L17", np.uint8),
    "TCGA": (of("TCGA-02-0006_1996.08.23_", *TCGA_PARTS), "L17", np.uint8),
    "MSD Task01": (["Task01_BrainTumour/labelsTr/BRATS_001.nii.gz"], "LMSD", np.uint8),
    "synthetic heads": (legacy("Phantom_000/Phantom_000"), "L17", np.uint8),
    "BIDS": (
        [*of("sub-01/anat/sub-01_", "T1w", "ce-gadolinium_T1w", "T2w", "FLAIR"),
         "derivatives/manual_masks/sub-01/anat/sub-01_label-tumor_dseg.nii.gz"], "L23", np.uint8),
    "nnU-Net": (
        [*of("Dataset137_BraTS/imagesTr/P1_", "0002", "0000", "0003", "0001"), "Dataset137_BraTS/labelsTr/P1.nii.gz"],
        "LMSD", np.uint8),
    "plain": (legacy("ward/7"), "L23", np.uint8),
}  # fmt: skip
ONLY = {"BraTS 2024 MEN-RT": ("t1ce",)}
"""What a corpus has where it has not all four."""


def lay_out(corpus: str, original: Original, root: Path) -> str:
    """Write the case as the corpus has it, and return the label's coding."""
    files, coding, kind = CASES[corpus]
    write(root / files[-1], recoded(original.label, coding).astype(kind), original.affine)
    if corpus.startswith("MSD"):
        stack = np.stack([original.images[m] for m in ("flair", "t1", "t1ce", "t2")], -1).astype(np.float32)
        write(root / files[-1].replace("labels", "images"), stack, original.affine)
        (root / "Task01_BrainTumour/dataset.json").write_text(
            '{"modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},'
            ' "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}}'
        )
        return coding
    if corpus == "nnU-Net":
        (root / "Dataset137_BraTS/dataset.json").write_text(
            '{"channel_names": {"0": "T1ce", "1": "FLAIR", "2": "T1", "3": "T2"}, "labels": {"background": 0,'
            ' "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]}, "file_ending": ".nii.gz"}'
        )
    for modality, file in zip(MODALITIES, files[:-1], strict=True):
        if modality in ONLY.get(corpus, MODALITIES):
            write(root / file, original.images[modality], original.affine)
    return coding


def test_every_corpus_is_here() -> None:
    assert set(CASES) == {name for name, row in CORPORA.items() if row.example}


@pytest.mark.parametrize("corpus", CASES)
def test_the_volume_and_its_regions_are_the_originals(corpus: str, original: Original, tmp_path: Path) -> None:
    coding = lay_out(corpus, original, tmp_path)
    [case] = find_cases(tmp_path)
    assert case.corpus == corpus
    # 2012 was issued with two codings of the same values: without looking at the scans only a person can say which
    prepared = prepare_case(case, "L12" if corpus == "BraTS 2012" else None)
    expected = ONLY.get(corpus, MODALITIES)
    assert prepared.modalities == expected
    assert prepared.images.dtype == np.int16
    np.testing.assert_array_equal(prepared.images, np.stack([original.images[m] for m in expected]))
    assert prepared.label_set == coding
    np.testing.assert_allclose(prepared.grid.affine, original.affine, atol=1e-4)
    np.testing.assert_allclose(prepared.source.affine, original.affine, atol=1e-4)
    tumour = {"WT": original.label > 0, "TC": np.isin(original.label, (1, 4)), "ET": original.label == 4}
    known = [region for region in tumour if region in LABEL_SETS[coding].regions]
    assert known == {"L12": ["WT", "TC"], "GTV": ["WT"]}.get(coding, ["WT", "TC", "ET"])
    assert prepared.label is not None
    masks = region_masks(prepared.label, LABEL_SETS[coding], known)
    for region, mask in zip(known, masks, strict=True):
        np.testing.assert_array_equal(mask, tumour[region], err_msg=region)


def test_several_years_in_one_folder_make_one_store(original: Original, tmp_path: Path) -> None:
    corpora = ["BraTS 2018", "BraTS 2023 GLI", "MSD Task01"]
    codings = [lay_out(corpus, original, tmp_path / "mixed") for corpus in corpora]
    for case, coding in zip(find_cases(tmp_path / "mixed"), [codings[2], codings[1], codings[0]], strict=True):
        path = write_case(tmp_path, prepare_case(case))
        with StoredCase(path) as stored:
            assert stored.label_set == coding
            np.testing.assert_array_equal(stored.images[:], np.stack(list(original.images.values())))


def test_what_the_tables_say_is_stored(original: Original, tmp_path: Path) -> None:
    lay_out("BraTS 2018", original, tmp_path)
    (tmp_path / "survival_data.csv").write_text("BraTS18ID,Age,Survival,ResectionStatus\nBrats18_2013_2_1,60.5,289,GTR\n")
    (tmp_path / "sites.csv").write_text("BraTS18ID,Site\nBrats18_2013_2_1,7\n")
    [case] = find_cases(tmp_path)
    prepared = prepare_case(case)
    with StoredCase(write_case(tmp_path, prepared)) as stored:
        for known in (prepared, stored):
            assert (known.grade, known.age, known.survival_days, known.resection, known.site) == ("HGG", 60.5, 289, "GTR", "7")


@pytest.mark.parametrize("without", [("t2",), ("t1", "t2", "flair")])
def test_a_case_of_fewer_modalities_is_stored_as_what_it_has(
    without: tuple[str, ...], original: Original, tmp_path: Path
) -> None:
    lay_out("BraTS 2021", original, tmp_path)
    for modality in without:
        (tmp_path / f"BraTS2021_00000/BraTS2021_00000_{modality}.nii.gz").unlink()
    [case] = find_cases(tmp_path)
    there = tuple(m for m in MODALITIES if m not in without)
    with StoredCase(write_case(tmp_path, prepare_case(case))) as stored:
        assert stored.modalities == there
        np.testing.assert_array_equal(stored.images[:], np.stack([original.images[m] for m in there]))
        assert len(stored.header.sources) == len(there) + 1


def test_the_real_2012_case(real_data: Path) -> None:
    pytest.importorskip("SimpleITK")
    [case] = find_cases(real_data / "corpora")
    prepared = prepare_case(case, "L12")
    assert prepared.images.shape == (4, 160, 216, 176)
    assert prepared.label is not None
    masks = region_masks(prepared.label, LABEL_SETS["L12"], ["WT", "TC"])
    assert masks.sum((1, 2, 3)).tolist() == [108_706 + 72_310, 72_310], "as the data's README counts them"
    flair = prepared.images[MODALITIES.index("flair")]
    assert flair[masks[0]].mean() > 1.5 * flair[(flair > 0) & ~masks[0]].mean(), "the tumour is bright on the FLAIR"


@pytest.mark.slow
def test_a_whole_decathlon_case_is_stored_as_its_original(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebuilt as the data's README says, at full size and through the command's function."""
    name = "Brats18_2013_2_1"
    folder = real_data / "brats" / name
    images = [nib.load(folder / f"{name}_{m}.nii.gz") for m in ("flair", "t1", "t1ce", "t2")]
    stack = np.stack([np.asanyarray(image.dataobj) for image in images], -1).astype(np.float32)
    label = np.asanyarray(nib.load(folder / f"{name}_seg.nii.gz").dataobj)
    task = tmp_path / "Task01_BrainTumour"
    monkeypatch.setattr(nib.openers.Opener, "default_compresslevel", 1)
    write(task / "imagesTr/BRATS_901.nii.gz", stack, images[0].affine)
    write(task / "labelsTr/BRATS_901.nii.gz", recoded(label.astype(np.uint8), "LMSD"), images[0].affine)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / name).symlink_to(folder)
    build: Callable[..., object] = build_store
    for source in (task, tmp_path / "source"):
        build(source, out=tmp_path / "store")
    store = open_store(tmp_path / "store")
    with store["BRATS_901"] as msd, store[name] as own:
        assert (msd.label_set, own.label_set) == ("LMSD", "L17")
        assert msd.images.dtype == own.images.dtype == np.int16
        np.testing.assert_array_equal(msd.images[:], own.images[:])
        np.testing.assert_array_equal(msd.brain_box, own.brain_box)
        np.testing.assert_array_equal(msd.grid.affine, own.grid.affine)
        for value, same in ((1, 2), (2, 1), (3, 4)):
            assert msd.tumour[value].count == own.tumour[same].count
        assert [msd.tumour[v].count for v in (1, 2, 3)] == [34_894, 4_514, 21_677], "as the data's README counts them"
        np.testing.assert_array_equal(
            region_masks(msd.label[:], LABEL_SETS["LMSD"]), region_masks(own.label[:], LABEL_SETS["L17"])
        )
