"""Speed of generation against Hugging Face transformers with the same weights, side by side.

    python benchmarks/generate_vs_torch.py --size 24M|134M|tiny|all --rounds 5 [--json]

Both run the same Llama (RMS norm, rotary, SwiGLU, grouped-query attention, tied embeddings) in float32 on all
cores, and continue the same prompts greedily: ours by `decode`, which is behind `tissu generate`; transformers by
`LlamaForCausalLM.generate` with its cache. Before anything is timed, both must give the same tokens.

Each side lives in a process of its own, and they take turns. (The size tiny is for a trial, and not among all.)
Reported are, as medians and quartiles of the rounds:

    prefill    tokens of a prompt of 256 per second, until the first new token is there
    decode     new tokens per second after the first, for 1, 4 and 16 prompts of 32 tokens in a batch; all together
    ratio      ours to transformers', of each round's pair
    bandwidth  tokens per second times the bytes of all weights, which every token reads once; and its share of
               what threads reach that only sum up an array of that size, measured in every round beside it
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sides import Side, environment, serve, spread, turns

CONTEXT, SEED = 1024, 0
PREFILL, PROMPT = 256, 32
BATCHES = {1: 64, 4: 32, 16: 16}  # rows of a batch, and new tokens for each
CHECKED = 24  # tokens on which both must agree

SIZES: dict[str, dict[str, Any]] = {
    "24M": {"n_layers": 8, "d_model": 512, "n_heads": 8, "n_kv_heads": 4, "d_ff": 1376, "vocab_size": 4096},
    "tiny": {"n_layers": 2, "d_model": 64, "n_heads": 4, "n_kv_heads": 2, "d_ff": 96, "vocab_size": 300},
    "134M": {"n_layers": 30, "d_model": 576, "n_heads": 9, "n_kv_heads": 3, "d_ff": 1536, "vocab_size": 49152},
}

Question = tuple[str, int, int, int]
"""What is asked of a side: "generate", rows, prompt tokens, new tokens; or "bandwidth"."""


def model(size: str) -> Any:
    """Our decoder, the same on both sides: random weights, the embedding of a size that makes logits differ."""
    from quanta_tissu.tisslm.config import ModelConfig
    from quanta_tissu.tisslm.model import Decoder

    config = ModelConfig(context_length=CONTEXT, tie_embeddings=True, bias=False, **SIZES[size])
    decoder = Decoder.initialise(config, SEED)
    for name, weight in decoder.parameters.items():
        if "_proj" in name:
            weight *= 3
    return decoder


def prompts(size: str, rows: int, tokens: int) -> np.ndarray:
    """Random token ids."""
    return np.random.default_rng(rows + tokens).integers(0, SIZES[size]["vocab_size"], (rows, tokens))


def rates(began: float, times: list[float], rows: int, prompt: int) -> dict[str, float | None]:
    """Tokens per second of all rows together, from the times at which each step was done."""
    decoded = rows * (len(times) - 1)
    return {
        "prefill": rows * prompt / (times[0] - began),
        "decode": decoded / (times[-1] - times[0]) if decoded else None,
    }


# --- ours --------------------------------------------------------------------------------------------------------


def ours(size: str) -> Callable[[Question], dict[str, Any]]:
    """A function that answers questions."""
    from quanta_tissu.tisslm.config import GenerateConfig
    from quanta_tissu.tisslm.generate import decode
    from quanta_tissu.tisslm.tokenizers import CharacterTokenizer

    decoder = model(size)
    letters = "".join(chr(code) for code in range(0x100, 0xD800))[: SIZES[size]["vocab_size"] - 4]
    tokenizer = CharacterTokenizer(letters)
    measure = bandwidth(decoder.parameters.flat)

    def answer(question: Question) -> dict[str, Any]:
        what, rows, prompt, new = question
        if what == "bandwidth":
            return {"bytes_per_second": measure(), "weights": decoder.parameters.flat.nbytes}
        ids = prompts(size, rows, prompt).tolist()
        config = GenerateConfig(max_new_tokens=new, temperature=0.0, stop_at_eos=False)
        times, completions = [], []
        began = time.perf_counter()
        for number, update in enumerate(decode(decoder, tokenizer, ids, config)):
            if number % rows == rows - 1:
                times.append(time.perf_counter())
            if update.completion is not None:
                completions.append(update.completion)
        return rates(began, times, rows, prompt) | {"tokens": [c.tokens for c in completions]}

    return answer


def bandwidth(array: np.ndarray) -> Callable[[], float]:
    """A function that sums up an array, a share for every core, and returns the bytes per second."""
    from quanta_tissu.tisslm.engine.jit import summing_kernel
    from quanta_tissu.tisslm.engine.threads import available_cores

    @summing_kernel
    def total(x: np.ndarray) -> float:
        result = x.dtype.type(0)
        for i in range(x.size):
            result += x[i]
        return result

    shares = np.array_split(array, available_cores())
    total(shares[0][:1])

    def measure() -> float:
        threads = [threading.Thread(target=total, args=(share,)) for share in shares]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return array.nbytes / (time.perf_counter() - began)

    return lambda: statistics.median(measure() for _ in range(15))


# --- transformers ------------------------------------------------------------------------------------------------


def transformers(size: str) -> Callable[[Question], dict[str, Any]]:
    """As `ours`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, StoppingCriteria

    from quanta_tissu.tisslm.engine.threads import available_cores
    from quanta_tissu.tisslm.model.state_dict import to_state_dict

    torch.set_num_threads(available_cores())
    decoder = model(size)
    config = decoder.config
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.d_model,
            intermediate_size=config.ff_width,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.kv_heads,
            max_position_embeddings=CONTEXT,
            rms_norm_eps=config.norm_eps,
            rope_theta=config.rope_theta,
            tie_word_embeddings=True,
            attn_implementation="sdpa",
            eos_token_id=None,
            pad_token_id=0,
        )
    ).eval()
    weights = {name: torch.from_numpy(array) for name, array in to_state_dict(config, decoder.parameters).items()}
    missing = llama.load_state_dict(weights, strict=False)
    if missing.unexpected_keys or set(missing.missing_keys) - {"lm_head.weight"}:
        raise SystemExit(f"the weights do not fit: {missing}")
    llama.tie_weights()
    del decoder, weights

    class Clock(StoppingCriteria):
        def __init__(self) -> None:
            self.times: list[float] = []

        def __call__(self, ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
            self.times.append(time.perf_counter())
            return torch.zeros(len(ids), dtype=torch.bool)

    def answer(question: Question) -> dict[str, Any]:
        _, rows, prompt, new = question
        ids, clock = torch.from_numpy(prompts(size, rows, prompt)), Clock()
        with torch.inference_mode():
            began = time.perf_counter()
            result = llama.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=new,
                do_sample=False,
                use_cache=True,
                stopping_criteria=[clock],
            )
        return rates(began, clock.times, rows, prompt) | {"tokens": result[:, prompt:].tolist()}

    return answer


# --- taking turns ------------------------------------------------------------------------------------------------

SIDES = {"ours": ours, "transformers": transformers}


def compare(size: str, rounds: int) -> dict[str, Any]:
    """Check that both sides give the same tokens, then let them take turns."""
    sides = {name: Side(__file__, "--worker", name, "--size", size) for name in SIDES}
    for rows in BATCHES:
        tokens = {name: side.ask(("generate", rows, PROMPT, CHECKED))["tokens"] for name, side in sides.items()}
        if tokens["ours"] != tokens["transformers"]:
            raise SystemExit(f"{size}: the sides generate different tokens: {tokens}")
    questions = {"prefill": ("generate", 1, PREFILL, 1)}
    questions |= {f"decode {rows}": ("generate", rows, PROMPT, new) for rows, new in BATCHES.items()}
    figures: dict[str, dict[str, list[float]]] = {key: {name: [] for name in sides} for key in questions}
    read: list[float] = []
    for name in turns(sides, rounds):
        for key, question in questions.items():
            figures[key][name].append(sides[name].ask(question)[key.split()[0]])
        if name == "ours":
            found = sides[name].ask(("bandwidth", 0, 0, 0))
            read.append(found["bytes_per_second"])
    for side in sides.values():
        side.close()
    reached = [rate * found["weights"] for rate in figures["decode 1"]["ours"]]
    return {
        "size": size,
        "weights_bytes": found["weights"],
        "rounds": rounds,
        "tokens_per_second": {key: {name: spread(of) for name, of in by.items()} for key, by in figures.items()},
        "ratio": {
            key: spread(a / b for a, b in zip(by["ours"], by["transformers"], strict=True))
            for key, by in figures.items()
        },
        "best_ratio": {key: round(max(by["ours"]) / max(by["transformers"]), 3) for key, by in figures.items()},
        "bandwidth": {
            "summing_gb_per_second": spread(b / 1e9 for b in read),
            "decode_gb_per_second": spread(b / 1e9 for b in reached),
            "share": spread(a / b for a, b in zip(reached, read, strict=True)),
            "best_share": round(max(reached) / max(read), 3),
        },
    }


def show(result: dict[str, Any]) -> None:
    """Print one size's table."""
    print(f"\n{result['size']}, {result['weights_bytes'] / 1e6:,.0f} MB of weights, tokens/s")
    print(f"{'':12}{'ours':>10}{'quartiles':>20}{'transformers':>14}{'quartiles':>20}{'ratio':>8}{'of best':>9}")
    for key, sides in result["tokens_per_second"].items():
        cells = ""
        for name, width in (("ours", 10), ("transformers", 14)):
            figure = sides[name]
            quartiles = f"{figure['q25']:,.1f} – {figure['q75']:,.1f}"
            cells += f"{figure['median']:{width},.1f}{quartiles:>20}"
        print(f"{key:12}{cells}{result['ratio'][key]['median']:8.2f}{result['best_ratio'][key]:9.2f}")
    found = result["bandwidth"]
    print(
        f"decoding reads {found['decode_gb_per_second']['median']:.1f} GB/s, summing "
        f"{found['summing_gb_per_second']['median']:.1f}: a share of {found['share']['median']:.2f} "
        f"({found['share']['q25']:.2f} – {found['share']['q75']:.2f}; of the best {found['best_share']:.2f})"
    )


def main() -> None:
    """Parse the command line; compare, or be one of the sides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=[*SIZES, "all"], default="all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--worker", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        serve(lambda: SIDES[arguments.worker](arguments.size))
        return
    around = environment("torch", "transformers")
    sizes = [size for size in SIZES if size != "tiny"] if arguments.size == "all" else [arguments.size]
    results = [compare(size, arguments.rounds) for size in sizes]
    if arguments.json:
        print(json.dumps({"environment": around, "results": results}))
        return
    print("  ".join(f"{name} {value}" for name, value in around.items()))
    for result in results:
        show(result)


if __name__ == "__main__":
    main()
