"""Which command a statement begins with, and whether it may stand where it stands."""

from __future__ import annotations

from difflib import get_close_matches

from quanta_tissu.tisslang.diagnostics.diagnostic import Edit, Label
from quanta_tissu.tisslang.syntax.commands import BY_KEYWORD
from quanta_tissu.tisslang.syntax.reader import Reader, Unreadable
from quanta_tissu.tisslang.syntax.shapes import Command, Inside
from quanta_tissu.tisslang.syntax.tokens import Token, TokenKind

CLAUSES_OF = {"THEN": "IF", "ELSE": "IF", "CATCH": "TRY", "FINALLY": "TRY", "FIX_WITH": "RETRY"}
"""Words that begin a part of a command, which some would write as a statement."""

_WITH_ARTICLE = {
    Inside.FILE: "outside of blocks",
    Inside.STEPS: "in a task",
    Inside.COMMANDS: "in a step",
    Inside.PARALLEL: "directly in PARALLEL",
    Inside.CHOOSE: "directly in CHOOSE",
}


def take_command(reader: Reader, *, clause_expected: bool) -> Command:
    """Take the word with which a statement begins.

    Args:
        reader: At it.
        clause_expected: Whether a part of a command may come here, since something before it could not be read.

    Returns:
        The command that it names, or was probably meant to name.

    Raises:
        Unreadable: It names none.
    """
    token = reader.token
    if token.kind is TokenKind.WORD and (spec := BY_KEYWORD.get(token.text)) is not None:
        reader.take()
        return spec
    if token.kind is TokenKind.UNKNOWN:
        raise Unreadable  # the lexer has said so
    if token.text in CLAUSES_OF:
        if not clause_expected:
            owner = CLAUSES_OF[token.text]
            reader.say(
                "E022",
                f"`{token.text}` belongs to no `{owner}`",
                token.span,
                help=f"it follows directly on the block of {owner}",
            )
        raise Unreadable
    if token.kind is TokenKind.HEADER:
        reader.say(
            "E021", f"`{token.text}` is not at the top", token.span, help="it is the first line of a script"
        )
        raise Unreadable
    if token.kind is not TokenKind.WORD:
        reader.say(
            "E009",
            f"a statement starts with a command, not with `{token.text.strip()}`",
            token.span,
            help="such as STEP, RUN, WRITE, ASSERT; a comment starts with `#`",
        )
        raise Unreadable
    return _meant(reader, token)


def _meant(reader: Reader, token: Token) -> Command:
    near = _nearest(token.text)
    capitals = near == token.text.upper()
    reader.say(
        "E009",
        f"`{token.text}` is no command",
        token.span,
        label="" if near is None else f"did you mean `{near}`?",
        help="commands are written in capitals" if capitals else None,
        edits=() if near is None else (Edit(token.span, near, f"Write `{near}`", safe=capitals),),
        found=token.text,
        suggestion=near,
    )
    if near is None:
        raise Unreadable
    reader.take()
    return BY_KEYWORD[near]


def _nearest(word: str) -> str | None:
    """The command that a word was probably meant to be."""
    if word.upper() in BY_KEYWORD:
        return word.upper()
    if len(word) < 3:
        return None
    close = get_close_matches(word.upper(), BY_KEYWORD, n=1, cutoff=0.7)
    return close[0] if close else None


def check_place(reader: Reader, spec: Command, token: Token, inside: Inside, around: list[Token]) -> None:
    """Say that a command may not stand where it stands, if that is so.

    Args:
        reader: Gets what is said.
        spec: The command.
        token: Its keyword.
        inside: What it stands in.
        around: The keywords of the blocks that it stands in, from the outside in.
    """
    if inside in spec.where:
        return
    if spec.keyword == "STEP":
        step = next((one for one in reversed(around) if one.text == "STEP"), None)
        if step is not None:
            reader.say(
                "E010",
                "`STEP` blocks cannot be nested",
                token.span,
                label="nested STEP",
                others=(Label(step.span, "enclosing STEP opened here"),),
                help="close the outer STEP first, or wrap the inner ones in PARALLEL { } or CHOOSE { }",
            )
            return
    places = " or ".join(_WITH_ARTICLE[place] for place in Inside if place in spec.where)
    reader.say(
        "E011",
        f"`{spec.keyword}` cannot stand {_WITH_ARTICLE[inside]}",
        token.span,
        others=tuple(Label(one.span, f"this {one.text} holds it") for one in around[-1:]),
        help=f"it stands {places}",
    )
