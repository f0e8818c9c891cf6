"""The README.md of a checkpoint: what the model is, what it learned from, how good it is, how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import Any

from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.model.decoder import Decoder
from quanta_tissu.tisslm.model.state_dict import family_of
from quanta_tissu.tisslm.tokenizers.base import Tokenizer


def model_card(decoder: Decoder, tokenizer: Tokenizer, config: Config, manifest: Mapping[str, Any]) -> str:
    """The model card in Markdown.

    Args:
        decoder: The model.
        tokenizer: Its tokenizer.
        config: The configuration of the run.
        manifest: Content of manifest.json: versions, data, metrics.
    """
    sections = [
        "---\nlibrary_name: quanta-tissu\npipeline_tag: text-generation\n---",
        f"# A language model of {decoder.parameters.num_elements:,} parameters",
        f"Written by quanta-tissu {manifest['versions']['quanta_tissu']} on {manifest['created']}.",
        "## Architecture\n\n" + _table(_architecture(decoder, tokenizer)),
        "## Data\n\n" + _data(config, manifest),
        "## Training\n\n" + _table(_training(config)),
        "## Evaluation\n\n" + _evaluation(manifest),
        "## Use\n\n" + _use(decoder, tokenizer),
        "## Limits\n\n" + _limits(decoder),
    ]
    return "\n\n".join(sections) + "\n"


def _table(rows: Mapping[str, Any]) -> str:
    cells = [f"| {name} | {value if name.endswith('seed') else _cell(value)} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *cells])


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def _architecture(decoder: Decoder, tokenizer: Tokenizer) -> dict[str, Any]:
    config = decoder.config
    return {
        "family": family_of(config),
        "parameters": decoder.parameters.num_elements,
        "layers": config.n_layers,
        "width": config.d_model,
        "attention": f"{config.n_heads} heads on {config.kv_heads} key-value heads",
        "window": config.sliding_window or "the whole context",
        "feed-forward": f"{config.feed_forward}, {config.ff_width} wide",
        "norm": f"{config.norm}, {config.norm_placement}",
        "positions": config.positions,
        "context": f"{config.context_length:,} tokens",
        "tied output": config.tie_embeddings,
        "biases": config.bias,
        "tokenizer": f"{tokenizer.kind}, {tokenizer.vocab_size:,} tokens",
    }


def _data(config: Config, manifest: Mapping[str, Any]) -> str:
    data = manifest["data"]
    if not data:
        return "Not recorded in this checkpoint."
    described = (
        {"named": config.data.source} | _flat(data) | {"SHA-256 of the data manifest": manifest["data_sha256"]}
    )
    return _table(described)


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys; lists are left to manifest.json."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif not isinstance(value, list):
            flat[f"{prefix}{key}"] = value
    return flat


def _training(config: Config) -> dict[str, Any]:
    train, optimizer, schedule = config.train, config.optimizer, config.schedule
    length = {
        "steps": train.max_steps,
        "epochs": train.max_epochs,
        "seconds": train.max_seconds,
    }
    return {
        "optimizer": optimizer.name,
        "peak learning rate": optimizer.learning_rate,
        "weight decay": optimizer.weight_decay,
        "schedule": schedule.name,
        "batch": f"{train.batch_size} sequences × {train.gradient_accumulation} accumulated",
        "planned length": ", ".join(f"{n:g} {unit} at most" for unit, n in length.items() if n) or "not set",
        "dropout": config.model.dropout,
        "seed": train.seed,
    }


def _evaluation(manifest: Mapping[str, Any]) -> str:
    metrics = dict(manifest["metrics"])
    if not metrics:
        return "Nothing was measured when this checkpoint was written. `tissu evaluate` measures it."
    loss = metrics.get("val_loss")
    if isinstance(loss, float) and "perplexity" not in metrics:
        metrics["validation perplexity"] = exp(min(loss, 700.0))
    return _table(_flat(metrics)) + "\n\nLosses are in nats per token of this tokenizer."


def _use(decoder: Decoder, tokenizer: Tokenizer) -> str:
    text = (
        "```\ntissu generate PATH --prompt TEXT\ntissu evaluate PATH --data FILE\n```\n\n"
        "```python\nfrom quanta_tissu import tisslm\n\n"
        'model = tisslm.load("PATH")\nprint(model.generate("TEXT", max_new_tokens=100).text)\n```'
    )
    if family_of(decoder.config) != "tissu":
        text += (
            "\n\nThe weights also open in Hugging Face's `transformers`:\n\n"
            "```python\nfrom transformers import AutoModelForCausalLM\n\n"
            'model = AutoModelForCausalLM.from_pretrained("PATH")\n```'
        )
        if tokenizer.kind != "bpe":
            text += f"\n\nIts {tokenizer.kind} tokenizer has no counterpart there."
    return text


def _limits(decoder: Decoder) -> str:
    return (
        "- It continues text in the manner of what it was trained on; it does not know what is true and was not\n"
        "  taught to follow instructions or to refuse.\n"
        "- What it writes may repeat its training text word for word, with that text's errors, bias and licence.\n"
        f"- It sees at most {decoder.config.context_length:,} tokens at once.\n"
        "- Nobody has examined it for safety. Do not let it decide about people."
    )
