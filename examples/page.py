"""One HTML page that needs nothing else: pictures are inside it, it works offline, on a phone, in light and in dark."""

import base64
import html
from pathlib import Path

TYPES = {".png": "image/png", ".gif": "image/gif", ".svg": "image/svg+xml"}
STYLE = """
:root { color-scheme: light dark }
body { font: 1rem/1.55 system-ui, sans-serif; max-width: 68rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.6rem; line-height: 1.25 } h2 { font-size: 1.25rem; margin-top: 2.5rem }
p { max-width: 46rem } code { font-size: .9em }
figure, .table { margin: 1rem 0; overflow-x: auto }
figure { background: #fff; border: 1px solid #8886; border-radius: .5rem }
figure img { display: block; width: 100%; min-width: 42rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .8rem .3rem 0; text-align: right; border-bottom: 1px solid #8886; white-space: nowrap }
th, td { font-size: .95rem }
th:first-child, td:first-child { text-align: left }
.table p, small { font-size: .85rem; opacity: .8 }
summary { cursor: pointer }
"""


def page(title: str, parts: list[str]) -> str:
    """The page: its title, and parts that the functions below have made."""
    body = "\n".join([f"<h1>{html.escape(title)}</h1>", *parts])
    head = '<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    head += f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>"
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


def heading(text: str) -> str:
    """The heading of a section."""
    return f"<h2>{html.escape(text)}</h2>"


def paragraph(text: str) -> str:
    """A paragraph, whatever its line breaks; what stands between ` and ` is code."""
    words = html.escape(" ".join(text.split())).split("`")
    return "<p>" + "".join(f"<code>{w}</code>" if i % 2 else w for i, w in enumerate(words)) + "</p>"


def table(found, summary: str = "") -> str:
    """A table of ``tinynet.compare``; with a ``summary`` it is folded away behind that line."""
    inside = f'<div class="table">\n{found.html()}\n</div>'
    return f"<details><summary>{html.escape(summary)}</summary>\n{inside}\n</details>" if summary else inside


def picture(path: Path, description: str) -> str:
    """An image file, as a part of the page; an empty string where there is no such file."""
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    source = f"data:{TYPES[path.suffix]};base64,{data}"
    return f'<figure><img src="{source}" alt="{html.escape(description)}"></figure>'
