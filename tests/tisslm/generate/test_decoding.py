"""From prompts to completions: when rows end, what they are made of, and that none depends on another."""

from itertools import pairwise

import numpy as np
import pytest

from quanta_tissu.errors import ConfigError, GenerationError, TokenizerError
from quanta_tissu.tisslm.config import GenerateConfig
from quanta_tissu.tisslm.generate import Completion, decode, encode_prompt, generate
from quanta_tissu.tisslm.tokenizers import BPETokenizer, CharacterTokenizer

PROMPTS = ["to be or not to be", "a", "", "the question of the day"]


@pytest.fixture
def run(decoder, tokenizer):
    """Complete prompts; greedily and with 12 tokens unless told otherwise."""

    def complete(prompts, *, processors=(), decoder=decoder, tokenizer=tokenizer, **settings) -> list[Completion]:
        config = GenerateConfig(**{"temperature": 0.0, "max_new_tokens": 12} | settings)
        prompts = [prompts] if isinstance(prompts, str) else prompts
        return generate(decoder, tokenizer, prompts, config, processors=processors).completions

    return complete


def force(tokenizer, text: str) -> dict:
    """Settings that make the model say exactly this, and then the end of the sequence."""
    return {"forced_tokens": [*tokenizer.encode(text), tokenizer.eos_id], "max_new_tokens": 40}


# -- what a completion is made of --------------------------------------------------------------------------------


def test_a_completion_is_what_the_model_finds_likeliest_step_by_step(run, decoder, tokenizer):
    ids = tokenizer.encode("to be")
    for _ in range(12):
        ids.append(int(decoder.forward(np.array([ids]))[0, -1].argmax()))
    [completion] = run("to be", stop_at_eos=False)
    assert completion.tokens == ids[5:]
    assert completion.text == tokenizer.decode(ids[5:])
    assert completion.prompt == "to be"


@pytest.mark.parametrize("settings", [{}, {"kv_cache": False}, {"prefill_chunk": 5}])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_neither_neighbours_nor_cache_nor_chunks_change_a_completion(run, settings, temperature):
    """40 tokens in a context of 24, so all rows slide."""
    options = {"max_new_tokens": 40, "temperature": temperature, "seed": 5}
    alone = [run(prompt, **options)[0] for prompt in PROMPTS]
    assert run(PROMPTS, **options, **settings) == alone
    assert len({completion.text for completion in alone}) == 4


def test_token_ids_are_taken_as_they_are(run, tokenizer):
    [by_text] = run("to be")
    [by_ids] = run([tokenizer.encode("to be")])
    assert by_ids == by_text


def test_no_prompts_give_no_completions(run):
    assert run([]) == []


# -- the start ---------------------------------------------------------------------------------------------------


def test_an_empty_prompt_starts_a_new_document(tokenizer):
    """After the token that ends the one before, as in training data."""
    assert encode_prompt(tokenizer, "") == [tokenizer.eos_id]
    assert encode_prompt(tokenizer, []) == [tokenizer.eos_id]


def test_an_empty_prompt_without_special_tokens_starts_a_new_line():
    assert encode_prompt(CharacterTokenizer("\nab", special_tokens=False), "") == [0]


def test_an_empty_prompt_with_nothing_to_start_from_is_an_error():
    with pytest.raises(GenerationError, match="the prompt is empty"):
        encode_prompt(CharacterTokenizer("ab", special_tokens=False), "")


def test_special_tokens_in_a_prompt_are_refused(run):
    with pytest.raises(TokenizerError, match="special token"):
        run("to <|eos|> be")


# -- the end -----------------------------------------------------------------------------------------------------


def test_length_ends_a_completion(run):
    [completion] = run("to be", max_new_tokens=7, banned_tokens=[2])
    assert (completion.finish_reason, len(completion.tokens)) == ("length", 7)


def test_no_new_tokens_are_an_empty_completion(run):
    assert [(c.text, c.tokens, c.finish_reason) for c in run(PROMPTS[:2], max_new_tokens=0)] == [
        ("", [], "length")
    ] * 2


def test_the_end_of_the_sequence_ends_a_completion_and_is_not_text(run, tokenizer):
    [completion] = run("to be", **force(tokenizer, "hello"))
    assert (completion.text, completion.finish_reason) == ("hello", "eos")
    assert completion.tokens == [*tokenizer.encode("hello"), tokenizer.eos_id]


def test_the_end_of_the_sequence_can_be_a_token_like_others(run, tokenizer):
    [completion] = run("to be", **force(tokenizer, "hi") | {"max_new_tokens": 5}, stop_at_eos=False)
    assert completion.finish_reason == "length"
    assert completion.tokens[:3] == [*tokenizer.encode("hi"), tokenizer.eos_id]
    assert len(completion.tokens) == 5
    assert len(completion.text) == 4  # special tokens are no text
    assert completion.text.startswith("hi")


def test_the_end_waits_for_enough_tokens(run, tokenizer):
    always = {"logit_bias": {tokenizer.eos_id: 100.0}}
    assert len(run("to be", **always)[0].tokens) == 1
    [completion] = run("to be", **always, min_new_tokens=6)
    assert (len(completion.tokens), completion.finish_reason) == (7, "eos")


def test_a_stop_string_ends_a_completion_and_is_not_text(run, tokenizer):
    [completion] = run("to be", **force(tokenizer, "one two three"), stop=["zzz", "o t"])
    assert (completion.text, completion.finish_reason) == ("one tw", "stop")
    assert tokenizer.decode(completion.tokens) == "one two t"


def test_a_stop_string_in_the_prompt_does_not_count(run, tokenizer):
    [completion] = run("one two", **force(tokenizer, "x"), stop=["two"])
    assert (completion.text, completion.finish_reason) == ("x", "eos")


def test_rows_end_by_themselves(run, tokenizer):
    """The first row ends at once, the others go on and are what they are alone."""

    def end_after_z(logits, context):
        ends = np.array([tokens[-1 - context.step] == tokenizer.encode("z")[0] for tokens in context.tokens])
        result = logits.copy()
        result[ends, tokenizer.eos_id] = 1e3
        return result

    options = {"processors": [end_after_z], "max_new_tokens": 30}
    together = run(["z", *PROMPTS, "quiz"], **options)
    assert [c.finish_reason for c in together].count("eos") >= 2
    assert (together[0].tokens, together[-1].tokens) == ([tokenizer.eos_id], [tokenizer.eos_id])
    assert together[1:5] == [run(prompt, **options)[0] for prompt in PROMPTS]


# -- random draws ------------------------------------------------------------------------------------------------


def test_the_seed_decides(run):
    options = {"temperature": 1.0, "max_new_tokens": 20}
    [first] = run("to be", seed=1, **options)
    assert run("to be", seed=1, **options) == [first]
    assert run("to be", seed=2, **options)[0].text != first.text


def test_without_a_seed_every_completion_is_new_and_can_be_repeated(run):
    options = {"temperature": 1.0, "max_new_tokens": 20}
    one, other = run(["to be", "to be"], **options)
    assert one.text != other.text
    assert run("to be", seed=other.seed, **options) == [other]


def test_samples_of_a_prompt_differ_and_do_not_depend_on_their_number(run):
    options = {"temperature": 1.0, "seed": 3, "max_new_tokens": 20}
    completions = run(["to be", "a"], num_samples=3, **options)
    assert [(c.prompt, c.sample) for c in completions] == [(p, s) for p in ("to be", "a") for s in range(3)]
    assert len({c.text for c in completions}) == 6
    assert run(["a"], num_samples=2, **options) == completions[3:5]


def test_greedy_needs_no_seed(run):
    assert run("to be") == run("to be", seed=9)
    assert run("to be")[0].seed is None


# -- settings at work --------------------------------------------------------------------------------------------


def test_no_ngram_comes_twice(run, tokenizer):
    """Not in the prompt and the completion together."""
    settings = {"max_new_tokens": 40, "stop_at_eos": False}
    pairs = {}
    for n in (None, 2):
        [completion] = run("to be to", no_repeat_ngram=n, **settings)
        ids = tokenizer.encode("to be to") + completion.tokens
        pairs[n] = [pair for i, pair in enumerate(pairwise(ids)) if i >= 6]
    assert len(set(pairs[2])) == len(pairs[2])
    assert len(set(pairs[None])) < len(pairs[None])


def test_running_out_of_tokens_is_an_error_that_says_what_to_change(run):
    with pytest.raises(GenerationError, match="ruled out") as error:
        run("to be", no_repeat_ngram=1, max_new_tokens=100, stop_at_eos=False)
    assert "no_repeat_ngram" in error.value.hint


def test_users_processors_take_part(run, tokenizer):
    def shout(logits, context):
        """Alternate a and b."""
        result = np.full_like(logits, -np.inf)
        result[:, tokenizer.encode("ab")[context.step % 2]] = 0
        return result

    assert run("to be", processors=[shout], max_new_tokens=5)[0].text == "ababa"


# -- the context -------------------------------------------------------------------------------------------------


def test_refusing_counts_what_has_to_be_read(run):
    """The context is 24; the last token is generated but never read."""
    assert run("a" * 20, overflow="refuse", max_new_tokens=5, banned_tokens=[2])
    with pytest.raises(
        GenerationError, match="20 tokens and 6 new ones need a context of 25 tokens; the model has 24"
    ):
        run(["a", "a" * 20], overflow="refuse", max_new_tokens=6)


def test_sliding_goes_on_for_ever_and_takes_prompts_of_any_length(run):
    long, short = run(["to be or not " * 10, "a"], max_new_tokens=100, stop_at_eos=False)
    assert len(long.tokens) == len(short.tokens) == 100


def test_refusing_and_sliding_agree_while_there_is_room(run):
    assert run("to be", overflow="refuse") == run("to be", overflow="slide")


# -- log-probabilities -------------------------------------------------------------------------------------------


def test_logprobs_are_the_models_own(run, decoder, tokenizer):
    """Whatever the temperature and the bans; an independent softmax over the plain forward pass."""
    [completion] = run("to be", temperature=5.0, seed=1, banned_tokens=[7], logprobs=3, stop_at_eos=False)
    assert len(completion.logprobs) == len(completion.tokens) == 12
    ids = tokenizer.encode("to be") + completion.tokens
    logits = decoder.forward(np.array([ids]))[0, 4:-1].astype(np.float64)
    want = np.log(np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True))
    for step, (entry, row) in enumerate(zip(completion.logprobs, want, strict=True)):
        assert entry.token == completion.tokens[step]
        assert entry.logprob == pytest.approx(row[entry.token], rel=1e-5)
        assert [token for token, _ in entry.top] == np.argsort(-row)[:3].tolist()
        np.testing.assert_allclose([logprob for _, logprob in entry.top], np.sort(row)[::-1][:3], rtol=1e-5)


def test_logprobs_come_only_if_asked_for(run):
    assert run("to be")[0].logprobs is None
    assert run("to be", logprobs=0, max_new_tokens=1)[0].logprobs[0].top == ()
    assert len(run("to be", logprobs=1000, max_new_tokens=1)[0].logprobs[0].top) == 32


# -- streaming ---------------------------------------------------------------------------------------------------


def test_updates_add_up_to_the_completions(run, decoder, tokenizer):
    config = GenerateConfig(temperature=1.0, seed=1, max_new_tokens=30, num_samples=2, stop=["e", "ab"])
    texts, finished = {}, {}
    for update in decode(decoder, tokenizer, PROMPTS, config):
        assert update.index not in finished
        texts[update.index] = texts.get(update.index, "") + update.text
        if update.completion is not None:
            finished[update.index] = update.completion
    assert [texts[i] for i in range(8)] == [finished[i].text for i in range(8)]
    assert [finished[i] for i in range(8)] == run(PROMPTS, **config.model_dump())


def test_an_iterator_can_be_dropped(decoder, tokenizer):
    updates = decode(decoder, tokenizer, ["a"], GenerateConfig(max_new_tokens=1000))
    next(updates)
    updates.close()


def test_mistakes_show_before_the_first_step(decoder, tokenizer):
    with pytest.raises(ConfigError, match="a stop string is empty"):
        decode(decoder, tokenizer, ["a"], GenerateConfig(stop=[""]))
    with pytest.raises(ConfigError, match="prefill_chunk = 4 needs the key-value cache"):
        decode(decoder, tokenizer, ["a"], GenerateConfig(kv_cache=False, prefill_chunk=4))
    with pytest.raises(ConfigError, match="token id 999"):
        decode(decoder, tokenizer, ["a"], GenerateConfig(banned_tokens=[999]))


def test_characters_of_several_tokens_come_whole(decoder):
    """Two of the three bytes of a euro sign are no character: they never show."""
    tokenizer = BPETokenizer()
    tokenizer.train(["only ascii"], vocab_size=257)
    model = type(decoder).initialise(decoder.config.model_copy(update={"vocab_size": 257}), seed=1)
    config = GenerateConfig(forced_tokens=tokenizer.encode("5 € = 4 €"), max_new_tokens=12, temperature=0)
    updates = list(decode(model, tokenizer, ["price: "], config))
    assert [update.text for update in updates] == ["5", " ", "", "", "€", " ", "=", " ", "4", " ", "", ""]
    assert updates[-1].completion.text == "5 € = 4 "
    assert len(updates[-1].completion.tokens) == 12
