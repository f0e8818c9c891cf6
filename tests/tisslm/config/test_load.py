"""Configuration layers, how values are read, and what a mistake is answered with."""

from __future__ import annotations

import pytest

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.config.load import config_from_mapping, load_config


def load(*overrides: str, **layers):
    return load_config(overrides=overrides, **{"environ": {}, **layers})


def refusal(*overrides: str, **layers) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(*overrides, **layers)
    return caught.value


@pytest.fixture
def write(tmp_path):
    def write(text: str):
        path = tmp_path / "tissu.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


class TestLayers:
    def test_without_layers_every_field_has_its_default(self):
        assert load() == Config()

    def test_each_layer_wins_over_the_one_before(self, write):
        file = write("train:\n  max_steps: 2\n  eval_steps: 2\n  eval_interval: 2\n")
        config = load(
            "train.eval_interval=4",
            preset="baby-gpt",
            config_file=file,
            environ={"TISSU_TRAIN__EVAL_STEPS": "3", "TISSU_TRAIN__EVAL_INTERVAL": "3"},
        )
        assert config.train.batch_size == 12, "the preset wins over the default"
        assert config.train.max_steps == 2, "the file wins over the preset"
        assert config.train.eval_steps == 3, "the environment wins over the file"
        assert config.train.eval_interval == 4, "--set wins over the environment"

    def test_the_last_set_of_a_field_wins(self):
        assert load("train.seed=1", "train.seed=2").train.seed == 2

    def test_the_process_environment_is_read_unless_another_is_given(self, monkeypatch):
        monkeypatch.setenv("TISSU_TRAIN__SEED", "7")
        assert load_config().train.seed == 7

    def test_an_empty_file_or_section_sets_nothing(self, write):
        assert load(config_file=write("")) == Config()
        assert load(config_file=write("model:\ntrain:\n")) == Config()

    def test_a_byte_order_mark_is_not_part_of_the_first_key(self, write):
        assert load(config_file=write("\ufefftrain:\n  seed: 3\n")).train.seed == 3

    def test_an_empty_environment_variable_is_unset(self):
        assert load(environ={"TISSU_TRAIN__SEED": ""}) == Config()

    def test_other_variables_of_the_program_are_not_configuration(self):
        assert load(environ={"TISSU_DEBUG": "1", "TISSU_SHARED_DATA": "/data", "HOME": "/"}) == Config()

    def test_a_mapping_is_validated_the_same_way(self):
        assert config_from_mapping({"train": {"seed": 3}}, "config.json").train.seed == 3
        with pytest.raises(ConfigError, match=r"train\.seed = -3 \(config\.json\)"):
            config_from_mapping({"train": {"seed": -3}}, "config.json")


class TestValues:
    @pytest.mark.parametrize(
        ("text", "number"), [("1e-3", 1e-3), ("1E-3", 1e-3), ("3e-4", 3e-4), (".5", 0.5), ("2.", 2.0), ("1", 1.0)]
    )
    def test_numbers_in_every_common_notation(self, text, number, write):
        assert load(f"optimizer.learning_rate={text}").optimizer.learning_rate == number
        assert load(config_file=write(f"optimizer:\n  learning_rate: {text}\n")).optimizer.learning_rate == number

    @pytest.mark.parametrize(("text", "number"), [("1000", 1000), ("1_000", 1000), ("1e3", 1000), ("010", 10)])
    def test_whole_numbers_are_decimal(self, text, number):
        assert load(f"train.max_steps={text}").train.max_steps == number

    def test_null(self):
        assert load("train.clip_norm=null").train.clip_norm is None
        assert load("tokenizer.path=null", preset="tiny").tokenizer.path is None

    def test_booleans(self):
        assert load("model.bias=true").model.bias is True
        assert load("model.bias=False").model.bias is False

    def test_lists_and_mappings(self):
        assert load("optimizer.betas=[0.8, 0.99]").optimizer.betas == (0.8, 0.99)
        assert load("generate.stop=[end, 'a: b']").generate.stop == ["end", "a: b"]
        assert load("generate.logit_bias={5: -1.5}").generate.logit_bias == {5: -1.5}

    @pytest.mark.parametrize("name", ["2024", "a=b", "on", "1e5", "C:\\texts: old", "[odd", "true"])
    def test_text_fields_take_what_is_written(self, name):
        assert load(f"data.source={name}").data.source == name
        assert load(environ={"TISSU_DATA__SOURCE": name}).data.source == name

    def test_quotes_around_text_are_removed(self):
        assert load("data.source='null'").data.source == "null"

    def test_words_of_yaml_1_1_stay_words(self, write):
        assert load(config_file=write("data:\n  source: on\n")).data.source == "on"


class TestUnknownKeys:
    @pytest.mark.parametrize(
        ("key", "suggestion"),
        [
            ("train.max_stes", "train.max_steps"),  # misspelled field
            ("trian.max_steps", "train.max_steps"),  # misspelled section
            ("train.learning_rate", "optimizer.learning_rate"),  # right name, wrong section
            ("train.learning_rat", "optimizer.learning_rate"),  # both
            ("max_steps", "train.max_steps"),  # no section
            ("model.n_layer", "model.n_layers"),
            ("lr", "optimizer.learning_rate"),  # what others call it
            ("model.hidden_size", "model.d_model"),
        ],
    )
    def test_the_right_key_is_suggested(self, key, suggestion):
        error = refusal(f"{key}=1")
        assert key in error.message
        assert f"did you mean {suggestion}" in (error.hint or "")

    def test_a_name_in_several_sections_suggests_them_all(self):
        hint = refusal("generate.dropout_seed=1").hint or ""
        assert "seed" in hint
        hint = refusal("name=adamw").hint or ""
        assert "optimizer.name" in hint
        assert "schedule.name" in hint

    def test_without_anything_close_the_fields_or_sections_are_listed(self):
        assert "n_layers" in (refusal("model.xyzzy=1").hint or "")
        assert "sections: model, tokenizer" in (refusal("xyzzy.plugh=1").hint or "")

    def test_the_file_and_line_are_named(self, write):
        file = write("model:\n  n_layers: 2\n  n_layer: 2\n")
        assert f"{file}:3" in refusal(config_file=file).message
        file = write("train:\n  seed: 1\nmodell:\n  n_layers: 2\n")
        error = refusal(config_file=file)
        assert f"{file}:3" in error.message
        assert error.hint == "did you mean model?"

    def test_the_variable_is_named(self):
        error = refusal(environ={"TISSU_TRAIN__MAX_STEP": "3"})
        assert "TISSU_TRAIN__MAX_STEP" in error.message

    def test_one_underscore_instead_of_two_is_not_ignored(self):
        error = refusal(environ={"TISSU_TRAIN_MAX_STEPS": "3"})
        assert error.hint == "did you mean TISSU_TRAIN__MAX_STEPS?"


class TestMalformedLayers:
    def test_a_section_is_not_a_field(self):
        assert "train is a section" in refusal("train=3").message

    def test_a_section_needs_fields(self, write):
        assert "model is a section, got 3" in refusal(config_file=write("model: 3\n")).message

    def test_a_file_needs_sections(self, write):
        assert "expected sections, got [1, 2]" in refusal(config_file=write("[1, 2]\n")).message

    @pytest.mark.parametrize("override", ["nonsense", "=3", "train.seed"])
    def test_set_needs_a_key_and_a_value(self, override):
        assert "section.field=value" in refusal(override).message

    def test_set_needs_something_after_the_equals_sign(self):
        assert "null" in (refusal("train.seed=").hint or "")

    def test_invalid_yaml_names_its_line(self, write):
        file = write("model:\n  n_layers: [1\n")
        error = refusal(config_file=file)
        assert error.message.startswith(f"{file}:3: not valid YAML")
        assert error.hint
        assert "train.max_steps = [1 (--set): not valid YAML" in refusal("train.max_steps=[1").message

    def test_a_repeated_key_is_not_silently_dropped(self, write):
        assert ":3: not valid YAML: the key 'seed' appears twice" in (
            refusal(config_file=write("train:\n  seed: 1\n  seed: 2\n")).message
        )

    def test_unsafe_yaml_is_refused(self, write):
        assert "not valid YAML" in refusal(config_file=write("train: !!python/object:os.system {}\n")).message

    def test_control_characters_are_refused(self, write):
        assert "not valid YAML" in refusal(config_file=write("train: \x00\n")).message

    def test_a_missing_file_points_to_init(self, tmp_path):
        error = refusal(config_file=tmp_path / "no.yaml")
        assert "no.yaml" in error.message
        assert "tissu init" in (error.hint or "")

    def test_a_folder_is_not_a_file(self, tmp_path):
        assert "directory" in refusal(config_file=tmp_path).message.lower()

    def test_a_file_that_is_not_utf_8(self, tmp_path):
        (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")
        assert "not UTF-8" in refusal(config_file=tmp_path / "bad.yaml").message

    def test_an_unknown_preset_lists_the_presets(self):
        error = refusal(preset="babygpt")
        assert "did you mean 'baby-gpt'?" in (error.hint or "")
        assert "demo" in (refusal(preset="zzz").hint or "")


class TestRefusedValues:
    @pytest.mark.parametrize(
        ("override", "allowed"),
        [
            ("train.max_steps=abc", "a whole number, at least 1, or null"),
            ("train.max_steps=0", "a whole number, at least 1, or null"),
            ("train.max_steps=1.5", "a whole number, at least 1, or null"),
            ("train.max_steps=true", "a whole number, at least 1, or null"),
            ("model.dropout=1", "a number, at least 0 and less than 1"),
            ("optimizer.learning_rate=.inf", "a number, greater than 0"),
            ("optimizer.learning_rate=.nan", "a number, greater than 0"),
            ("model.bias=maybe", "true or false"),
            ("train.engine=cuda", "one of fast, reference, torch"),
            ("optimizer.betas=[0.9]", "a list of 2 numbers"),
            ("generate.stop={a: b}", "a list of texts"),
            ("generate.logit_bias={a: 1}", "a mapping of whole numbers to numbers"),
        ],
    )
    def test_the_message_has_key_value_origin_and_what_is_allowed(self, override, allowed):
        key, _, value = override.partition("=")
        assert refusal(override).message == f"{key} = {value} (--set): must be {allowed}"

    def test_a_learning_rate_that_climbs_is_refused(self):
        message = refusal("optimizer.learning_rate_scales={model.*: -1}").message
        assert message.startswith("optimizer.learning_rate_scales must not be negative; that of 'model.*' is -1")

    def test_a_misspelled_choice_gets_a_suggestion(self):
        assert "did you mean cosine?" in refusal("schedule.name=cosin").message

    def test_text_in_a_file_must_be_text(self, write):
        file = write("data:\n  source: 2024\n")
        assert refusal(config_file=file).message == f"data.source = 2024 ({file}:2): must be text, or null"

    def test_several_problems_are_reported_together(self):
        message = refusal("train.max_steps=0", "model.dropout=2").message
        assert message.startswith("2 configuration values cannot be used:\n  ")
        assert len(message.splitlines()) == 3

    def test_contradictions_name_the_origin_of_both_fields(self):
        message = refusal("model.d_model=130", preset="baby-gpt").message
        assert "model.d_model = 130 is not divisible by model.n_heads = 4" in message
        assert "model.d_model from --set" in message
        assert "model.n_heads from preset baby-gpt:" in message
        assert "Value error" not in message

    @pytest.mark.parametrize(
        ("overrides", "problem"),
        [
            (
                ["train.max_steps=5", "train.max_epochs=2"],
                "train.max_steps = 5 and train.max_epochs = 2.0 are",
            ),
            (
                ["train.batch_ramp_steps=5", "train.batch_ramp_start=99"],
                "train.batch_ramp_start = 99 is larger than",
            ),
            (["optimizer.betas=[0.9, 1.5]"], "optimizer.betas must lie in [0, 1); they are (0.9, 1.5)"),
            (["model.n_kv_heads=3"], "model.n_heads = 8 is not divisible by model.n_kv_heads = 3; choose"),
            (["model.d_model=24"], "d_model / n_heads must be even; it is 3 (24 / 8)"),
            (["model.d_model=9", "model.n_heads=1", "model.positions=sinusoidal"], "even model.d_model; it is 9"),
            (["data.stride=5"], "data.stride = 5 means nothing to data.windows = random"),
            (
                ["train.precision=bfloat16"],
                "train.precision = bfloat16 is not known to train.engine = fast; choose",
            ),
            (
                ["train.precision=float16", "train.loss_scale=1000"],
                "train.loss_scale = 1000 is not a power of two",
            ),
            (["train.loss_scale=1024"], "train.loss_scale = 1024 means nothing to train.precision = float32"),
            (["train.loss_scale_interval=9"], "train.loss_scale_interval = 9 means nothing to train.precision"),
        ],
    )
    def test_fields_that_contradict_each_other(self, overrides, problem):
        assert problem in refusal(*overrides).message

    def test_sections_must_agree(self):
        message = refusal("data.windows=packed", preset="baby-gpt").message
        assert "data.windows = packed separates documents by EOS" in message
        assert "data.windows from --set, tokenizer.special_tokens from preset baby-gpt:" in message
        assert load("data.windows=packed", "tokenizer.path=t.json", preset="baby-gpt").data.windows == "packed"
