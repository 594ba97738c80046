"""Counters, gauges and histograms, and Prometheus' text format for them.

Source: "Exposition formats", text format 0.0.4
(https://prometheus.io/docs/instrumenting/exposition_formats/). One thread counts and renders. A set of labels
that was counted once is there for ever, so labels have few values.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metric:
    """A name with one value for each set of labels.

    Args:
        name: as Prometheus knows it; stable.
        text: what it says, one line.
        labels: names of its labels.
    """

    kind = "untyped"

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.text = text
        self.labels = tuple(labels)
        self._values: dict[tuple[str, ...], float] = {}
        if not labels:
            self._values[()] = 0

    def render(self) -> Iterator[str]:
        """Its lines."""
        yield f"# HELP {self.name} {_escaped(self.text)}"
        yield f"# TYPE {self.name} {self.kind}"
        yield from self.samples()

    def samples(self) -> Iterator[str]:
        """Its lines without those that describe it."""
        for values, number in sorted(self._values.items()):
            yield _sample(self.name, zip(self.labels, values, strict=True), number)

    def value(self, *labels: str) -> float:
        """The value of a set of labels; 0 where nothing was counted."""
        return self._values.get(labels, 0)


class Counter(Metric):
    """What only grows."""

    kind = "counter"

    def add(self, *labels: str, by: float = 1) -> None:
        """Count.

        Args:
            labels: values in the order of the names.
            by: how much, not negative.
        """
        self._values[labels] = self._values.get(labels, 0) + by

    def set(self, number: float, *labels: str) -> None:
        """Take over what somebody else counts."""
        self._values[labels] = number


class Gauge(Metric):
    """What goes up and down."""

    kind = "gauge"

    def set(self, number: float, *labels: str) -> None:
        """Say what it is now."""
        self._values[labels] = number


class Histogram(Metric):
    """How often what was measured was up to each of some bounds.

    Args:
        name: as Prometheus knows it.
        text: what it says.
        bounds: upper bounds, rising; that of the last bucket, infinity, is not among them.
    """

    kind = "histogram"

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        super().__init__(name, text)
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, number: float) -> None:
        """Count one measurement."""
        self._counts[bisect_left(self.bounds, number)] += 1
        self._sum += number

    def add(self, counts: Sequence[int], total: float) -> None:
        """Count many measurements that somebody else has sorted into the same buckets.

        Args:
            counts: measurements in each bucket alone, the last one's included.
            total: their sum.

        Raises:
            ValueError: the buckets are others.
        """
        if len(counts) != len(self._counts):
            raise ValueError(f"{self.name} has {len(self._counts)} buckets, not {len(counts)}")
        self._counts = [mine + theirs for mine, theirs in zip(self._counts, counts, strict=True)]
        self._sum += total

    def samples(self) -> Iterator[str]:
        """Buckets, which are cumulative, sum and count."""
        running = 0
        for bound, count in zip((*self.bounds, float("inf")), self._counts, strict=True):
            running += count
            yield _sample(f"{self.name}_bucket", [("le", _number(bound))], running)
        yield _sample(f"{self.name}_sum", (), self._sum)
        yield _sample(f"{self.name}_count", (), running)


def render(metrics: Iterable[Metric]) -> str:
    """The text that a scrape gets."""
    return "".join(f"{line}\n" for metric in metrics for line in metric.render())


def _sample(name: str, labels: Iterable[tuple[str, str]], number: float) -> str:
    text = ",".join(f'{label}="{_escaped_value(value)}"' for label, value in labels)
    return f"{name}{{{text}}} {_number(number)}" if text else f"{name} {_number(number)}"


def _number(number: float) -> str:
    if number == float("inf"):
        return "+Inf"
    return str(int(number)) if number == int(number) else repr(number)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escaped_value(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
