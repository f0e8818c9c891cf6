"""A run from its configuration: text, tokenizer, dataset, model, training."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from quanta_tissu.errors import ConfigError, TissuError, TrainingError
from quanta_tissu.tisslm import engine as engines
from quanta_tissu.tisslm import tokenizers
from quanta_tissu.tisslm.config import Config, ModelConfig
from quanta_tissu.tisslm.data.batches import boundary_id, evaluation_batches, make_batches
from quanta_tissu.tisslm.data.dataset import TokenDataset, is_prepared
from quanta_tissu.tisslm.data.prepare import Tally, prepare
from quanta_tissu.tisslm.data.sources import Source, configured_source
from quanta_tissu.tisslm.engine.engines import require_torch
from quanta_tissu.tisslm.engine.threads import replica_count
from quanta_tissu.tisslm.evaluate.floors import Floors, floors
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.tokenizers import Tokenizer
from quanta_tissu.tisslm.train.callbacks import Callback, Callbacks
from quanta_tissu.tisslm.train.checkpoint import (
    BEST,
    Resumed,
    best_metrics,
    load_resumable,
    resume_command,
    rolling_checkpoints,
)
from quanta_tissu.tisslm.train.dataset_settings import check_prepared, check_unchanged
from quanta_tissu.tisslm.train.memory import available_memory, require_memory
from quanta_tissu.tisslm.train.reports import Message, PreparationReport, TrainResult
from quanta_tissu.tisslm.train.trainer import Trainer, TrainingData
from quanta_tissu.tisslm.train.world import World, make_world
from quanta_tissu.tisslm.wording import in_bytes

DATA = "data"
_COUNTED_TOKENS = 20_000_000
"""Tokens of each split that the floors are counted on, at most; more would change them little and take long."""


def train(
    config: Config,
    out_dir: str | Path,
    *,
    resume: str | Path | Resumed | None = None,
    callbacks: Sequence[Callback] = (),
) -> TrainResult:
    """Train a model as a configuration says.

    Args:
        config: The whole configuration; `data.source` names the text, or the folder of a prepared dataset.
        out_dir: Folder of the run; checkpoints, metrics and the prepared dataset go there.
        resume: Go on with this run, or from this rolling checkpoint of it.
        callbacks: Observers.

    Raises:
        TissuError: Configuration, data, tokenizer or checkpoint cannot be used, or training cannot go on.
    """
    engines.get(config.train.engine)  # refuses one that is not installed
    with make_world(config) as world:
        return _train(config, Path(out_dir), resume, callbacks, world)


def _train(
    config: Config, out_dir: Path, resume: str | Path | Resumed | None, callbacks: Sequence[Callback], world: World
) -> TrainResult:
    observers = Callbacks(callbacks if world.main else ())
    require_room = _memory_check(config, world)
    if resume is not None:
        resumed = resume if isinstance(resume, Resumed) else load_resumable(Path(resume))
        dataset = world.in_turn(partial(_dataset_of, resumed, config, observers))
        tokenizer = dataset.load_tokenizer()
        replicas = resumed.state.replicas or replica_count(config.train.replicas)
    else:
        resumed = None
        _refuse_other_run(out_dir)
        replicas = replica_count(config.train.replicas)
        # Where the vocabulary is not known yet, it has a token at least: what does not fit then never will.
        least = config.model.model_copy(update={"vocab_size": config.model.vocab_size or 1})
        require_room(least, replicas)
        dataset, tokenizer = world.in_turn(partial(prepare_data, config, out_dir / DATA, observers))
    model = _resolved(config, tokenizer)
    require_room(model, replicas)
    # Processes that hold a part of every parameter never have the whole.
    parts = config.train.engine == "torch" and config.torch.parallel in ("fsdp", "tensor")
    decoder = (Decoder.deferred if parts else Decoder.initialise)(model, config.train.seed)
    data = training_data(config, dataset)
    _describe(dataset, decoder, data.floors, observers)
    trainer = Trainer(
        config.model_copy(update={"model": decoder.config}),
        decoder,
        tokenizer,
        data,
        out_dir,
        callbacks=[observers],
        resumed=resumed,
        world=world,
    )
    return trainer.run()


def _memory_check(config: Config, world: World) -> Callable[[ModelConfig, int], None]:
    """What refuses an architecture and a number of replicas that do not fit into memory as it is now."""
    if config.train.engine != "torch":
        free = available_memory()
        return lambda model, replicas: require_memory(config, model, replicas, free)
    require_torch()
    from quanta_tissu.tisslm.train.pytorch.memory import available_on_device, require_device_memory

    room = available_on_device(config, world)
    return lambda model, replicas: require_device_memory(config, model, world, room)


def prepare_data(config: Config, folder: Path, observers: Callback) -> tuple[TokenDataset, Tokenizer]:
    """Open a prepared dataset, or make one: train the tokenizer, tokenize, split.

    A source that is a prepared dataset is used as it is; settings that would have made another one are refused.
    A dataset that an earlier attempt left in the folder is used if text, tokenizer and split are the same.

    Args:
        config: The sections `data`, `tokenizer` and `train.seed` are used.
        folder: Where a new dataset goes.
        observers: Told about the progress.

    Raises:
        TissuError: The source, the tokenizer or the folder cannot be used, or settings contradict the dataset.
    """
    if config.data.source is not None and is_prepared(config.data.source):
        dataset = TokenDataset.open(config.data.source)
        if decided := check_prepared(config, dataset.manifest, config.data.source):
            observers.on_message(Message(f"the prepared dataset decides: {', '.join(decided)}"))
        return dataset, dataset.load_tokenizer()
    source = configured_source(config.data)
    total = source.num_bytes
    observers.on_message(Message(f"reading {source.description} ({in_bytes(total)})"))
    tokenizer = tokenizers.train(config.tokenizer, _texts(source))
    boundary_id(config.data, tokenizer.eos_id)  # refuse packing without EOS before the work is done
    if (ready := _reusable(folder, source, tokenizer, config)) is not None:
        observers.on_message(Message(f"using the prepared dataset in {folder}: text and tokenizer are the same"))
        return ready, tokenizer
    made = prepare(
        source,
        tokenizer,
        folder,
        config.data,
        config.train.seed,
        progress=lambda done: observers.on_prepare(PreparationReport(done, total)),
    )
    return made, tokenizer


def training_data(config: Config, dataset: TokenDataset) -> TrainingData:
    """What the loop needs of a dataset.

    Raises:
        DataError: A split is too short for the model's context.
    """
    context, eos = config.model.context_length, dataset.manifest.tokenizer.eos_id
    ignored = boundary_id(config.data, eos)
    return TrainingData(
        batches=make_batches(dataset.train, config.data, context, config.train.seed, eos),
        validation=lambda: evaluation_batches(
            dataset.validation, context, config.train.batch_size, config.train.eval_steps, ignore_after=ignored
        ),
        cut_epochs=config.data.windows != "random",
        manifest=dataset.manifest.model_dump(mode="json"),
        fingerprint=_fingerprint(dataset),
        floors=floors(
            dataset.train[:_COUNTED_TOKENS],
            dataset.validation[:_COUNTED_TOKENS],
            dataset.manifest.tokenizer.vocab_size,
            ignore_after=ignored,
        ),
    )


def _texts(source: Source) -> Iterator[str]:
    return (document.text for document in source.documents())


def _reusable(folder: Path, source: Source, tokenizer: Tokenizer, config: Config) -> TokenDataset | None:
    """The dataset in `folder` if preparing it again would give the same."""
    if not is_prepared(folder):
        return None
    try:
        dataset = TokenDataset.open(folder)
    except TissuError:
        return None  # damaged: make it anew
    manifest, data = dataset.manifest, config.data
    seed = config.train.seed if data.shuffle_documents else None
    same = (
        manifest.tokenizer.fingerprint == tokenizer.fingerprint()
        and manifest.validation_split_ratio == data.validation_split_ratio
        and manifest.shuffle_seed == seed
        and manifest.allow_special == data.allow_special
        and manifest.source.text_field == source.text_field
        and manifest.source.max_bytes == source.max_bytes
        and (manifest.separated or data.windows != "packed")
    )
    return dataset if same and manifest.source.sha256 == _hash(source, seed) else None


def _hash(source: Source, seed: int | None) -> str:
    tally = Tally()
    for document in source.documents(seed):
        tally.starts_document(document)
    return tally.sha256


def _dataset_of(resumed: Resumed, config: Config, observers: Callback) -> TokenDataset:
    """The tokens that a run was trained on so far.

    Raises:
        TissuError: They are gone, are others now, or the settings ask for others.
    """
    folder = resumed.run_dir / DATA
    if is_prepared(folder):
        check_unchanged(resumed.artifact.config, config, folder)
        dataset = TokenDataset.open(folder)
    else:
        dataset, _ = prepare_data(config, folder, observers)
    if _fingerprint(dataset) != resumed.state.dataset:
        raise TrainingError(
            f"the tokens in {dataset.path} are not those that the run was trained on",
            hint="put the dataset back, or start a new run in another folder",
        )
    return dataset


def _fingerprint(dataset: TokenDataset) -> str:
    manifest = dataset.manifest
    parts = (manifest.train.sha256, manifest.validation.sha256, manifest.tokenizer.fingerprint)
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _refuse_other_run(out_dir: Path) -> None:
    """A run is never overwritten; what stopped before it had learned anything may be."""
    nearest = next((path for path in (out_dir, *out_dir.parents) if path.exists()), out_dir)
    if nearest.is_file():
        raise TrainingError(
            f"{nearest} is a file, so it cannot be the folder of a run or hold one",
            hint="choose another folder with --out",
        )
    if rolling_checkpoints(out_dir):
        raise TrainingError(
            f"{out_dir} already holds a run",
            hint=f"go on with it: `{resume_command(out_dir)}`; or choose another folder with --out",
        )
    if best_metrics(out_dir).get("step"):
        raise TrainingError(
            f"{out_dir} already holds a trained model ({BEST}), which would be replaced",
            hint="choose another folder with --out, or move that one away",
        )


def _resolved(config: Config, tokenizer: Tokenizer) -> ModelConfig:
    """The architecture with its vocabulary."""
    wanted, needed = config.model.vocab_size, tokenizer.vocab_size
    if wanted is not None and wanted < needed:
        raise ConfigError(
            f"model.vocab_size = {wanted:,} is smaller than the tokenizer's {needed:,} tokens",
            hint="leave model.vocab_size out to take the tokenizer's",
        )
    return config.model.model_copy(update={"vocab_size": wanted or needed})


def _describe(dataset: TokenDataset, decoder: Decoder, found: Floors | None, observers: Callback) -> None:
    """Say what is about to happen, and which losses it has to beat."""
    manifest = dataset.manifest
    texts = [
        f"model: {decoder.parameters.num_elements:,} parameters, vocabulary of {decoder.config.vocab_size:,}",
        f"data: {manifest.train.tokens:,} training and {manifest.validation.tokens:,} validation tokens "
        f"({manifest.source.description})",
    ]
    if found is not None:
        texts.append(
            f"validation losses to beat: uniform {found.uniform:.4f}, unigram {found.unigram:.4f}, "
            f"bigram {found.bigram:.4f}"
        )
    for text in texts:
        observers.on_message(Message(text))
