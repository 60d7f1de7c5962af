"""Print the world's moments beside those of the public sets.

python -m homefeed.data.world.calibrate --data ../shared/data
"""

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path

from homefeed.data.contract import resolve
from homefeed.data.world.config import world_config
from homefeed.data.world.moments import Moments, moments
from homefeed.data.world.write import write_world

PUBLIC = ("deskdrop", "kuairand_pure_partial", "online_retail")


def table(columns: dict[str, Moments]) -> str:
    """One row per moment, one column per dataset, as Markdown."""
    lines = ["| moment | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    values = {name: asdict(column) for name, column in columns.items()}
    for row in next(iter(values.values())):
        cells = (f"{values[name][row]:,.3g}" for name in columns)
        cells = (
            f"{values[name][row]:,}" if isinstance(values[name][row], int) else cell
            for name, cell in zip(columns, cells, strict=True)
        )
        lines.append(f"| {row.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Read what the command line names and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--preset", default="small")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = write_world(Path(folder) / "world", world_config(chosen.preset))
        columns = {"world": moments(world)}
        for name in PUBLIC:
            if (chosen.data / name).is_dir():
                columns[name] = moments(resolve(str(chosen.data / name), Path(folder)))
        print(table(columns))


if __name__ == "__main__":
    main()
