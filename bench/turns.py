"""Variants measured in turns, so that a machine that wavers wavers for all of them."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from backend_api.settings import Settings

from bench.load import Plan, Sample, run


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measurement works with. `logs` is the folder for what the started processes say."""

    settings: Settings
    generator: ProcessPoolExecutor
    logs: Path
    rounds: int
    seconds: float

    def load(self, plan: Plan) -> Sample:
        """Carry out a run in the load generator's process."""
        return self.generator.submit(run, plan).result()


@dataclass(frozen=True, slots=True)
class Variant:
    """One line of a table: `measure` is one round of it. `expected` is the status of every answer."""

    name: str
    measure: Callable[[], Sample]
    expected: int = 200


@dataclass(frozen=True, slots=True)
class Line:
    """Medians over the rounds. `ratio` is requests per second, `processor_ratio` processor time, against the first."""

    name: str
    rate: float
    ratio: float
    p50: float
    p99: float
    processor: Mapping[str, float]
    processor_ratio: float
    hits: float | None


@dataclass(frozen=True, slots=True)
class Goal:
    """What a ratio must reach now, and what it shall reach in the end. `met` compares only with the former."""

    what: str
    value: float
    now: float
    later: float
    below: bool = False

    @property
    def met(self) -> bool:
        """Whether it is reached now."""
        return self.value <= self.now if self.below else self.value >= self.now


@dataclass(frozen=True, slots=True)
class Table:
    """A finished table; the first line is the reference."""

    title: str
    lines: Sequence[Line]
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = ()
    answers: Mapping[str, int] = field(default_factory=dict)

    def line(self, name: str) -> Line:
        """The line of this name."""
        return next(line for line in self.lines if line.name == name)

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "title": self.title,
            "lines": [{name: getattr(line, name) for name in Line.__slots__} for line in self.lines],
            "goals": [
                {"what": g.what, "value": g.value, "now": g.now, "later": g.later, "met": g.met} for g in self.goals
            ],
            "notes": list(self.notes),
        }


class WrongAnswersError(Exception):
    """A variant answered something else than it should: its speed says nothing."""


def measure(variants: Sequence[Variant], rounds: int) -> tuple[list[Line], dict[str, int]]:
    """Medians of each variant over the rounds, round-robin, and how many expected answers each gave in all."""
    samples: dict[str, list[Sample]] = {variant.name: [] for variant in variants}
    for _ in range(rounds):
        for variant in variants:
            sample = variant.measure()
            if set(sample.statuses) != {variant.expected}:
                raise WrongAnswersError(f"{variant.name} answered {dict(sample.statuses)}")
            samples[variant.name].append(sample)
    answers = {
        variant.name: sum(sample.statuses[variant.expected] for sample in samples[variant.name]) for variant in variants
    }
    reference = _medians(samples[variants[0].name])
    return [_line(variant.name, samples[variant.name], reference) for variant in variants], answers


def _medians(samples: Sequence[Sample]) -> Sample:
    groups = samples[0].processor
    hits = [sample.hits for sample in samples if sample.hits is not None]
    return Sample(
        rate=median(sample.rate for sample in samples),
        p50=median(sample.p50 for sample in samples),
        p99=median(sample.p99 for sample in samples),
        processor={group: median(sample.processor[group] for sample in samples) for group in groups},
        hits=median(hits) if hits else None,
    )


def _line(name: str, samples: Sequence[Sample], reference: Sample) -> Line:
    medians = _medians(samples)
    return Line(
        name=name,
        rate=medians.rate,
        ratio=medians.rate / reference.rate,
        p50=medians.p50,
        p99=medians.p99,
        processor=medians.processor,
        processor_ratio=sum(reference.processor.values()) / sum(medians.processor.values()),
        hits=medians.hits,
    )
