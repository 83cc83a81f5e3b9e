"""One HTML file that opens anywhere, offline: the frame and the style sheet of every report.

It knows no figure; a report brings a template that extends `page.html.j2`.
"""

from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from esmm_dist.pages.text import count, percent, span

FRAME = "page.html.j2"


def rendered(
    package: str, template: str, filters: Mapping[str, Callable[..., str]], **values: Any
) -> str:
    """A report as the text of one file without any outside resource.

    Args:
        package: where the template lies, as an importable name.
        filters: the report's own; count, percent and span are there anyway.
    """
    environment = _environment(package, template)
    environment.filters.update(filters)
    return environment.get_template(template).render(**values)


@cache
def _environment(package: str, template: str) -> Environment:
    """What a template is compiled in, once a process: that takes longer than to fill it in."""
    def source(name: str) -> str:
        place = "esmm_dist.pages" if name == FRAME else package
        return resources.files(place).joinpath(name).read_text(encoding="utf-8")

    environment = Environment(
        loader=FunctionLoader(source), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    environment.filters.update({"count": count, "percent": percent, "span": span})
    return environment
