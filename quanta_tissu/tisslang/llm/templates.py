"""How a conversation is written as one text for a model that continues text.

A template makes segments: what is said, and what marks turns. Nothing that is said can become a mark. Where a mark
is a special token of the model, what is said is never searched for special tokens. Where it is ordinary text, its
spellings in what is said are broken: a blank comes after their first character (`< |im_start|>`), and where a mark
opens a line (`User:`), such a line is quoted (`> User:`).

Sources: OpenAI, "ChatML" (openai-python, chatml.md, 2023); Meta, "Llama 3 model card and prompt formats" and
"Llama 2 prompt format", with Hugging Face's chat templates for blanks and line breaks; Taori et al., "Stanford
Alpaca" (2023), section on fine-tuning data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum

from quanta_tissu.errors import ModelError
from quanta_tissu.tisslang.llm.protocol import Message


class Kind(Enum):
    """What a segment is."""

    SAID = "said"
    MARK = "mark"
    BEGIN = "begin"  # the token that opens a sequence, whatever the model calls it
    END = "end"  # the token that ends one


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a prompt.

    Attributes:
        text: How it is written.
        kind: What it is.
    """

    text: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Template:
    """A way to write conversations.

    Attributes:
        name: Its name.
        marks: Spellings that mark turns anywhere in a text.
        openers: Spellings that mark turns at the beginning of a line.
        stop: Texts at which an answer ends, if the model writes on.
        ends: Special tokens that end an answer, if the model has them.
        trims: Whether blanks around what is said are left out.
        spaced: Whether an answer begins with a blank that is not part of it.
    """

    name: str
    marks: tuple[str, ...]
    openers: tuple[str, ...]
    stop: tuple[str, ...]
    ends: tuple[str, ...] = ()
    trims: bool = False
    spaced: bool = False

    def segments(self, messages: Sequence[Message]) -> tuple[Segment, ...]:
        """A conversation, up to where the model answers."""
        said = [
            Message(one.role, self.harmless(one.content.strip() if self.trims else one.content))
            for one in messages
        ]
        return tuple(one for one in _WRITERS[self.name](said) if one.text)

    def text(self, messages: Sequence[Message]) -> str:
        """The same as one text, for people and for patterns."""
        return "".join(one.text for one in self.segments(messages))

    def harmless(self, text: str) -> str:
        """What is said, with the spellings of marks broken."""
        return quoted_lines(broken(text, self.marks), self.openers)


def broken(text: str, spellings: Iterable[str]) -> str:
    """A text in which no spelling is left: each gets a blank after its first character."""
    wanted = sorted((one for one in spellings if len(one) > 1), key=len, reverse=True)
    if not wanted:
        return text
    pattern = re.compile("|".join(map(re.escape, wanted)))
    while pattern.search(text):
        text = pattern.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)
    return text


def quoted_lines(text: str, openers: Sequence[str]) -> str:
    """A text in which no line begins with one of some spellings: such a line is quoted."""
    if not openers:
        return text
    # Whatever a reader or a tokenizer may take for the end of a line, and blanks before the word.
    pattern = re.compile(
        rf"(^|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029])([ \t]*)(?={'|'.join(map(re.escape, openers))})", re.IGNORECASE
    )
    return pattern.sub(r"\1> \2", text)


PLAIN = Template("plain", (), ("User:", "Assistant:"), ("\nUser:",), spaced=True)
"""A dialogue such as a base model has read many of."""

CHATML = Template(
    "chatml", ("<|im_start|>", "<|im_end|>"), (), ("<|im_end|>",), ends=("<|im_end|>", "<|endoftext|>")
)
"""Turns between `<|im_start|>` and `<|im_end|>`: Qwen, SmolLM and many others."""

LLAMA = Template(
    "llama",
    (
        *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        *("<|eom_id|>", "<|python_tag|>"),
    ),
    (),
    ("<|eot_id|>",),
    ends=("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"),
    trims=True,
)
"""Llama 3 and its successors with the same marks."""

LLAMA2 = Template(
    "llama2", ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<s>", "</s>"), (), ("[INST]",), trims=True, spaced=True
)
"""Llama 2 and the first models of Mistral."""

ALPACA = Template(
    "alpaca", (), ("### Instruction:", "### Input:", "### Response:"), ("\n### Instruction:", "\n### Input:")
)
"""An instruction and a response under headings."""

TEMPLATES: Mapping[str, Template] = {one.name: one for one in (PLAIN, CHATML, LLAMA, LLAMA2, ALPACA)}


def template(name: str) -> Template:
    """The template of a name.

    Raises:
        ModelError: There is none.
    """
    found = TEMPLATES.get(name)
    if found is None:
        close = get_close_matches(name, TEMPLATES, n=1)
        raise ModelError(
            f"there is no template {name!r}",
            hint=f"did you mean {close[0]}?" if close else f"there are {', '.join(TEMPLATES)}",
        )
    return found


def template_for(special_tokens: Iterable[str]) -> Template:
    """The template whose marks are special tokens of a model; `plain` if none's are."""
    known = set(special_tokens)
    for one, marks in ((CHATML, CHATML.marks), (LLAMA, ("<|start_header_id|>", "<|eot_id|>"))):
        if known.issuperset(marks):
            return one
    return PLAIN


# --- how each is written -------------------------------------------------------------------------------------


def _mark(text: str) -> Segment:
    return Segment(text, Kind.MARK)


def _said(message: Message) -> Segment:
    return Segment(message.content, Kind.SAID)


def _plain(messages: Sequence[Message]) -> Iterator[Segment]:
    for one in messages:
        if one.role == "system":
            yield _said(one)
            yield _mark("\n\n")
        else:
            yield _mark("User: " if one.role == "user" else "Assistant: ")
            yield _said(one)
            yield _mark("\n")
    yield _mark("Assistant:")


def _chatml(messages: Sequence[Message]) -> Iterator[Segment]:
    for one in messages:
        yield _mark(f"<|im_start|>{one.role}\n")
        yield _said(one)
        yield _mark("<|im_end|>\n")
    yield _mark("<|im_start|>assistant\n")


def _llama(messages: Sequence[Message]) -> Iterator[Segment]:
    yield Segment("<|begin_of_text|>", Kind.BEGIN)
    for one in messages:
        yield _mark(f"<|start_header_id|>{one.role}<|end_header_id|>\n\n")
        yield _said(one)
        yield _mark("<|eot_id|>")
    yield _mark("<|start_header_id|>assistant<|end_header_id|>\n\n")


def _llama2(messages: Sequence[Message]) -> Iterator[Segment]:
    system = messages[0] if messages[0].role == "system" else None
    for place, one in enumerate(messages[1:] if system else messages):
        if one.role == "assistant":
            yield _mark(" ")
            yield _said(one)
            yield _mark(" ")
            yield Segment("</s>", Kind.END)
            continue
        yield Segment("<s>", Kind.BEGIN)
        yield _mark("[INST] ")
        if system and place == 0:
            yield _mark("<<SYS>>\n")
            yield _said(system)
            yield _mark("\n<</SYS>>\n\n")
        yield _said(one)
        yield _mark(" [/INST]")


_TASK = "Below is an instruction that describes a task. Write a response that appropriately completes the request."


def _alpaca(messages: Sequence[Message]) -> Iterator[Segment]:
    # What comes first was always the same in its training data; a system message takes its place.
    yield _said(messages[0]) if messages[0].role == "system" else _mark(_TASK)
    for one in messages:
        if one.role != "system":
            yield _mark("\n\n### Instruction:\n" if one.role == "user" else "\n\n### Response:\n")
            yield _said(one)
    yield _mark("\n\n### Response:\n")


_WRITERS = {"plain": _plain, "chatml": _chatml, "llama": _llama, "llama2": _llama2, "alpaca": _alpaca}
