"""One HTML page from the pieces of a run, and the summary table that ends it."""

import math
from pathlib import Path

from homefeed.artifacts import writing
from homefeed.report.piece import Piece
from homefeed.report.plots import draw

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body{font:15px/1.5 system-ui,sans-serif;color:#1f2430}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem} h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid #dde1e8}
table{border-collapse:collapse;font-size:.88rem;margin:.6rem 0}
caption{text-align:left;font-weight:600}
td,th{padding:.2rem .7rem .2rem 0;text-align:left;vertical-align:top}
td,th{border-bottom:1px solid #eceef2}
td.n{text-align:right;font-variant-numeric:tabular-nums} .note{color:#51606e;font-size:.88rem}
svg{max-width:100%;height:auto} .subtitle{color:#51606e}
</style></head><body>
<h1>{{ title }}</h1><p class="subtitle">{{ subtitle }}</p>
<table><caption>Summary</caption>
{% for p in pieces %}{% for f in p.figures %}<tr><td>{{ f.name }}</td><td><b>{{ f.value }}</b></td>
<td class="note">{{ f.note }}</td></tr>{% endfor %}{% endfor %}
</table>
{% for p in pieces if p.notes or p.plots or p.tables|selectattr("rows")|list %}
<h2>{{ p.title }}</h2>
{% for note in p.notes %}<p class="note">{{ note }}</p>{% endfor %}
{% for plot in p.plots %}<figure>{{ drawn(plot) }}</figure>{% endfor %}
{% for t in p.tables %}{% if t.rows %}<table><caption>{{ t.title }}</caption>
<tr>{% for c in t.rows[0] %}<th>{{ c }}</th>{% endfor %}</tr>
{% for row in t.rows %}<tr>{% for c in t.rows[0] %}{% set v = row.get(c, "") %}
<td{% if v is number %} class="n"{% endif %}>{{ cell(v) }}</td>{% endfor %}</tr>{% endfor %}
</table>{% endif %}{% endfor %}{% endfor %}
</body></html>
"""


def write_page(pieces: list[Piece], out: Path, title: str, subtitle: str) -> None:
    """Write the report at ``out``: one file, plots inline, nothing fetched."""
    from jinja2 import Environment
    from markupsafe import Markup

    environment = Environment(autoescape=True)
    text = environment.from_string(PAGE).render(
        title=title,
        subtitle=subtitle,
        pieces=pieces,
        cell=_cell,
        drawn=lambda plot: Markup(draw(plot)),  # our own SVG: it escapes its labels
    )
    with writing(out) as beside:
        beside.write_text(text, encoding="utf-8")


def summary(pieces: list[Piece]) -> str:
    """The figures of all pieces as a plain table."""
    figures = [f for piece in pieces for f in piece.figures]
    name_width = max((len(f.name) for f in figures), default=0)
    value_width = max((len(f.value) for f in figures), default=0)
    return "\n".join(
        f"{f.name:{name_width}}  {f.value:{value_width}}  {f.note}".rstrip() for f in figures
    )


def _cell(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, float):  # no number: a figure that does not exist, such as a rate of none
        return "–" if math.isnan(value) else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
