"""The page that links every picture and table of a reproduction, the paper's numbers beside ours."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import zfcore

if TYPE_CHECKING:
    from zfcore.experiments.chapters import Chapter

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
img { max-width: 100%; border: 1px solid #ddd; display: block; margin: .6rem 0 }
pre { background: #f6f6f6; padding: .6rem .8rem; overflow-x: auto; font-size: 13px; line-height: 1.35 }
nav { columns: 3 16rem; margin: 1rem 0 2rem } nav a { display: block }
section { margin: 3rem 0; border-top: 2px solid #eee } .paper { color: #555 } .why { color: #8a4b00 }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } pre { background: #242424 } .paper { color: #aaa }
  .why { color: #e0a458 } section { border-color: #333 } a { color: #7ab8ff } }
"""


LONG = 40
"""Lines of a table that is folded."""


@dataclass(frozen=True)
class _Told:
    """What the record says of a chapter."""

    found: str = ""
    table: str = ""
    remarks: Sequence[str] = ()
    pictures: Sequence[str] = ()
    record: str = ""
    refused: str = ""
    seconds: float = 0.0


def page(state: Mapping[str, Any], chapters: Sequence[Chapter], scenes: bool) -> str:
    """The page, as HTML.

    Parameters
    ----------
    state : dict
        The record: what was asked for, and by chapter what came of it.
    chapters : sequence of Chapter
        All of them; those without a result are said to be still to do.
    scenes : bool
        Whether the images are the built-in ones.
    """
    asked, told = state["asked"], {name: _Told(**facts) for name, facts in state["chapters"].items()}
    links = "".join(f'<a href="#{chapter.name}">{_text(chapter.title)}</a>' for chapter in chapters)
    sections = "".join(_section(chapter, told.get(chapter.name), scenes) for chapter in chapters)
    left = len(chapters) - len(told)
    still = f" <strong>{left} of {len(chapters)} are still to do.</strong>" if left else ""
    choices = ", ".join(f"{name} {value}" for name, value in asked.items())
    minutes = sum(one.seconds for one in told.values()) / 60
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>zfcore reproduce</title><style>{STYLE}</style></head><body>\n"
        "<h1>Visualizing and Understanding Convolutional Networks, run again</h1>\n"
        "<p>Every experiment of Zeiler &amp; Fergus (2014), and of lecture 9 of CS231n, on one network. Under each what the paper found, "
        "what "
        "was found here, and why the two differ. Behind each number a record (JSON) with every choice; the plots are there as SVG, too."
        f"{still}</p>\n<p>zfcore {_text(zfcore.__version__)}; asked for: {_text(choices)}; it took {minutes:.1f} minutes.</p>\n"
        f"<nav>{links}</nav>\n{sections}</body></html>\n"
    )


def _section(chapter: Chapter, told: _Told | None, scenes: bool) -> str:
    head = (
        f'<section id="{chapter.name}"><h2>{_text(chapter.title)}</h2>\n'
        f'<p class="paper"><strong>The paper:</strong> {_text(chapter.paper)}</p>\n'
    )
    if told is None:
        return f"{head}<p>Still to do.</p></section>\n"
    if told.refused:
        return f"{head}<p>Not done: {_text(told.refused)}</p></section>\n"
    table = _table(told.table) if told.table else ""
    remarks = "".join(f"<p><em>To keep in mind: {_text(remark)}.</em></p>\n" for remark in told.remarks)
    places = [_text(place) for place in told.pictures]
    pictures = "".join(f'<a href="{place}"><img src="{place}" alt="{place}" loading="lazy"></a>\n' for place in places)
    why = chapter.why if scenes or not chapter.elsewhere else chapter.elsewhere
    return (
        f'{head}<p><strong>Here:</strong> {_text(told.found)}</p>\n{table}<p class="why"><strong>Why they differ:</strong> '
        f'{_text(why)}</p>\n'
        f'{remarks}{pictures}<p><a href="{_text(told.record)}">the record</a>; {told.seconds:.0f} s</p></section>\n'
    )


def _table(table: str) -> str:
    """A table; a long one is folded."""
    lines = table.count("\n") + 1
    shown = f"<pre>{_text(table)}</pre>\n"
    return shown if lines <= LONG else f"<details><summary>the table, {lines} lines</summary>{shown}</details>\n"


def _text(value: object) -> str:
    return html.escape(str(value))
