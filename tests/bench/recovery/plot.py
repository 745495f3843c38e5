"""The phases of each client's recovery as a picture: plot.py RESULTS FOLDER."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROWS = ("reset", "refused", "silent", "swallowed", "link", "trip", "lost")
COLOURS = {"notice": "#c44e52", "dial": "#dd8452", "message": "#55a868"}
MEANING = {
    "notice": "until it has noticed",
    "dial": "waiting and connecting, to CONNACK",
    "message": "to the first message",
}


def panels(cells: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The cells with phases, by row and case."""
    found: dict[str, list[dict[str, Any]]] = {}
    for cell in cells:
        if cell["row"] in ROWS and cell["phases"]:
            found.setdefault(f"{cell['row']} {cell['case']}".strip(), []).append(cell)
    return list(found.items())


def draw(axes: Any, title: str, cells: list[dict[str, Any]]) -> None:
    names = [cell["client"] for cell in cells]
    left = [0.0] * len(cells)
    for phase, colour in COLOURS.items():
        widths = [statistics.median(entry[phase] for entry in cell["phases"]) for cell in cells]
        axes.barh(names, widths, left=left, color=colour)
        left = [start + width for start, width in zip(left, widths)]
    # A linear stretch first, so that bars may begin at 0; from there on what is ten times longer is one step
    # longer.
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xlim(left=0)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(labelsize=7)
    axes.set_xlabel("ms, medians of the phases", fontsize=7)


def main() -> None:
    results, folder = Path(sys.argv[1]), Path(sys.argv[2])
    shown = panels(json.loads(results.read_text()))
    if not shown:
        print("no phases to draw")
        return
    columns = 2 if len(shown) > 1 else 1
    lines = -(-len(shown) // columns)
    figure, grid = plt.subplots(lines, columns, figsize=(7 * columns, 3.2 * lines), squeeze=False)
    flat = [axes for line in grid for axes in line]
    for axes, (title, cells) in zip(flat, shown):
        draw(axes, title, cells)
    for axes in flat[len(shown) :]:
        axes.axis("off")
    figure.legend(flat[0].containers, list(MEANING.values()), loc="upper right", fontsize=8, ncol=3)
    figure.tight_layout(rect=(0, 0, 1, 0.97))
    for kind in ("png", "svg"):
        figure.savefig(folder / f"phases.{kind}", dpi=130)


if __name__ == "__main__":
    main()
