"""A TissLM checkpoint in this process as a model of scripts.

One question is answered at a time; who asks from another thread waits. A question that leaves no room in the
model's context is refused: a script must not be answered from half of its prompt.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from quanta_tissu.errors import ModelCancelledError, ModelError, TissuError
from quanta_tissu.tisslang.llm.grammar import ENDLESS
from quanta_tissu.tisslang.llm.json_grammar import json_grammar
from quanta_tissu.tisslang.llm.protocol import OnText, Reply, Request
from quanta_tissu.tisslang.llm.templates import Kind, Segment, Template, broken, template, template_for

if TYPE_CHECKING:
    from quanta_tissu.tisslang.llm.masking import Mask, Vocabulary
    from quanta_tissu.tisslm.config import GenerateConfig
    from quanta_tissu.tisslm.generate.processors import Context, Logits
    from quanta_tissu.tisslm.language_model import LanguageModel
    from quanta_tissu.tisslm.tokenizers.base import Tokenizer

_LOOK = 0.05  # seconds between two looks at whether who waits was cancelled


class CheckpointModel:
    """A language model of TissLM that answers requests.

    Args:
        model: The model.
        name: What people call it.
    """

    def __init__(self, model: LanguageModel, name: str) -> None:
        self.name = name
        self._model = model
        self._lock = threading.Lock()
        self._vocabulary: Vocabulary | None = None

    def __repr__(self) -> str:
        return f"<CheckpointModel {self.name}>"

    def count_tokens(self, request: Request) -> int:
        """Tokens of the prompt, exactly."""
        return len(self._prompt(request, self._template(request)))

    def generate(
        self,
        request: Request,
        on_text: OnText | None = None,
        cancelled: threading.Event | None = None,
    ) -> Reply:
        """As `LanguageModel`. An answer with a schema fits it but for what a grammar cannot say (json_grammar.py).

        Raises:
            ModelError: The prompt leaves no room in the context, has characters that the tokenizer does not know,
                or the template is unknown; no answer that fits the schema is short enough.
            ModelCancelledError: It was given up.
        """
        form = self._template(request)
        prompt = self._prompt(request, form)
        try:
            with self._alone(cancelled):
                return self._answer(request, form, prompt, on_text, cancelled)
        except ModelError:
            raise
        except TissuError as error:
            raise ModelError(f"{self.name}: {error.message}", hint=error.hint) from None

    # -- the prompt -----------------------------------------------------------------------------------------------

    def _template(self, request: Request) -> Template:
        if request.template is not None:
            return template(request.template)
        return template_for(self._model.tokenizer.special_tokens)

    def _prompt(self, request: Request, form: Template) -> list[int]:
        try:
            return encoded(form.segments(request.messages), self._model.tokenizer)
        except TissuError as error:
            raise ModelError(
                f"{self.name} cannot read the prompt: {error.message}",
                hint="a model whose tokenizer knows every byte reads any text",
            ) from None

    def _settings(self, request: Request, form: Template, prompt: int) -> GenerateConfig:
        """How this answer is generated; what the request leaves open is as in the checkpoint."""
        model = self._model
        context = model.decoder.config.context_length
        room = context - prompt + 1  # the last token is not read any more
        if prompt > context:
            raise ModelError(
                f"the prompt has {prompt:,} tokens; the context of {self.name} has {context:,}",
                hint="shorten the prompt, or take a model with a longer context",
            )
        changed: dict[str, Any] = {
            "max_new_tokens": room if request.max_tokens is None else min(request.max_tokens, room),
            "stop": [*model.config.generate.stop, *form.stop, *request.stop],
            "num_samples": 1,
            "logprobs": None,
        }
        if request.max_tokens is None and "max_new_tokens" in model.config.generate.model_fields_set:
            changed["max_new_tokens"] = min(model.config.generate.max_new_tokens, room)
        if request.temperature is not None:
            changed["temperature"] = request.temperature
        if request.seed is not None:
            changed["seed"] = request.seed
        if request.schema is not None:
            # What ends or bends other texts must not end JSON in its middle, nor keep a brace from coming twice.
            neutral = {"stop": [], "min_new_tokens": 0, "no_repeat_ngram": None, "banned_tokens": []}
            changed |= neutral | {"forced_tokens": []}
        return model.settings(**changed)

    # -- the answer -----------------------------------------------------------------------------------------------

    def _answer(
        self,
        request: Request,
        form: Template,
        prompt: list[int],
        on_text: OnText | None,
        cancelled: threading.Event | None,
    ) -> Reply:
        from quanta_tissu.tisslm.generate.processors import Processor
        from quanta_tissu.tisslm.generate.streaming import TextStream

        tokenizer = self._model.tokenizer
        config = self._settings(request, form, len(prompt))
        ends = {tokenizer.special_tokens[one] for one in form.ends if one in tokenizer.special_tokens}
        if config.stop_at_eos and tokenizer.eos_id is not None:
            ends.add(tokenizer.eos_id)
        processors: list[Processor] = []
        mask = None
        if request.schema is not None:
            mask = self._mask(request.schema, config.max_new_tokens)
            processors.append(_masking(mask, tuple(ends), config.max_new_tokens))
        stream = TextStream(config.stop)
        text = _Text(on_text, spaced=form.spaced or mask is not None)
        special = frozenset(tokenizer.special_tokens.values())
        finish, written, previous = "length", 0, prompt[-1]
        for token in self._tokens(prompt, config, processors):
            written += 1
            if token in ends:
                finish = "stop"
                break
            if mask is not None:
                mask.take(token)
            text.add(stream.feed(b"" if token in special else tokenizer.bytes_after(previous, token)))
            previous = token
            if stream.stopped or (mask is not None and mask.over):
                finish = "stop"
                break
            if cancelled is not None and cancelled.is_set():
                raise ModelCancelledError(
                    f"the answer of {self.name} was given up", prompt_tokens=len(prompt), completion_tokens=written
                )
        text.add(stream.finish())
        if finish == "stop" or (mask is not None and mask.complete):
            return Reply(text.whole, len(prompt), written, "stop", self.name)
        return Reply(text.whole, len(prompt), written, "length", self.name)

    def _tokens(self, prompt: list[int], config: GenerateConfig, processors: Sequence[Any]) -> Iterator[int]:
        """What the model chooses, token by token: `generate.decode` for one completion, without its text."""
        from quanta_tissu.tisslm.generate.growing import GrowingBatch
        from quanta_tissu.tisslm.generate.processors import Context
        from quanta_tissu.tisslm.generate.sampler import Sampler, random_generator

        model = self._model
        size = model.decoder.config.vocab_size or 0
        tokenizer = model.tokenizer
        sampler = Sampler(
            config,
            size,
            eos_id=tokenizer.eos_id,
            usable=min(size, tokenizer.vocab_size),
            processors=processors,
        )
        seed = int(np.random.SeedSequence().generate_state(1)[0]) if config.seed is None else config.seed
        generator = random_generator(seed, 0)
        batch = GrowingBatch(
            model.decoder,
            [prompt],
            room=config.max_new_tokens - 1,
            chunk=config.prefill_chunk,
            kv_cache=config.kv_cache,
            engine=model.engine,
            threads=config.threads,
        )
        ids = np.empty(len(prompt) + config.max_new_tokens, np.int64)
        ids[: len(prompt)] = prompt
        for step in range(config.max_new_tokens):
            length = len(prompt) + step
            chosen = sampler(batch.logits, Context([ids[:length]], step), [generator])
            yield int(chosen[0])
            ids[length] = chosen[0]
            if step + 1 < config.max_new_tokens:
                batch.append(chosen)

    def _mask(self, schema: Any, left: int) -> Mask:
        from quanta_tissu.tisslang.llm.masking import Mask, Vocabulary

        if self._vocabulary is None:
            size = self._model.decoder.config.vocab_size or 0
            self._vocabulary = Vocabulary(self._model.tokenizer, size)
        mask = Mask(self._vocabulary, json_grammar(schema))
        if mask.least >= ENDLESS:
            raise ModelError(
                f"{self.name} cannot write any answer that fits the schema",
                hint="the schema allows none, or needs characters that the model's tokenizer does not have",
            )
        if mask.least > left:
            raise ModelError(
                f"an answer that fits the schema may take {mask.least} tokens; {left} are left for it",
                hint="raise max_tokens, shorten the prompt, or ask for less",
            )
        return mask

    @contextmanager
    def _alone(self, cancelled: threading.Event | None) -> Iterator[None]:
        """Wait for one's turn."""
        while not self._lock.acquire(timeout=-1 if cancelled is None else _LOOK):
            if cancelled is not None and cancelled.is_set():
                raise ModelCancelledError(f"{self.name} was not asked")
        try:
            if cancelled is not None and cancelled.is_set():
                raise ModelCancelledError(f"{self.name} was not asked")
            yield
        finally:
            self._lock.release()


class _Text:
    """What was written, passed on as it comes; the blank that templates have before an answer is no part of it."""

    def __init__(self, on_text: OnText | None, *, spaced: bool) -> None:
        self._on_text = on_text
        self._spaced = spaced
        self._pieces: list[str] = []

    @property
    def whole(self) -> str:
        return "".join(self._pieces)

    def add(self, text: str) -> None:
        """Take more text, or none."""
        if text and self._spaced and not self._pieces:
            self._spaced = False
            text = text.removeprefix(" ")
        if text:
            self._pieces.append(text)
            if self._on_text is not None:
                self._on_text(text)


def encoded(segments: Sequence[Segment], tokenizer: Tokenizer) -> list[int]:
    """Tokens of a prompt. Special tokens come from marks only, whatever is said.

    Raises:
        TokenizerError: The tokenizer does not know a character.
    """
    special = sorted(tokenizer.special_tokens, key=len, reverse=True)
    spelled = re.compile("|".join(map(re.escape, special)) or r"(?!)")
    parts: list[int | str] = []

    def add(text: str) -> None:
        if parts and isinstance(parts[-1], str):
            parts[-1] += text
        elif text:
            parts.append(text)

    for one in segments:
        if one.kind in (Kind.BEGIN, Kind.END):
            token = tokenizer.bos_id if one.kind is Kind.BEGIN else tokenizer.eos_id
            if token is not None:
                parts.append(token)
        elif one.kind is Kind.SAID:
            add(one.text)
        else:
            place = 0
            for found in spelled.finditer(one.text):
                add(one.text[place : found.start()])
                parts.append(tokenizer.special_tokens[found[0]])
                place = found.end()
            add(one.text[place:])
    # Neighbours were joined first: two texts, harmless each, might spell a token together.
    opening = tokenizer.encode_prompt("")
    ids = [] if parts and [parts[0]] == opening else list(opening)
    for part in parts:
        ids += [part] if isinstance(part, int) else tokenizer.encode(broken(part, special))
    return ids


def _masking(mask: Mask, ends: tuple[int, ...], most: int) -> Any:
    """The link of the sampler's chain that rules out what does not fit."""

    def fits(logits: Logits, context: Context) -> Logits:
        allowed = mask.allowed(most - context.step)
        if mask.complete:
            allowed = allowed.copy()
            allowed[list(ends)] = True
        return np.where(allowed, logits, -np.inf)

    return fits
