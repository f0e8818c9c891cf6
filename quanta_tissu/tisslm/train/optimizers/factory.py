"""From the configuration to an optimizer: which parameters decay, how fast each one learns."""

from __future__ import annotations

from fnmatch import fnmatchcase

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm.config import OptimizerConfig
from quanta_tissu.tisslm.engine.threads import ThreadTeam
from quanta_tissu.tisslm.model import Parameters, ParameterSpec
from quanta_tissu.tisslm.train.optimizers.adam import Adam, AdamW
from quanta_tissu.tisslm.train.optimizers.base import Group, Optimizer
from quanta_tissu.tisslm.train.optimizers.lion import Lion
from quanta_tissu.tisslm.train.optimizers.muon import Matrix, Muon
from quanta_tissu.tisslm.train.optimizers.rmsprop import RMSProp
from quanta_tissu.tisslm.train.optimizers.sgd import SGD

_CLASSES: dict[str, type[Optimizer]] = {
    "adamw": AdamW,
    "adam": Adam,
    "sgd": SGD,
    "rmsprop": RMSProp,
    "lion": Lion,
    "muon": Muon,
}


def num_buffers(config: OptimizerConfig) -> int:
    """How many buffers as long as the parameters the configured optimizer keeps."""
    return len(_CLASSES[config.name].buffers)


def make_optimizer(
    config: OptimizerConfig, parameters: Parameters, *, team: ThreadTeam | None = None
) -> Optimizer:
    """Build the configured optimizer over a model's parameters.

    Args:
        config: The `optimizer` section.
        parameters: The parameters to train; the optimizer changes `parameters.flat`.
        team: Threads to share the update among.

    Raises:
        ConfigError: A pattern of `learning_rate_scales` matches no parameter.
    """
    groups, matrices = grouped(config, parameters)
    flat, rate = parameters.flat, config.learning_rate
    match config.name:
        case "adamw":
            return AdamW(flat, groups, learning_rate=rate, betas=config.betas, eps=config.eps, team=team)
        case "adam":
            return Adam(flat, groups, learning_rate=rate, betas=config.betas, eps=config.eps, team=team)
        case "sgd":
            return SGD(
                flat,
                groups,
                learning_rate=rate,
                momentum=config.momentum,
                nesterov=config.nesterov,
                team=team,
            )
        case "rmsprop":
            return RMSProp(
                flat,
                groups,
                learning_rate=rate,
                alpha=config.alpha,
                eps=config.eps,
                momentum=config.momentum,
                team=team,
            )
        case "lion":
            return Lion(flat, groups, learning_rate=rate, betas=config.betas, team=team)
        case "muon":
            return Muon(
                flat,
                groups,
                matrices,
                learning_rate=rate,
                muon_learning_rate=config.muon_learning_rate,
                momentum=config.momentum,
                nesterov=config.nesterov,
                newton_schulz_steps=config.newton_schulz_steps,
                betas=config.betas,
                eps=config.eps,
                team=team,
            )


def grouped(config: OptimizerConfig, parameters: Parameters) -> tuple[list[Group], list[Matrix]]:
    """Every parameter with its settings: slices of the flat buffer, and the matrices that Muon updates as a whole.

    Raises:
        ConfigError: A pattern of `learning_rate_scales` matches no parameter.
    """
    scales = learning_rate_scales(config, parameters.specs)
    starts = [parameters.slices[spec.name].start for spec in parameters.specs]
    # A group reaches to the next parameter: padding is zero and stays zero, and neighbours can be joined.
    ends = [*starts[1:], parameters.flat.size]
    groups: list[Group] = []
    matrices: list[Matrix] = []
    for spec, start, end in zip(parameters.specs, starts, ends, strict=True):
        scale = scales[spec.name]
        decay = config.weight_decay if spec.decay else 0.0
        if config.name == "muon" and _is_hidden_matrix(spec):
            for rows in spec.parts or (spec.shape[0],):
                matrices.append(Matrix(start, rows, spec.shape[1], scale, decay))
                start += rows * spec.shape[1]
        else:
            groups.append(Group(start, end, scale, decay))
    return groups, matrices


def learning_rate_scales(config: OptimizerConfig, specs: tuple[ParameterSpec, ...]) -> dict[str, float]:
    """Learning-rate factor of every parameter: layer decay times the first pattern that matches its name.

    With layer decay γ in a model of n blocks the output (final norm, output matrix) has γ⁰, block i has γ^(n - i)
    and the embeddings γ^(n + 1), as in BEiT (Bao et al. 2022, arXiv:2106.08254, appendix). Tied embeddings count
    as embeddings.

    Raises:
        ConfigError: A pattern matches no parameter.
    """
    names = [spec.name for spec in specs]
    for pattern in config.learning_rate_scales:
        if not any(fnmatchcase(name, pattern) for name in names):
            examples = ", ".join(dict.fromkeys([names[0], names[len(names) // 2], names[-1]]))
            raise ConfigError(
                f"optimizer.learning_rate_scales: the pattern {pattern!r} matches no parameter",
                hint=f"parameters are called {examples} ...; * stands for any text",
            )
    layers = 1 + max((spec.layer for spec in specs if spec.layer is not None), default=-1)
    return {
        spec.name: config.layer_decay ** _depth(spec, layers)
        * next((s for pattern, s in config.learning_rate_scales.items() if fnmatchcase(spec.name, pattern)), 1.0)
        for spec in specs
    }


def _depth(spec: ParameterSpec, layers: int) -> int:
    """Layers between a parameter and the output."""
    if spec.layer is not None:
        return layers - spec.layer
    return layers + 1 if spec.name.startswith("model.embed") else 0


def _is_hidden_matrix(spec: ParameterSpec) -> bool:
    return spec.layer is not None and len(spec.shape) == 2
