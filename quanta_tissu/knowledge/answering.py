"""Answers from passages, every sentence with a citation or marked as having none.

The passages that a search has found go through three sieves:

1. **Relevance.** A search always finds something. A passage counts as saying something about the question if the
   cosine between their vectors reaches a threshold, which each embedder brings along, measured on questions that a
   corpus answers and on others that it does not (docs/knowledge.md). So does one of which people have said so for
   questions like this one. If there is none, the answer is that nothing was found, and no model is asked.
2. **The model's context.** The prompt is the question and as many passages as fit, the best first; the first one
   is cut if it has to be.
3. **Citations.** A model is asked to cite passages as [1], and may not, or cite what is not there. So each
   sentence of its answer is held against the passages: marks of passages that exist stay, others go; a sentence
   without one gets that of the passage whose vector is nearest to its own, if it reaches the threshold. A sentence
   that no passage supports is marked so: it may be right, but it is the model's own.

Without a model the answer is made of sentences of the passages themselves, those nearest to the question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quanta_tissu.errors import GenerationError, TokenizerError
from quanta_tissu.knowledge.embedders import Embedder
from quanta_tissu.knowledge.passages import FoundPassage

if TYPE_CHECKING:
    from quanta_tissu.tisslm.language_model import LanguageModel
    from quanta_tissu.tisslm.tokenizers.base import Tokenizer

NOTHING_FOUND = "Nothing relevant was found."

_NEW_TOKENS = 128
_QUOTED = 3  # sentences of an answer without a model
_SHORTEST = 4  # words of a sentence that is worth quoting

_MARK = re.compile(r"\s*\[(\d+)\]")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-z]|[\"'(\[])|\n\s*\n|\n(?=\s*[-*>#])")

_BEGINNING = "Answer the question from the passages below, and cite them by their numbers.\n\n"
_STOP = ["\nQuestion:", "\n[1]"]


@dataclass(frozen=True)
class Sentence:
    """A sentence of an answer.

    Attributes:
        text: Its words.
        citations: Numbers of the passages that support it; none if nothing does.
    """

    text: str
    citations: tuple[int, ...]

    def __str__(self) -> str:
        return self.text + "".join(f" [{number}]" for number in self.citations)


@dataclass(frozen=True)
class Answer:
    """An answer, and what it rests on.

    Attributes:
        question: The question.
        sentences: The answer.
        passages: What it was made from: citation [1] means the first one.
        nearest: Cosine of the passage that is nearest to the question, relevant or not; None if there is none.
        threshold: What it had to reach.
        prompt: What the model was given; None without a model.
    """

    question: str
    sentences: tuple[Sentence, ...]
    passages: tuple[FoundPassage, ...]
    nearest: float | None
    threshold: float
    prompt: str | None = None

    @property
    def found(self) -> bool:
        """Whether anything relevant was."""
        return bool(self.passages)

    @property
    def text(self) -> str:
        """The answer with citations, or that there is none."""
        return " ".join(map(str, self.sentences)) if self.found else NOTHING_FOUND

    @property
    def citations(self) -> dict[int, FoundPassage]:
        """The passages that are cited, by their numbers."""
        cited = sorted({number for sentence in self.sentences for number in sentence.citations})
        return {number: self.passages[number - 1] for number in cited}

    @property
    def unsupported(self) -> tuple[Sentence, ...]:
        """Sentences that no passage supports."""
        return tuple(sentence for sentence in self.sentences if not sentence.citations)

    def __str__(self) -> str:
        lines = [self.text]
        if self.citations:
            lines += ["", *(f"[{number}] {passage.where}" for number, passage in self.citations.items())]
        return "\n".join(lines)


def answer(
    question: str,
    found: Sequence[FoundPassage],
    embedder: Embedder,
    model: LanguageModel | None,
    threshold: float,
    settings: dict[str, Any],
) -> Answer:
    """Answer a question from what a search has found; see the head of this file.

    Args:
        question: The question.
        found: The passages, the best first.
        embedder: What made their vectors.
        model: What writes the answer; None: quote the passages.
        threshold: Cosine from which on a passage counts.
        settings: Settings of generation.

    Raises:
        ConfigError: A setting is unknown or not allowed.
        GenerationError: The question does not fit into the model's context.
    """
    known = [passage.nearness for passage in found if passage.nearness is not None]
    nearest = max(known, default=None)
    relevant = tuple(passage for passage in found if (passage.nearness or 0) >= threshold or passage.feedback > 0)
    if not relevant:
        return Answer(question, (), (), nearest, threshold)
    if model is None:
        return Answer(question, _quoted(question, relevant, embedder), relevant, nearest, threshold)
    prompt, used, settings = _prompt(question, relevant, model, settings)
    written = model.generate(prompt, **settings).text
    sentences = _grounded(written, relevant[:used], embedder, threshold)
    return Answer(question, sentences, relevant[:used], nearest, threshold, prompt)


# -- without a model ---------------------------------------------------------------------------------------------


def _quoted(question: str, passages: Sequence[FoundPassage], embedder: Embedder) -> tuple[Sentence, ...]:
    """The sentences nearest to the question, in the order of the passages."""
    sentences: dict[str, int] = {}
    for number, passage in enumerate(passages, 1):
        for text in split_sentences(passage.text):
            if len(text.split()) >= _SHORTEST:
                sentences.setdefault(text, number)
    if not sentences:  # tables, lists of names ...: the best passage as a whole
        return (Sentence(" ".join(passages[0].text.split()), (1,)),)
    texts = list(sentences)
    vectors = embedder.embed([question, *texts])
    best = sorted(np.argsort(-(vectors[1:] @ vectors[0]), kind="stable")[:_QUOTED].tolist())
    return tuple(Sentence(texts[i], (sentences[texts[i]],)) for i in best)


def split_sentences(text: str) -> list[str]:
    """Sentences of a text, each in one line."""
    return [" ".join(piece.split()) for piece in _SENTENCE_END.split(text) if piece and piece.strip()]


# -- with a model ------------------------------------------------------------------------------------------------


def _prompt(
    question: str, passages: Sequence[FoundPassage], model: LanguageModel, settings: dict[str, Any]
) -> tuple[str, int, dict[str, Any]]:
    """The prompt, how many passages are in it, and the settings with what they leave out."""
    context = model.decoder.config.context_length
    defaults = {"temperature": 0.0, "max_new_tokens": min(_NEW_TOKENS, max(1, context // 4)), "stop": _STOP}
    settings = {**defaults, **settings}
    room = context - model.settings(**settings).max_new_tokens
    tokenizer = model.tokenizer

    def fits(text: str) -> bool:
        return len(tokenizer.encode_prompt(text)) <= room

    end = expressible(f"Question: {question.strip()}\nAnswer:", tokenizer)
    texts = [expressible(f"[{n}] {passage.text.strip()}\n\n", tokenizer) for n, passage in enumerate(passages, 1)]
    for beginning in (expressible(_BEGINNING, tokenizer), ""):
        used = 0
        while used < len(texts) and fits(beginning + "".join(texts[: used + 1]) + end):
            used += 1
        if used:
            return beginning + "".join(texts[:used]) + end, used, settings
    words = texts[0].split()
    for count in range(len(words) - 1, 1, -1):
        if fits(prompt := " ".join(words[:count]) + "\n\n" + end):
            return prompt, 1, settings
    raise GenerationError(
        f"the question does not fit into the model's context of {context} tokens, of which "
        f"{settings['max_new_tokens']} are kept for the answer",
        hint="ask in fewer words, lower max_new_tokens, or take a model with a longer context",
    )


def expressible(text: str, tokenizer: Tokenizer) -> str:
    """A text as the tokenizer can express it: spellings of special tokens broken, unknown characters left out.

    Passages come from outside, and must not be able to end a document or impersonate markup.
    """
    for token in tokenizer.special_tokens:
        text = text.replace(token, f"{token[:1]} {token[1:]}")
    try:
        tokenizer.encode(text)
    except TokenizerError:
        known = {character for character in set(text) if _known(character, tokenizer)}
        text = "".join(character for character in text if character in known)
    return text


def _known(character: str, tokenizer: Tokenizer) -> bool:
    try:
        tokenizer.encode(character)
    except TokenizerError:
        return False
    return True


def _grounded(
    written: str, passages: Sequence[FoundPassage], embedder: Embedder, threshold: float
) -> tuple[Sentence, ...]:
    """Sentences of what a model wrote, with the passages that support them."""
    pieces = _with_their_marks(split_sentences(written))
    if not pieces:
        return ()
    vectors = embedder.embed([*(text for text, _ in pieces), *(passage.text for passage in passages)])
    cosines = vectors[: len(pieces)] @ vectors[len(pieces) :].T
    sentences = []
    for (text, marks), row in zip(pieces, cosines, strict=True):
        cited = tuple(dict.fromkeys(number for number in marks if 1 <= number <= len(passages)))
        best = int(np.argmax(row))
        if not cited and row[best] >= threshold:
            cited = (best + 1,)
        sentences.append(Sentence(text, cited))
    return tuple(sentences)


def _with_their_marks(sentences: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Sentences without marks, and the numbers in them; marks after a full stop are the sentence's before it."""
    found: list[tuple[str, list[int]]] = []
    for sentence in sentences:
        while found and (mark := re.match(r"\s*\[(\d+)\]\s*", sentence)):
            found[-1][1].append(int(mark[1]))
            sentence = sentence[mark.end() :]
        marks = [int(number) for number in _MARK.findall(sentence)]
        text = _MARK.sub("", sentence).strip()
        if text:
            found.append((text, marks))
    return found
