#!/usr/bin/env python3
"""Finds links of the built book that lead to no file or no heading. Argument: the folder of the book."""

import html
import pathlib
import re
import sys
import urllib.parse

book = pathlib.Path(sys.argv[1])
# These two are made of all pages, and of none.
pages = [page for page in book.glob("*.html") if page.name not in ("404.html", "toc.html")]
text = {page.name: page.read_text() for page in pages}
anchors = {name: set(re.findall(r'\bid="([^"]*)"', page)) for name, page in text.items()}
dead = []
for name, page in text.items():
    content = page.split("<main>")[1].split("</main>")[0]
    for link in map(html.unescape, re.findall(r'\b(?:href|src|srcset)="([^"]*)"', content)):
        if "://" in link or link.startswith("mailto:"):
            continue
        file, _, anchor = link.partition("#")
        file = file or name
        if not (book / file).is_file() or anchor and urllib.parse.unquote(anchor) not in anchors.get(file, ()):
            dead.append(f"{name}: {link}")
if dead:
    sys.exit("these links of the book lead nowhere:\n" + "\n".join(dead))
