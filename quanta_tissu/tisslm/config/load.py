"""Configuration from its layers: defaults < preset < YAML file < `TISSU_…` environment < `--set`.

Every layer is a list of settings that remember where they come from, so that an error can say so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.config.fields import FieldInfo, all_fields, sections
from quanta_tissu.tisslm.config.presets import get_preset
from quanta_tissu.tisslm.config.yaml_text import parse_document, parse_value, scalar

ENVIRONMENT_PREFIX = "TISSU_"
_HINT = "docs/configuration.md and the file that `tissu init` writes explain every field"

# Names that other projects use for our fields; only ever suggested, never accepted.
_OTHER_NAMES = {
    "lr": "optimizer.learning_rate",
    "beta1": "optimizer.betas",
    "beta2": "optimizer.betas",
    "optimizer": "optimizer.name",
    "schedule": "schedule.name",
    "scheduler": "schedule.name",
    "lr_scheduler_type": "schedule.name",
    "min_lr": "schedule.final_ratio",
    "warmup_iters": "schedule.warmup_steps",
    "max_iters": "train.max_steps",
    "steps": "train.max_steps",
    "epochs": "train.max_epochs",
    "num_train_epochs": "train.max_epochs",
    "grad_clip": "train.clip_norm",
    "max_grad_norm": "train.clip_norm",
    "eval_iters": "train.eval_steps",
    "gradient_accumulation_steps": "train.gradient_accumulation",
    "block_size": "model.context_length",
    "seq_len": "model.context_length",
    "max_seq_len": "model.context_length",
    "max_position_embeddings": "model.context_length",
    "n_layer": "model.n_layers",
    "num_layers": "model.n_layers",
    "num_hidden_layers": "model.n_layers",
    "n_head": "model.n_heads",
    "num_attention_heads": "model.n_heads",
    "num_key_value_heads": "model.n_kv_heads",
    "n_embd": "model.d_model",
    "dim": "model.d_model",
    "hidden_size": "model.d_model",
    "hidden_dim": "model.d_ff",
    "intermediate_size": "model.d_ff",
    "activation": "model.feed_forward",
    "max_tokens": "generate.max_new_tokens",
    "validation_split": "data.validation_split_ratio",
}


@dataclass(frozen=True)
class _Setting:
    """One value for one field, and where it comes from."""

    section: str
    name: str
    value: Any
    origin: str


def load_config(
    config_file: str | Path | None = None,
    preset: str | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    *,
    base: Config | None = None,
) -> Config:
    """Build the configuration of a run from all its layers.

    Args:
        config_file: A YAML file.
        preset: The name of a preset, below the file.
        overrides: `section.field=value` texts, above everything else; values are YAML.
        environ: The environment; null takes the process's. `TISSU_TRAIN__MAX_STEPS=300` sets train.max_steps.
        base: What to start from instead of the defaults: the configuration of a run that is resumed.

    Raises:
        ConfigError: A key is unknown, or a value is not allowed; one line for each, with its origin.
    """
    settings: list[_Setting] = []
    if base is not None:
        settings += _from_document(base.model_dump(mode="json"), {}, "the resumed run")
    if preset is not None:
        settings += _from_yaml(get_preset(preset).text, f"preset {preset}")
    if config_file is not None:
        settings += _from_yaml(read_config_file(config_file), str(config_file))
    settings += _from_environment(os.environ if environ is None else environ)
    settings += _from_overrides(overrides)
    return _build(settings)


def config_from_mapping(values: Any, origin: str) -> Config:
    """Validate nested dictionaries, `config.json` of a checkpoint for example, with the same errors.

    Raises:
        ConfigError: A key is unknown, or a value is not allowed.
    """
    return _build(_from_document(values, {}, origin))


def read_config_file(path: str | Path) -> str:
    """The text of a configuration file.

    Raises:
        ConfigError: The file is missing, a folder, unreadable, or not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no configuration file {path}", hint="`tissu init DIR` writes one to start from"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"cannot read the configuration file {path}: {reason}",
            hint="name a YAML file in UTF-8; `tissu init DIR` writes one to start from",
        ) from error


def _from_yaml(text: str, origin: str) -> list[_Setting]:
    document, lines = parse_document(text, origin)
    return _from_document(document, lines, origin)


def _from_document(document: Any, lines: Mapping[tuple[str, ...], int], origin: str) -> list[_Setting]:
    """Flatten `{section: {field: value}}`; an empty document or section sets nothing."""

    def at(*path: str) -> str:
        return f"{origin}:{lines[path]}" if path in lines else origin

    if document is None:
        return []
    if not isinstance(document, Mapping):
        raise ConfigError(f"{origin}: expected sections, got {scalar(document)}", hint=_sections_hint())
    settings = []
    for section, values in document.items():
        where = at(str(section))
        if section not in sections():
            raise _unknown(str(section), where)
        if values is None:
            continue
        if not isinstance(values, Mapping):
            raise ConfigError(
                f"{where}: {section} is a section, got {scalar(values)}",
                hint=f"write its fields below it, indented: `{section}:`, then `  field: value`",
            )
        settings += [
            _setting(str(section), str(name), value, at(str(section), str(name))) for name, value in values.items()
        ]
    return settings


def _from_environment(environ: Mapping[str, str]) -> list[_Setting]:
    """Read `TISSU_SECTION__FIELD`. Other `TISSU_` names are not configuration; an empty value is unset."""
    settings = []
    for variable in sorted(environ):
        name = variable.removeprefix(ENVIRONMENT_PREFIX)
        if name == variable or not environ[variable] or name.startswith("SECRET_"):  # of scripts, and secret
            continue
        section, double, field = name.lower().partition("__")
        if double:
            settings.append(_setting(section, field, environ[variable], variable, text=True))
            continue
        prefix, _, field = section.partition("_")
        if (prefix, field) in all_fields():
            # Close to certain that configuration was meant; ignoring it would be a silent surprise.
            raise ConfigError(
                f"{variable} is not a setting: section and field are separated by two underscores",
                hint=f"did you mean {_variable(prefix, field)}?",
            )
    return settings


def _from_overrides(overrides: Sequence[str]) -> list[_Setting]:
    settings = []
    for override in overrides:
        key, equals, value = override.partition("=")
        section, _, name = key.strip().partition(".")
        if not equals or not section:
            raise ConfigError(f"--set {override}: not of the form section.field=value", hint=_set_hint())
        if not value.strip():
            raise ConfigError(f"--set {override}: the value is missing", hint="write `null` for no value")
        if not name:
            raise _unknown(section, "--set")
        settings.append(_setting(section, name, value, "--set", text=True))
    return settings


def _setting(section: str, name: str, value: Any, origin: str, *, text: bool = False) -> _Setting:
    """Check the key, and read the value if it is text from the environment or the command line."""
    field = all_fields().get((section, name))
    if field is None:
        raise _unknown(f"{section}.{name}", origin)
    if text:
        value = _read_value(field, str(value).strip(), origin)
    return _Setting(section, name, value, origin)


def _read_value(field: FieldInfo, text: str, origin: str) -> Any:
    """Read a value as YAML, except that text fields take what is written (`--set data.source=2024`)."""
    if field.is_text and text[0] not in "'\"":
        return None if text in {"null", "~"} else text
    return parse_value(text, f"{field.key} = {text} ({origin})")


def _build(settings: Sequence[_Setting]) -> Config:
    values: dict[str, dict[str, Any]] = {}
    latest: dict[tuple[str, str], _Setting] = {}
    for setting in settings:
        values.setdefault(setting.section, {})[setting.name] = setting.value
        latest[setting.section, setting.name] = setting
    problems = [
        _problem(setting)
        for key, setting in latest.items()
        # bool is an int to Python, so pydantic would take `max_steps: true` for 1.
        if isinstance(setting.value, bool) and bool not in all_fields()[key].types
    ]
    try:
        if not problems:
            return Config.model_validate(values)
    except ValidationError as error:
        problems = _translate(error, latest)
    if len(problems) == 1:
        raise ConfigError(problems[0], hint=_HINT)
    raise ConfigError(
        f"{len(problems)} configuration values cannot be used:\n  " + "\n  ".join(problems), hint=_HINT
    )


def _translate(error: ValidationError, latest: Mapping[tuple[str, str], _Setting]) -> list[str]:
    """One readable line for each pydantic error."""
    problems: dict[str, None] = {}  # a union field reports once per member
    for item in error.errors(include_url=False):
        path = tuple(str(part) for part in item["loc"][:2])
        if len(path) == 2 and (path[0], path[1]) in latest and item["type"] != "value_error":
            problems[_problem(latest[path[0], path[1]])] = None
        else:
            message = str(item["msg"]).removeprefix("Value error, ")
            problems[message + _origins(message, latest)] = None
    return list(problems)


def _problem(setting: _Setting) -> str:
    field = all_fields()[setting.section, setting.name]
    close = get_close_matches(str(setting.value), [str(c) for c in field.choices], n=1)
    suggestion = f" (did you mean {close[0]}?)" if close else ""
    return f"{field.key} = {scalar(setting.value)} ({setting.origin}): must be {field.allowed}{suggestion}"


def _origins(message: str, latest: Mapping[tuple[str, str], _Setting]) -> str:
    """Where the fields that a cross-field message names were set, unless they are defaults."""
    named = re.findall(r"\b([a-z]+)\.([a-z_]+)\b", message)
    origins = [f"{s}.{n} from {latest[s, n].origin}" for s, n in dict.fromkeys(named) if (s, n) in latest]
    return f" ({', '.join(origins)})" if origins else ""


def _unknown(key: str, origin: str) -> ConfigError:
    known = {field.key for field in all_fields().values()}
    section, _, name = key.rpartition(".")
    message = f"there is no configuration field {key} ({origin})"
    if not section and key in sections():
        return ConfigError(f"{key} is a section, not a field ({origin})", hint=_set_hint())
    elsewhere = sorted(k for k in known if k.endswith(f".{name}"))
    if name in _OTHER_NAMES and not elsewhere:
        elsewhere = [_OTHER_NAMES[name]]
    suggestions = elsewhere or _close(section, name, known)
    if suggestions:
        return ConfigError(message, hint=f"did you mean {' or '.join(suggestions)}?")
    if section in sections():
        names = ", ".join(field.name for field in all_fields().values() if field.section == section)
        return ConfigError(message, hint=f"fields of {section}: {names}")
    return ConfigError(message, hint=_sections_hint())


def _close(section: str, name: str, known: set[str]) -> list[str]:
    """The closest key: first in the same section, then a misspelled section, then anywhere."""
    here = {k.partition(".")[2]: k for k in known if k.startswith(f"{section}.")}
    for candidates, wanted in (
        (here, name),
        ({s: s for s in sections()}, name if not section else ""),
        ({k: k for k in known}, f"{section}.{name}" if section else ""),
        ({k.partition(".")[2]: k for k in sorted(known)}, name),
    ):
        if close := get_close_matches(wanted, candidates, n=1, cutoff=0.7):
            return [candidates[close[0]]]
    return []


def _variable(section: str, name: str) -> str:
    return f"{ENVIRONMENT_PREFIX}{section.upper()}__{name.upper()}"


def _set_hint() -> str:
    return "write `--set train.max_steps=300` or `--set model.n_layers=4`, as in the YAML file's sections"


def _sections_hint() -> str:
    return f"sections: {', '.join(sections())}"
