"""What was measured: a cell for each row, case and client; medians, and ratios with their confidence."""

from __future__ import annotations

import json
import random
import statistics
import threading
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

PHASES = ("notice", "dial", "message")


@dataclass
class Cell:
    """Samples in milliseconds (or in what the row says); None is one that did not come within the row's
    patience."""

    samples: list[float | None] = field(default_factory=list)
    phases: list[dict[str, float]] = field(default_factory=list)
    messages: int = 0  # that it had to receive; 0 where the account stands in another cell of the row
    lost: int = 0
    doubled: int = 0  # at QoS 2
    repeated: int = 0  # at QoS 1, where it is allowed
    counts: dict[str, float] = field(default_factory=dict)

    @property
    def came(self) -> list[float]:
        return [sample for sample in self.samples if sample is not None]

    @property
    def missing(self) -> int:
        return len(self.samples) - len(self.came)

    def quantile(self, q: float) -> float | None:
        """Of all samples; those that did not come are the largest."""
        ordered = sorted(self.came) + [float("inf")] * self.missing
        if not ordered:
            return None
        value = ordered[min(len(ordered) - 1, int(q * len(ordered)))]
        return None if value == float("inf") else value

    @property
    def median(self) -> float | None:
        came = self.came + [float("inf")] * self.missing
        value = statistics.median(came) if came else float("inf")
        return None if value == float("inf") else value

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.came) if self.came and not self.missing else None


class Figures:
    """All cells; threads may add at the same time."""

    def __init__(self, order: list[str]) -> None:
        self.order = order  # of the clients
        self.cells: dict[tuple[str, str, str], Cell] = {}
        self._lock = threading.Lock()

    def cell(self, row: str, case: str, client: str) -> Cell:
        with self._lock:
            return self.cells.setdefault((row, case, client), Cell())

    def add(
        self, row: str, case: str, client: str, value: float | None, phases: dict[str, float] | None = None
    ) -> None:
        cell = self.cell(row, case, client)
        with self._lock:
            cell.samples.append(value)
            if phases:
                cell.phases.append(phases)

    def count(self, row: str, case: str, client: str, what: str, value: float) -> None:
        cell = self.cell(row, case, client)
        with self._lock:
            cell.counts[what] = cell.counts.get(what, 0) + value

    def account(self, row: str, case: str, client: str, got: list[int], wanted: set[int], qos: int) -> None:
        """Compares what was received with what the broker had acknowledged to the publisher."""
        cell = self.cell(row, case, client)
        twice = sum(times - 1 for times in Counter(got).values())
        with self._lock:
            cell.messages += len(wanted)
            cell.lost += len(wanted - set(got))
            if qos == 2:
                cell.doubled += twice
            else:
                cell.repeated += twice

    def cases(self, row: str) -> list[str]:
        return list(dict.fromkeys(case for name, case, _ in self.cells if name == row))

    def clients(self, row: str, case: str) -> dict[str, Cell]:
        found = {client: cell for (name, of, client), cell in self.cells.items() if (name, of) == (row, case)}
        return {client: found[client] for client in self.order if client in found}

    def tally(self, row: str, case: str, client: str) -> Cell:
        """The cell with the account of the messages: that of the case, or the one of the whole row."""
        own = self.cell(row, case, client)
        return own if own.messages else self.cells.get((row, "", client), own)

    def rows(self) -> list[str]:
        return list(dict.fromkeys(row for row, _, _ in self.cells))

    def save(self, path: Path) -> None:
        told = [{"row": row, "case": case, "client": client, **asdict(cell)}
                for row in self.rows() for case in self.cases(row)
                for client, cell in self.clients(row, case).items()]  # fmt: skip
        path.write_text(json.dumps(told, indent=1) + "\n")


def ratio(ours: Cell, theirs: Cell) -> tuple[float, float, float] | None:
    """The ratio of the medians and its 95 % interval, by drawing both anew 1,000 times."""
    if not ours.came or not theirs.came or ours.missing or theirs.missing:
        return None
    draw = random.Random(1)

    def median(values: list[float]) -> float:
        return statistics.median(draw.choices(values, k=len(values)))

    drawn = sorted(median(ours.came) / max(median(theirs.came), 1e-9) for _ in range(1000))
    return statistics.median(ours.came) / max(statistics.median(theirs.came), 1e-9), drawn[25], drawn[975]
