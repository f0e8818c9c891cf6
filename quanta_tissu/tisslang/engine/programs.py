"""Which programs a command of the shell starts, as far as its text says: rules and plans look at them.

What cannot be read is `?`. In doubt a word counts as a program: a rule that forbids one must not be got round by
the way in which a command is written.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

_PASSED_OVER = frozenset({"then", "do", "else", "elif", "if", "while", "until", "!", "{", "coproc"})
"""Words after which a command begins."""

_NO_COMMAND = frozenset({"for", "case", "select", "function", "fi", "done", "esac", "}", "[[", "]]"})
"""Words that begin no command, nor do those after them."""

_STARTERS = frozenset(
    {"env", "nice", "nohup", "time", "command", "exec", "builtin", "sudo", "doas", "timeout", "setsid", "stdbuf"}
    | {"ionice", "xargs", "parallel", "chroot", "watch", "busybox", "unshare", "nsenter", "strace", "flock"}
    | {"find", "trap", "."}
)
"""Programs that start others, which they are given as arguments."""

_NO_PROGRAM = re.compile(r"-|\w+=|([\d.]+[smhd]?|\{\}|[();<>|&]+)$")
"""Arguments of those that are no program: options, variables, times, places of files, ends and operators."""

_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "eval", "su", "ssh"})
"""Programs that read an argument as text of the shell."""

_COMMENT = re.compile(r"""('[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s;&|()#'"\\]#?)|(?<![^\s;&|()])#[^\n]*""", re.DOTALL)
"""What stays (quoted texts, and `#` in a word) or a comment."""

_OPERATORS = "();<>|&\n"

_HIDE = {ord(character): 0xE000 + place for place, character in enumerate(_OPERATORS)}
_SHOW = {stand_in: character for character, stand_in in _HIDE.items()}
"""Characters of no language for those of operators that are quoted, and mean themselves."""

_HOLE = re.compile(r"\$\{?(TISS_\d+)\}?")


def programs(command: str, variables: Mapping[str, str] | None = None) -> list[str]:
    """The programs that a text of the shell starts.

    Args:
        command: The text.
        variables: What the variables that stand for holes hold.
    """
    given = variables or {}
    found: list[str] = []
    try:
        for simple in _simple_commands(command):
            found += _started(simple, given)
    except ValueError:  # quotes that are never closed
        found.append("?")
    return list(dict.fromkeys(found))


def _simple_commands(command: str) -> Iterator[list[str]]:
    """The words of each command, without what is read and written."""
    lexer = shlex.shlex(_COMMENT.sub(_without_meaning, command), posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""  # it would take the end of the line for a part of the comment
    words: list[str] = []
    target = False  # whether the word is a file that is read or written
    for word in lexer:
        if word and set(word) <= set(_OPERATORS):
            target = word[-1] in "<>" or word.endswith((">&", "<&", ">|"))
            if target and words and words[-1].isdecimal():
                words.pop()  # the number of a stream
            if not target or set(word) & set("(;|\n") or word.startswith("&&"):
                yield words
                words = []
        elif target:
            target = False
        else:
            words.append(word.translate(_SHOW))
    yield words


def _without_meaning(part: re.Match[str]) -> str:
    """A part of a command in which no operator is quoted; nothing of comments, and of ends of lines that go on."""
    text = part[1] or ""
    if text[:1] not in ("'", '"', "\\"):
        return text
    return (text if text[0] == "'" else text.replace("\\\n", "")).translate(_HIDE)


def _started(words: list[str], variables: Mapping[str, str]) -> Iterator[str]:
    """The programs that a simple command starts."""
    for word in words:
        for inner in _substituted(word):
            yield "?"
            yield from programs(inner, variables)
    while words and (words[0] in _PASSED_OVER or re.match(r"[A-Za-z_]\w*\+?=", words[0])):
        words = words[1:]
    if not words or words[0] in _NO_COMMAND:
        return
    name = _name(words[0], variables)
    yield name
    rest = words[1:]
    if name in _SHELLS:
        for word in rest:
            if not word.startswith("-"):
                yield from programs(_filled(word, variables)) or ["?"]
    elif name in _STARTERS:
        yield from (_name(word, variables) for word in rest if not _NO_PROGRAM.match(word))


def _substituted(word: str) -> Iterator[str]:
    """Texts in a word that the shell runs, and puts what they write in their place."""
    if "$(" in word:
        yield word.split("$(", 1)[1].rstrip(")")
    if "`" in word:
        yield word.split("`", 1)[1].rstrip("`")


def _name(word: str, variables: Mapping[str, str]) -> str:
    filled = _filled(word, variables)
    if "$" in filled or "`" in filled:
        return "?"
    return PurePosixPath(filled).name or "?"


def _filled(word: str, variables: Mapping[str, str]) -> str:
    return _HOLE.sub(lambda match: variables.get(match[1], match[0]), word)
