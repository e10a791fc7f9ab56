"""The manual: pages in Markdown that ship with the program, a reference of all options, and a site made of both.

| what | module |
|---|---|
| pages, and how a terminal shows them | `pages` |
| all options of a run file, as a page and as a JSON Schema | `options` |
| a static site, with a reference of the Python side | `site` |
"""
