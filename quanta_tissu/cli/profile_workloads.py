"""What `tissu profile` can profile: training steps and generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np

from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.data.batches import Batch
from quanta_tissu.tisslm.engine.threads import available_cores, replica_count
from quanta_tissu.tisslm.generate import forward as forwards
from quanta_tissu.tisslm.generate import growing
from quanta_tissu.tisslm.generate.forward import Forward
from quanta_tissu.tisslm.inspect.profile import Workload
from quanta_tissu.tisslm.inspect.profile.costs import Work, attended_pairs, model_flops, optimizer_work
from quanta_tissu.tisslm.inspect.profile.profile import Phase
from quanta_tissu.tisslm.inspect.profile.recording import Key, Recorder
from quanta_tissu.tisslm.model import Decoder, KVCache
from quanta_tissu.tisslm.train.optimizers.factory import num_buffers
from quanta_tissu.tisslm.train.replicas import Replicas
from quanta_tissu.tisslm.train.step import TrainStep

_PROMPT, _NEW = 256, 64


@contextmanager
def training(config: Config, decoder: Decoder, replicas: int | None = None) -> Iterator[tuple[Workload, Recorder]]:
    """Whole training steps in float32, as `tissu train` makes them, on random tokens.

    Args:
        config: The whole configuration.
        decoder: The model; its weights change.
        replicas: How many instead of what the configuration says.
    """
    train = config.train
    count = replicas or replica_count(train.replicas)
    T = decoder.config.context_length
    ids = np.random.default_rng(0).integers(0, decoder.config.vocab_size or 1, size=(train.batch_size, T + 1))
    batches = [Batch(ids[:, :-1], ids[:, 1:])] * train.gradient_accumulation
    rows = train.batch_size * train.gradient_accumulation
    with Replicas.configured(train, decoder, count) as all_replicas:
        step = TrainStep(config, all_replicas)
        recorder = Recorder(count, parameters=decoder.parameters.flat)
        name, flat = config.optimizer.name, decoder.parameters.flat
        update = Key(name, "update", "optimizer", None)
        work = optimizer_work(name, flat, num_buffers(config.optimizer))
        step.optimizer.step = recorder.timed(update, step.optimizer.step, lambda *_, **__: work)  # type: ignore
        number = 0

        def run() -> Mapping[str, float]:
            nonlocal number
            start = perf_counter()
            with np.errstate(all="ignore"):
                step(batches, number, 1_000_000)
            number += 1
            return {"step": perf_counter() - start}

        description = (
            f"{rows} × {T} tokens, {decoder.parameters.num_elements:,} parameters, "
            f"{count} replica{'s' if count > 1 else ''}, {name}"
        )
        phases = {"step": Phase(rows * T, 3 * model_flops(decoder, rows, T))}
        yield Workload("training step", description, decoder, run, phases), recorder


@contextmanager
def generation(config: Config, decoder: Decoder) -> Iterator[tuple[Workload, Recorder]]:
    """Reading a prompt and generating, greedily, as many sequences as a prompt is given.

    Args:
        config: The whole configuration; of its section `generate` what decides how the model runs is used: how
            many tokens and samples, threads, cache and pieces of the prompt.
        decoder: The model.
    """
    model, settings = decoder.config, config.generate
    prompt = max(1, min(_PROMPT, model.context_length // 2))
    new = max(1, min(_NEW, settings.max_new_tokens, model.context_length - prompt))
    rows = settings.num_samples
    ids = np.random.default_rng(0).integers(0, model.vocab_size or 1, size=prompt).tolist()
    recorder = Recorder(settings.threads or available_cores())

    def pass_work(ids: Any, positions: Any, starts: Any, cache: KVCache) -> Work:
        """One pass of the kernel that computes the whole model: it reads all weights, keys and values."""
        B, T = ids.shape
        columns = cache.length + T
        kept = 2 * B * model.n_layers * columns * model.kv_heads * model.head_dim
        nbytes = decoder.parameters.flat.nbytes + kept * decoder.parameters.dtype.itemsize
        return Work(B * _pass_flops(decoder, T, columns), nbytes)

    def make_forward(*args: Any) -> Forward:
        forward = forwards.make_forward(*args)
        if (compiled := getattr(forward, "_compiled", None)) is not None:
            key = Key("compiled pass", "decode", "whole model", None)
            forward._compiled = recorder.timed(key, compiled, pass_work)  # type: ignore[attr-defined]
        return forward

    def run() -> Mapping[str, float]:
        start = perf_counter()
        recorder.phase = "prefill"
        batch = growing.GrowingBatch(
            decoder,
            [ids],
            room=new,
            chunk=settings.prefill_chunk,
            kv_cache=settings.kv_cache,
            threads=settings.threads,
        )
        read = perf_counter()
        recorder.phase = "decode"
        if rows > 1:
            batch.select([0] * rows)
        for _ in range(new):
            batch.append(batch.logits.argmax(axis=-1))
        recorder.phase = None
        return {"prefill": read - start, "decode": perf_counter() - read}

    spans = [(prompt, prompt), *((1, prompt + n + 1) for n in range(new))]
    flops = [_pass_flops(decoder, tokens, columns) for tokens, columns in spans]
    phases = {"prefill": Phase(prompt, flops[0]), "decode": Phase(rows * new, rows * sum(flops[1:]))}
    generated = f"{new} generated" if rows == 1 else f"{rows} × {new} generated"
    description = f"{prompt} tokens read, {generated}, {decoder.parameters.num_elements:,} parameters"
    vars(growing)["make_forward"] = make_forward
    try:
        yield Workload("generation", description, decoder, run, phases), recorder
    finally:
        vars(growing)["make_forward"] = forwards.make_forward


def _pass_flops(decoder: Decoder, tokens: int, columns: int) -> float:
    """Products of a pass over the last `tokens` of `columns` positions; logits after the last token only."""
    config = decoder.config
    parts = {part.name: part.flops for part in decoder.summary().parts}
    products = sum(flops for name, flops in parts.items() if name not in ("attention scores", "output head"))
    pairs = config.n_layers * attended_pairs(tokens, columns, config.sliding_window)
    return tokens * products + parts["output head"] + 4 * pairs * config.n_heads * config.head_dim
