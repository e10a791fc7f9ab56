"""The text of CIF 1.1 as tags: data blocks, single items and loops."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from grs_evo.structures.files.text import Lines, shown

# Quotes end where a space or the end of the line follows.
_WORD = re.compile(r"""'(?:[^']|'(?=\S))*'(?=\s|$)|"(?:[^"]|"(?=\S))*"(?=\s|$)|\#.*|[^\s]+""")


class Word(NamedTuple):
    """A value with its place."""

    text: str
    line: int
    quoted: bool = False


@dataclass
class Block:
    """One data block."""

    name: str
    line: int
    items: dict[str, Word] = field(default_factory=dict)  # tags in lower case
    loops: dict[str, list[Word]] = field(default_factory=dict)

    def one(self, *tags: str) -> Word | None:
        """The value of the first of some tags that has one, also where it stands in a loop of one row."""
        for tag in tags:
            found = self.items.get(tag) or (self.loops[tag][0] if len(self.loops.get(tag, ())) == 1 else None)
            if found is not None and (found.quoted or found.text not in (".", "?")):
                return found
        return None

    def many(self, *tags: str) -> list[Word] | None:
        """The column of the first of some tags that has one, also where it is a single item."""
        for tag in tags:
            if tag in self.loops:
                return self.loops[tag]
            if tag in self.items:
                return [self.items[tag]]
        return None


def blocks(lines: Lines) -> list[Block]:
    """The data blocks of a file.

    Raises
    ------
    InputError
        A loop whose values do not fill its rows, a tag without value or given twice, an open text field or quote,
        anything outside a block.
    """
    found: list[Block] = []
    words = _words(lines)
    k = 0
    while k < len(words):
        word = words[k]
        lower = word.text.lower()
        lines.number = word.line
        if not word.quoted and lower.startswith("data_"):
            found.append(Block(word.text[5:], word.line))
            k += 1
            continue
        if not found:
            lines.fail(f"{shown(word.text, 30)!r} in front of the first data_ line of a CIF file")
        if not word.quoted and lower == "loop_":
            k = _loop(lines, words, k + 1, found[-1])
        elif _is_tag(word):
            if k + 1 == len(words) or not _is_value(words[k + 1]):
                lines.fail(f"{shown(word.text, 40)} has no value; the file is cut or damaged")
            _add(lines, found[-1], lower, words[k + 1])
            k += 2
        else:
            lines.fail(f"{shown(word.text, 30)!r} is neither a tag nor a tag's value; the file is cut or damaged")
    return found


def _loop(lines: Lines, words: list[Word], k: int, block: Block) -> int:
    tags = []
    while k < len(words) and _is_tag(words[k]):
        tags.append(words[k].text.lower())
        k += 1
    first = k
    while k < len(words) and _is_value(words[k]):
        k += 1
    if not tags or first == k or (k - first) % len(tags):
        lines.number = words[k - 1].line
        what = tags[0] if tags else "without tags"
        lines.fail(
            f"the loop {what} ends with {k - first} values in {len(tags)} columns; its last row is not whole, so the"
            " file is cut or damaged"
        )
    for n, tag in enumerate(tags):
        if tag in block.loops or tag in block.items:
            lines.number = words[first].line
            lines.fail(f"{tag} comes twice in the block {shown(block.name, 30)}")
        block.loops[tag] = words[first + n : k : len(tags)]
    return k


def _add(lines: Lines, block: Block, tag: str, value: Word) -> None:
    if tag in block.items or tag in block.loops:
        lines.fail(f"{tag} comes twice in the block {shown(block.name, 30)}")
    block.items[tag] = value


def _is_tag(word: Word) -> bool:
    return not word.quoted and word.text.startswith("_")


def _is_value(word: Word) -> bool:
    return word.quoted or not re.match(r"_|data_|loop_$|save_|global_$|stop_$", word.text, re.IGNORECASE)


def _words(lines: Lines) -> list[Word]:
    found: list[Word] = []
    for line in lines:
        if line.startswith(";"):
            first, parts = lines.number, [line[1:].strip()]
            while not (line := lines.need(f"the ';' that ends the text field of line {first}")).startswith(";"):
                parts.append(line.strip())
            found.append(Word("\n".join(parts).strip(), first, True))
            line = line[1:]
        for match in _WORD.finditer(line):
            text = match[0]
            if text.startswith("#"):
                break
            if text[0] in "'\"":
                if len(text) < 2 or text[-1] != text[0]:
                    lines.fail(f"the quote in {shown(text, 30)} is not closed")
                found.append(Word(text[1:-1], lines.number, True))
            else:
                found.append(Word(text, lines.number))
    return found
