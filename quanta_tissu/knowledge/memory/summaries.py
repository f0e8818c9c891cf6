"""Summarisers: what makes a few sentences of many."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from quanta_tissu.endpoint import Endpoint
from quanta_tissu.errors import ConfigError, GenerationError
from quanta_tissu.knowledge.answering import expressible, split_sentences
from quanta_tissu.knowledge.embedders import FUNCTION_WORDS, count_words
from quanta_tissu.knowledge.passages import Measure

if TYPE_CHECKING:
    from quanta_tissu.tisslm.language_model import LanguageModel

_LETTERS = re.compile(r"[^\W_]+")
_WORD_AT_END = re.compile(r"(?<=\s)\S{1,24}$")
_SHORTEST = 3  # words of a sentence that is worth quoting
_INSTRUCTION = (
    "Sum up this part of a conversation in a few sentences. Keep names, numbers, decisions and open questions."
)


class Summariser(Protocol):
    """What sums texts up. A plain function will do: its name is then its own."""

    def __call__(self, texts: Sequence[str], limit: int) -> str:
        """A summary of texts, in their order, of at most about so many tokens; a longer one is cut."""


def name_of(summariser: Summariser) -> str:
    """How a summariser is called."""
    return str(getattr(summariser, "name", None) or getattr(summariser, "__name__", type(summariser).__name__))


class ExtractiveSummariser:
    """Sentences of the texts themselves, those whose words are most frequent: it quotes, and understands nothing.

    SumBasic (Nenkova & Vanderwende 2005, MSR-TR-2005-101, section 3): of the sentences that have the most probable
    word the one is taken whose words are most probable on average. Then its words count half, so that the next one
    says other things. (There they are squared: of a few turns this leaves only what was said once.)

    Args:
        measure: Counts tokens.
    """

    name = "extractive"

    def __init__(self, measure: Measure = count_words) -> None:
        self._measure = measure

    def __call__(self, texts: Sequence[str], limit: int) -> str:
        """As `Summariser`."""
        sentences = list(dict.fromkeys(sentence for text in texts for sentence in split_sentences(text)))
        words = [_words(sentence) for sentence in sentences]
        counts = Counter(word for some in words for word in some)
        total = counts.total()
        probability = {word: count / total for word, count in counts.items()}
        lengths = self._measure(sentences)
        left = [i for i, some in enumerate(words) if some]
        # What has a few words only says little, unless there is nothing else.
        left = [i for i in left if len(sentences[i].split()) >= _SHORTEST] or left
        taken: list[int] = []
        room = limit
        while left := [i for i in left if lengths[i] <= room]:
            most = max(probability[word] for i in left for word in words[i])
            having = [i for i in left if any(probability[word] == most for word in words[i])]
            best = max(having, key=lambda i: (sum(probability[word] for word in words[i]) / len(words[i]), -i))
            taken.append(best)
            left.remove(best)
            room -= lengths[best]
            for word in set(words[best]):
                probability[word] /= 2
        if not taken:  # no sentence fits: as much of the first as does
            return cut(" ".join(sentences[:1]), limit, self._measure)
        return " ".join(sentences[i] for i in sorted(taken))


def _words(sentence: str) -> list[str]:
    return [word for word in _LETTERS.findall(sentence.casefold()) if word not in FUNCTION_WORDS]


class ModelSummariser:
    """Summaries that a language model of TissLM writes, in this process.

    Args:
        model: The model.
        **settings: Settings of generation, as for `LanguageModel.generate`; greedy by default.
    """

    def __init__(self, model: LanguageModel, **settings: Any) -> None:
        self.name = "model"
        self._model = model
        self._settings = {"temperature": 0.0, "stop": ["\n\n"], **settings}

    def __call__(self, texts: Sequence[str], limit: int) -> str:
        """As `Summariser`; of texts that do not fit into the model's context together, each keeps its beginning.

        Raises:
            ConfigError: The context has no room for texts beside the summary.
        """
        context = self._model.decoder.config.context_length
        new = min(limit, max(1, context // 4))
        tokenizer = self._model.tokenizer
        measure = token_measure(self._model)
        start, end = (expressible(text, tokenizer) for text in (f"{_INSTRUCTION}\n\n", "\nSummary:"))
        room = context - new - sum(measure([start, end])) - len(texts) - 2
        if room < len(texts):
            start, room = "", context - new - sum(measure([end])) - len(texts) - 2
        if room < len(texts):
            raise ConfigError(
                f"the model's context of {context} tokens is too small to sum up {len(texts)} texts",
                hint="take a model with a longer context, or a smaller `fan`",
            )
        parts = shortened([expressible(text, tokenizer) for text in texts], room, measure)
        prompt = start + "".join(f"{part}\n" for part in parts) + end
        return self._model.generate(prompt, **{"max_new_tokens": new, **self._settings}).text.strip()


class EndpointSummariser:
    """Summaries of a server: any that speaks OpenAI's `POST /v1/chat/completions`.

    Args:
        url: Where its interface begins, `http://localhost:11434/v1` for example.
        model: The model's name there.
        key: The API key, if it wants one.
        timeout: Seconds to wait for an answer.

    Raises:
        ConfigError: The address is none.
    """

    def __init__(self, url: str, model: str, *, key: str | None = None, timeout: float = 120.0) -> None:
        self.name = f"{model} at {url}"
        self._model = model
        self._endpoint = Endpoint(
            f"{url.rstrip('/')}/chat/completions",
            key=key,
            timeout=timeout,
            error=GenerationError,
            does="write text",
        )

    def __call__(self, texts: Sequence[str], limit: int) -> str:
        """As `Summariser`.

        Raises:
            GenerationError: The server refuses, cannot be reached, or answers with something else.
        """
        messages = [
            {"role": "system", "content": f"{_INSTRUCTION} At most {max(1, limit * 2 // 3)} words."},
            {"role": "user", "content": "\n".join(texts)},
        ]
        answer = self._endpoint.post({"model": self._model, "messages": messages, "temperature": 0})
        try:
            return str(answer["choices"][0]["message"]["content"]).strip()
        except (TypeError, KeyError, IndexError) as error:
            raise self._endpoint.wrong(f"has no summary ({type(error).__name__}: {error})") from None


def token_measure(model: LanguageModel) -> Measure:
    """Counts tokens as a model of TissLM does, so that a window fits its context."""
    tokenizer = model.tokenizer
    return lambda texts: [len(tokenizer.encode(expressible(text, tokenizer))) for text in texts]


def shortened(texts: Sequence[str], room: int, measure: Measure) -> list[str]:
    """Texts that have at most so many tokens together: the longest lose their ends."""
    lengths = measure(texts)
    share = room
    for left, length in zip(range(len(texts), 0, -1), sorted(lengths), strict=True):
        # What a short text leaves of its share is for the longer ones.
        share = room // left
        if length > share:
            break
        room -= length
        share = length
    return [text if n <= share else cut(text, share, measure) for text, n in zip(texts, lengths, strict=True)]


def cut(text: str, limit: int, measure: Measure) -> str:
    """The beginning of a text, in whole words, of at most so many tokens; an ellipsis says that there was more."""
    if measure([text])[0] <= limit:
        return text
    low, high = 0, len(text)
    while low < high:  # the largest number of characters that fit
        middle = (low + high + 1) // 2
        if measure([f"{text[:middle].rstrip()} …"])[0] <= limit:
            low = middle
        else:
            high = middle - 1
    beginning = text[:low].rstrip()
    if low < len(text) and not text[low].isspace() and low == len(beginning):
        word = _WORD_AT_END.search(beginning)
        if word is not None:  # what is longer than a word has no spaces, as in Chinese
            beginning = beginning[: word.start()].rstrip()
    return f"{beginning} …" if beginning else ""
