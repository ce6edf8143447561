"""What `build_raw_store` reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class RawStoreReport:
    """The outcome of each study.

    Attributes:
        store: the store's folder.
        written: ids of the cases stored by this call.
        kept: ids of the cases that were stored before.
        refused: case id → why it was not stored.
        missing: case id → modalities that its study does not have, of those stored by this call.
        choices: case id → the series chosen for each modality and those left out, in words.
        quality: case id → the numbers of `raw.Quality`.
        warnings: case id → what looks wrong, one sentence each.
    """

    store: str
    written: tuple[str, ...]
    kept: tuple[str, ...]
    refused: dict[str, str]
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    quality: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self)
