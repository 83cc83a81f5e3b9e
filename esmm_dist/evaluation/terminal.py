"""A scorecard's main figures as a table on the terminal.

It computes none of them.
"""

from rich.console import Console
from rich.table import Table

from esmm_dist.evaluation.figures import figure, interval_text, method_name, signed
from esmm_dist.evaluation.scorecard import Scorecard
from esmm_dist.evaluation.tasks import Task, metric_name

# Names as short as 80 columns allow; the report has the others.
TERMINAL_METRICS = ("auc", "gauc", "ne", "pcoc")


def print_table(card: Scorecard) -> None:
    """Prints the pooled figures of the model and the reference."""
    table = Table(title=f"{card.run.name}: {card.pooled.num_impressions:,} impressions, "
                        f"{card.pooled.num_conversions:,} conversions",
                  caption="\n".join([card.run.note, *card.run.warnings]).strip() or None,
                  title_justify="left", caption_justify="left")
    for heading in ("metric", method_name(card.run.method), method_name(card.run.reference),
                    "difference (95 % interval)"):
        table.add_column(heading, justify="left" if heading == "metric" else "right", no_wrap=True)
    for task in Task:
        for metric in TERMINAL_METRICS:
            name = metric_name(task, metric)
            gap = card.pooled.difference[name]
            table.add_row(
                name, figure(card.pooled.model[name].value, name),
                figure(card.pooled.reference[name].value, name),
                f"{signed(gap.value, name)} ({interval_text(gap, name, of_difference=True)})",
                end_section=metric == TERMINAL_METRICS[-1],
            )
    Console().print(table)
