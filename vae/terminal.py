"""What commands print on the terminal: lines, notes, tables and progress bars."""

from __future__ import annotations

import sys
from threading import Thread

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table


def console(stderr: bool = False) -> Console:
    """A console that prints names and paths as they are, without markup or line breaks."""
    return Console(stderr=stderr, markup=False, highlight=False, soft_wrap=True)


def progress(console: Console, *more: ProgressColumn) -> Progress:
    """A progress bar with `more` columns before the time, shown only on terminals and removed at the end."""
    about = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    return Progress(
        *about,
        *more,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (console.is_terminal and _can_start_thread()),
    )


def print_table(console: Console, table: Table) -> None:
    """Print a table as wide as the screen, or wider if a word or number would be cut."""
    longest = []
    for column in table.columns:
        cells = [str(cell) for cell in (column.header, *column.cells)]
        parts = [part for cell in cells for part in ([cell] if column.no_wrap else cell.split())]
        column.min_width = max(column.min_width or 0, *map(cell_len, parts))
        longest.append(max(map(cell_len, cells)))
    wide = Console(file=console.file, width=1000, markup=False, highlight=False, no_color=console.no_color)
    least, most = wide.measure(table)
    wide.width = max(console.width, 80, least)
    if most > wide.width:  # rich itself may exceed the width and then cut the last column
        for column in table.columns:
            column.width = column.min_width
        for _ in range(wide.width - least):
            column, _ = max(zip(table.columns, longest, strict=True), key=lambda pair: pair[1] - pair[0].width)
            column.width += 1
    wide.print(table)


def note(text: str) -> None:
    """Print one line on stderr, apart from the results."""
    print("python -m vae:", " ".join(map(str.strip, text.strip().splitlines())), file=sys.stderr)


def _can_start_thread() -> bool:
    """Whether a thread can be started: progress bars need one."""
    try:
        thread = Thread(target=int)
        thread.start()
        thread.join()
    except RuntimeError:
        return False
    return True
