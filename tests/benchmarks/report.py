"""How a benchmark prints what it measured: each figure beside its bar."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure; `bar` None where there is none, `least` where the bar is the least and not the most."""

    what: str
    figure: float
    bar: float | None = None
    least: bool = False

    @property
    def missed(self) -> bool:
        """True where the figure is on the wrong side of its bar."""
        if self.bar is None:
            return False
        return self.figure < self.bar if self.least else self.figure > self.bar


def show(name: str, rows: list[Row]) -> int:
    """Print the rows; returns how many bars were missed."""
    for row in rows:
        sign = "" if row.bar is None else f" (bar {'>=' if row.least else '<='} {row.bar:g})"
        print(f"{name}: {row.what}: {row.figure:.2f}{sign}{' MISSED' if row.missed else ''}", flush=True)
    return sum(row.missed for row in rows)
