"""What is known of a study besides its files: one value, used by found, prepared and stored cases and by listings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """What names, folders and tables say of one study of one patient.

    Attributes:
        patient: the person; equal for all known names and time points of one patient.
        timepoint: last field of the name if it counts studies, or None.
        corpus: name of a row of `CORPORA`.
        grade: ``HGG``, ``LGG``, or None if neither name, folders nor tables say.
        age: years, or None.
        survival_days: days from diagnosis or surgery to death; None for the living, too.
        resection: how much was resected, in the tables' own words, or None.
        site: where it was scanned, as the tables number or name it, or None.
    """

    patient: str
    timepoint: str | None = None
    corpus: str = "plain"
    grade: str | None = None
    age: float | None = None
    survival_days: int | None = None
    resection: str | None = None
    site: str | None = None


class KnownFacts:
    """Gives the facts of a case as its own attributes."""

    facts: Facts

    @property
    def patient(self) -> str:
        """Patient id."""
        return self.facts.patient

    @property
    def timepoint(self) -> str | None:
        """Time point, or None."""
        return self.facts.timepoint

    @property
    def corpus(self) -> str:
        """Row of the table of corpora."""
        return self.facts.corpus

    @property
    def grade(self) -> str | None:
        """``HGG``, ``LGG`` or None."""
        return self.facts.grade

    @property
    def age(self) -> float | None:
        """Years, or None."""
        return self.facts.age

    @property
    def survival_days(self) -> int | None:
        """Days to death, or None."""
        return self.facts.survival_days

    @property
    def resection(self) -> str | None:
        """How much was resected, in the corpus' words, or None."""
        return self.facts.resection

    @property
    def site(self) -> str | None:
        """Where it was scanned, as the corpus numbers or names it, or None."""
        return self.facts.site
