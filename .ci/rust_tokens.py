"""Rust source as tokens: names, literals, signs and comments, each with its lines. What it is right about,
`.ci/mirror --self-test` asks."""

import re

TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<line>//[^\n]*)
    | (?P<block>/\*)
    | (?P<raw>(?:b|c)?r(?P<hashes>\#*)"(?:.*?)"(?P=hashes))
    | (?P<string>[bc]?"(?:[^"\\]|\\.)*")
    | (?P<char>b?'(?:[^'\\\n]|\\(?:u\{[^}]*\}|x[0-9a-fA-F]{2}|.))')
    | (?P<lifetime>'[^\W\d]\w*)
    | (?P<name>r\#[^\W\d]\w*|[^\W\d]\w*)
    | (?P<number>\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?\w*)
    | (?P<sign>::|->|=>|\.\.=|\.\.\.|\.\.|&&|\|\||==|!=|<=|>=|[-+*/%^&|]=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
BLOCK_MARK = re.compile(r"/\*|\*/")


class Token:
    __slots__ = ("kind", "text", "line", "last")

    def __init__(self, kind, text, line, last):
        self.kind, self.text, self.line, self.last = kind, text, line, last


def tokens_of(text):
    """Names, literals, signs and comments in order, with the lines that each stands on."""
    found, place, line = [], 0, 1
    while place < len(text):
        match = TOKEN.match(text, place)
        kind, end = match.lastgroup, match.end()
        if kind == "hashes":
            kind = "raw"
        if kind == "block":  # comments nest
            depth = 1
            while depth and (mark := BLOCK_MARK.search(text, end)):
                depth += 1 if mark.group() == "/*" else -1
                end = mark.end()
            end = len(text) if depth else end
        piece = text[place:end]
        last = line + piece.count("\n")
        if kind != "space":
            found.append(Token(kind, piece, line, last))
        place, line = end, last
    return found


def is_doc(comment):
    text = comment.text
    if text.startswith("//"):
        return text.startswith("//!") or (text.startswith("///") and not text.startswith("////"))
    return text.startswith("/*!") or (text.startswith("/**") and not text.startswith(("/***", "/**/")))
