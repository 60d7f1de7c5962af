"""Data Docs that open from disk: no script, no style and no picture comes from the network."""

import re
import shutil
from pathlib import Path

from homefeed.data.checks.expectations import SITE

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1rem 2rem;
       color: #222; background: #fff; }
table { border-collapse: collapse; margin: .5rem 0; } td, th { padding: .3rem .7rem; text-align:
        left; border-bottom: 1px solid #ddd; vertical-align: top; }
h1, h2, h3, h4 { line-height: 1.2; } a { color: #0b57d0; }
.modal, .cooltip .top, .btn, .btn-group, footer, .search-input { display: none; }
.row { display: flex; gap: 2rem; } .sticky { top: 1rem; } .col-lg-2 { flex: 0 0 14rem; }
.text-success, .fa-check-circle { color: #137333; } .text-danger, .fa-times { color: #b3261e; }
.fa-check-circle::before { content: "\\2713"; } .fa-times::before { content: "\\2717"; }
.alert { padding: .5rem 1rem; border-radius: 4px; background: #f3f3f3; }
tr:has(.text-danger) { background: #fdecea; }
nav, nav ul, .breadcrumb { list-style: none; padding: 0; } .breadcrumb li { display: inline; }
"""
_DROPPED = (
    re.compile(r"<script\b.*?</script\s*>", re.S | re.I),
    re.compile(r"<link\b[^>]*>", re.I),
    re.compile(r"<img\b[^>]*>", re.I),
    re.compile(r"<iframe\b.*?</iframe\s*>", re.S | re.I),
    re.compile(r"""\s(?:src|srcset|action)\s*=\s*(["'])\s*(?:https?:)?//.*?\1""", re.S | re.I),
    re.compile(r"@import[^;]*;", re.I),
    re.compile(r"url\([^)]*\)", re.I),
)
_OUTWARD_LINK = re.compile(
    r"""<a\b[^>]*href\s*=\s*(["'])\s*(?:https?:)?//[^>]*>(.*?)</a\s*>""", re.S | re.I
)
_ADDRESS = re.compile(r"""https?://[^\s"'<>]*""", re.I)


def copy_offline(project: Path, out: Path) -> None:
    """Copy the site that Great Expectations built below ``project`` to ``out``, made offline."""
    site = project / SITE
    for page in sorted(site.rglob("*.html")):
        target = out / page.relative_to(site)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(offline(page.read_text(encoding="utf-8")), encoding="utf-8")
    if not (out / "index.html").is_file():
        shutil.rmtree(out, ignore_errors=True)
        raise FileNotFoundError(f"Great Expectations wrote no {SITE}/index.html")


def offline(page: str) -> str:
    """Take out of a page everything that a browser would fetch, and give it a style of its own."""
    for pattern in _DROPPED:
        page = pattern.sub("", page)
    page = _OUTWARD_LINK.sub(r"\2", page)
    page = _ADDRESS.sub("", page)
    return page.replace("</head>", f"<style>{STYLE}</style></head>", 1)
