"""From anatomy to intensities: what four MR contrasts make of the tissues, and what scanners add.

Voxels mix the tissues they contain (partial volume), so the same head at another resolution looks like another scan of it.
Contrasts vary from case to case: gain, gamma, each tissue's signal, a smooth bias field per modality, texture and noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from brats3d.phantom.drawn_lesions import Tumour
from brats3d.phantom.fields import Lattice, Waves, draw_blobs
from brats3d.phantom.head import Anatomy
from brats3d.regions import MODALITIES

SIGNALS: Mapping[str, tuple[tuple[float, float, float, float], float]] = MappingProxyType({
    # tissue: (signal in t1, t1ce, t2, flair; 1 is the brightest healthy tissue of that contrast), relative sd over cases
    "white": ((1.00, 1.00, 0.44, 0.52), 0.03),
    "grey": ((0.74, 0.76, 0.60, 0.72), 0.03),
    "nuclei": ((0.82, 0.83, 0.52, 0.64), 0.03),
    "hyperintensity": ((0.86, 0.87, 0.70, 1.00), 0.07),
    "fluid": ((0.34, 0.34, 1.00, 0.18), 0.06),
    "oedema": ((0.70, 0.71, 0.92, 0.90), 0.07),
    "vessel": ((0.80, 1.70, 0.36, 0.45), 0.10),
    "choroid": ((0.65, 1.55, 0.75, 0.60), 0.08),
    "enhancing": ((0.66, 1.55, 0.72, 0.74), 0.08),
    "necrosis": ((0.45, 0.46, 0.95, 0.42), 0.15),
    "non-enhancing": ((0.54, 0.55, 0.86, 0.76), 0.07),
})  # fmt: skip


@dataclass(frozen=True, eq=False)
class Scan:
    """The random parameters of one examination; index 0 to 3 is the modality.

    Attributes:
        signals: tissue → (4,) signals.
        gains: (4,) raw value of signal 1.
        gammas: (4,) exponents that bend the contrast.
        noise: (4,) sd of the noise, in signal.
        bias: four fields; the logarithm of the brightness they cause has sd ``bias_sd``.
        bias_sd: (4,).
        rim_light: (4,) logarithm of how much brighter the brain's surface is than its middle (receive coils surround it).
        texture: uneven tissue, stronger in tumours.
    """

    signals: Mapping[str, np.ndarray]
    gains: np.ndarray
    gammas: np.ndarray
    noise: np.ndarray
    bias: tuple[Waves, ...]
    bias_sd: np.ndarray
    rim_light: np.ndarray
    texture: tuple[Waves, ...]


TEXTURE_SD = 0.03
TUMOUR_TEXTURE_SD = 0.10


def draw_scan(rng: np.random.Generator) -> Scan:
    """Draw the parameters of an examination."""
    return Scan(
        signals={tissue: np.array(means) * np.exp(rng.normal(0, sd, 4)) for tissue, (means, sd) in SIGNALS.items()},
        gains=np.exp(rng.uniform(np.log(150), np.log(3000), 4)),
        gammas=rng.uniform(0.8, 1.25, 4),
        noise=rng.uniform(0.02, 0.055, 4),
        bias=tuple(draw_blobs(rng, 65.0) for _ in MODALITIES),
        bias_sd=rng.uniform(0.08, 0.2, 4),
        rim_light=rng.uniform(-0.1, 0.55, 4),
        texture=tuple(draw_blobs(rng, 9.0) for _ in MODALITIES),
    )


def layers(healthy: Anatomy, tissue: Tumour, lattice: Lattice) -> list[tuple[str, np.ndarray]]:
    """Return (tissue, share of each voxel it covers) from the bottom up; white matter is below all of them.

    Args:
        healthy: anatomy, shaped by the tumour.
        tissue: the tumour, confined.
        lattice: the points.
    """
    width = np.float32(lattice.voxel_mm)

    def share(distance: np.ndarray) -> np.ndarray:
        inside: np.ndarray = np.clip(0.5 - distance / width, 0, 1)
        return inside

    return [
        ("grey", share(healthy.grey)),
        ("nuclei", share(healthy.nuclei)),
        ("hyperintensity", share(healthy.hyperintensities)),
        ("fluid", share(np.minimum(healthy.fluid, healthy.ventricles))),
        ("oedema", share(tissue.whole)),
        ("vessel", share(healthy.vessels)),
        ("choroid", share(healthy.choroid)),
        ("enhancing", share(tissue.core)),
        ("non-enhancing", share(tissue.inner)),
        ("necrosis", share(tissue.cavity)),
    ]


def acquire(
    rng: np.random.Generator, scan: Scan, covers: list[tuple[str, np.ndarray]], depth: np.ndarray, lattice: Lattice
) -> np.ndarray:
    """Return the four images of layered tissue.

    Args:
        rng: source of the noise, the only thing that depends on the number of voxels.
        scan: parameters of the examination.
        covers: from `layers`.
        depth: depth below the brain's surface in mm.
        lattice: the points.

    Returns:
        (4, X, Y, Z) int16, at least 1 everywhere.
    """
    images = np.empty((len(MODALITIES), *lattice.shape), np.int16)
    uneven = np.float32(TEXTURE_SD) + np.float32(TUMOUR_TEXTURE_SD - TEXTURE_SD) * dict(covers)["enhancing"]
    for m in range(len(MODALITIES)):
        signal = np.full(lattice.shape, scan.signals["white"][m], np.float32)
        for tissue, share in covers:
            signal += share * (np.float32(scan.signals[tissue][m]) - signal)
        signal *= 1 + uneven * scan.texture[m].on(lattice)
        np.power(np.maximum(signal, 0, out=signal), np.float32(scan.gammas[m]), out=signal)
        shallow = np.clip(1 - depth / np.float32(50), 0, 1)
        signal *= np.exp(np.float32(scan.bias_sd[m]) * scan.bias[m].on(lattice) + np.float32(scan.rim_light[m]) * shallow)
        images[m] = _digitise(rng, signal, scan.noise[m], scan.gains[m])
    return images


def _digitise(rng: np.random.Generator, signal: np.ndarray, noise: float, gain: float) -> np.ndarray:
    """Return the magnitude of a signal with complex noise (Rician), scaled to whole numbers of at least 1."""
    real = signal + np.float32(noise) * rng.standard_normal(signal.shape, np.float32)
    magnitude = np.hypot(real, np.float32(noise) * rng.standard_normal(signal.shape, np.float32))
    values: np.ndarray = np.clip(np.rint(gain * magnitude), 1, np.iinfo(np.int16).max)
    return values.astype(np.int16)
