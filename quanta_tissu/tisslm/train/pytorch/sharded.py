"""Weights of which every process holds a part: fully sharded (FSDP2), or cut inside the layers (tensor parallel).

Both keep every parameter as a DTensor: a tensor that knows its whole shape, the processes it is spread over, and
which part of it is here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard, distribute_tensor

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.engine.memory import return_freed_memory
from quanta_tissu.tisslm.model import Decoder, Parameters, ParameterSpec
from quanta_tissu.tisslm.model.block import Block
from quanta_tissu.tisslm.model.forward_pass import ForwardPass
from quanta_tissu.tisslm.train.optimizers.base import Group
from quanta_tissu.tisslm.train.optimizers.muon import Matrix
from quanta_tissu.tisslm.train.pytorch.module import DecoderModule, LiveParameters
from quanta_tissu.tisslm.train.pytorch.weights import Gradients, OfMatrix, Piece, Weights
from quanta_tissu.tisslm.train.pytorch.world import TorchWorld


class ShardedWeights(Weights):
    """Parameters as DTensors; each is one piece.

    Args:
        decoder: The model.
        groups: Slices of the flat buffer with their settings.
        matrices: Matrices in it that Muon updates.
        world: The processes.

    Attributes:
        row_processes: Number of processes that the rows of packed projections are dealt out to.
        mesh: The processes that parameters are spread over.
    """

    sharded = True
    row_processes = 1
    mesh: Any

    def __init__(
        self, decoder: Decoder, groups: Sequence[Group], matrices: Sequence[Matrix], world: TorchWorld
    ) -> None:
        self.decoder = decoder
        self.rank, self.size = world.rank, world.size
        self.device = world.device
        parameters = self.place()
        self._parameters = [parameters[spec.name] for spec in decoder.parameters.specs]
        rules: list[Group | Matrix] = [*groups, *matrices]
        starts = {rule.start: rule for rule in rules}
        self.pieces = []
        for spec, parameter in zip(decoder.parameters.specs, self._parameters, strict=True):
            rule = starts[decoder.parameters.slices[spec.name].start]
            value, orthogonal = parameter.detach().to_local(), isinstance(rule, Matrix)
            self.pieces.append(Piece(value, rule.learning_rate_scale, rule.weight_decay, orthogonal))

    @abstractmethod
    def place(self) -> Mapping[str, Any]:
        """Make `mesh` and `module`; return its parameters by name, as DTensors."""

    def order(self, spec: ParameterSpec) -> torch.Tensor | None:
        """Row i of the tensor that is spread out is row order[i] of the parameter; None: they are the same."""
        return interleaved(spec, self.row_processes)

    def compile(self) -> None:
        """Compile block by block: between them the processes exchange what they hold."""
        limit = torch._dynamo.config.recompile_limit
        # Every block reads parameters of its own names, so every one is compiled.
        torch._dynamo.config.recompile_limit = max(limit, 4 * len(self.module.blocks))
        for block in self.module.blocks:
            block.compile()

    @property
    def gradients(self) -> Gradients:
        """This process's part of every gradient."""
        return Gradients([_placed(p.grad, p.placements).to_local() for p in self._parameters])

    def zero_gradients(self) -> None:
        """Drop them."""
        for parameter in self._parameters:
            parameter.grad = None

    def zeros(self) -> list[torch.Tensor]:
        """Tensors like the parts that are here."""
        return [torch.zeros_like(value) for value in self.values]

    def to_host(self, tensors: Sequence[torch.Tensor], host: Parameters) -> None:
        """Gather one parameter after the other; the main process keeps them."""
        for spec, whole in zip(host.specs, self.distributed(tensors), strict=True):
            full = whole.full_tensor()
            if self.rank == 0:
                target, order = torch.from_numpy(host[spec.name]), self.order(spec)
                if order is None:
                    target.copy_(full)
                else:
                    target[order] = full.to("cpu", target.dtype)

    def from_host(self, host: Parameters, tensors: Sequence[torch.Tensor]) -> None:
        """Take the part that belongs here of one parameter after the other; all processes can ask for it."""
        for spec, parameter, tensor in zip(host.specs, self._parameters, tensors, strict=True):
            tensor.copy_(self.part(spec, host, parameter.placements))

    def part(self, spec: ParameterSpec, host: Parameters, placements: Sequence[Placement]) -> torch.Tensor:
        """What belongs here of a parameter that every process can ask for, without communication."""
        whole, order = torch.from_numpy(host[spec.name]), self.order(spec)
        return self._cut(whole if order is None else whole[order], placements)

    def of_matrices(
        self, function: OfMatrix, tensors: Iterator[tuple[int, torch.Tensor]]
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """In rounds: every process gets one parameter as a whole, all compute, and tell each other the results."""
        while turn := list(islice(tensors, self.size)):
            own = torch.empty(0, device=self.device)
            for owner, (number, tensor) in enumerate(turn):
                whole = self._distributed(tensor, self._parameters[number]).full_tensor()
                if owner == self.rank:
                    own = whole
            if self.rank < len(turn):
                own = self._of_parts(function, self.decoder.parameters.specs[turn[self.rank][0]], own)
            for owner, (number, _) in enumerate(turn):
                parameter = self._parameters[number]
                result = own if owner == self.rank else torch.empty(parameter.shape, device=self.device)
                distributed.broadcast(result, src=owner)
                yield number, self._cut(result, parameter.placements)

    def _of_parts(self, function: OfMatrix, spec: ParameterSpec, whole: torch.Tensor) -> torch.Tensor:
        """A function of each of the matrices that are packed into a parameter."""
        order = self.order(spec)
        if order is None:
            return torch.cat([function(part) for part in whole.split(spec.parts or (len(whole),))]).contiguous()
        order = order.to(whole.device)
        rows = torch.empty_like(whole)
        rows[order] = whole
        return torch.cat([function(part) for part in rows.split(spec.parts)])[order]

    def _cut(self, whole: torch.Tensor, placements: Sequence[Placement]) -> torch.Tensor:
        local: torch.Tensor = distribute_tensor(whole, self.mesh, placements, src_data_rank=None).to_local()
        return local

    def distributed(self, tensors: Sequence[torch.Tensor]) -> list[Any]:
        """Parts of a quantity, one for each piece, as DTensors like the parameters."""
        return [self._distributed(t, p) for t, p in zip(tensors, self._parameters, strict=True)]

    def _distributed(self, tensor: torch.Tensor, like: Any) -> Any:
        return DTensor.from_local(
            tensor, self.mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
        )


class FullyShardedWeights(ShardedWeights):
    """Every process holds rows of every parameter, gradient and moment (FSDP2, which is ZeRO's third stage).

    Zhao et al. 2023, arXiv:2304.11277; Rajbhandari et al. 2019, arXiv:1910.02054. A block's parameters are
    gathered while it runs, forward and backward; its gradients are averaged and cut as soon as they are there.
    """

    def place(self) -> Mapping[str, Any]:
        """Wrap every block, then what is around them; only then is there memory, for the parts alone."""
        self.mesh = init_device_mesh(self.device.type, (self.size,))
        self.data_rank, self.data_size = self.rank, self.size
        return_freed_memory()
        host = self.decoder.parameters
        shapes = {spec.name: nn.Parameter(torch.empty(spec.shape, device="meta")) for spec in host.specs}
        self.module = DecoderModule(self.decoder.config, shapes)
        for block in self.module.blocks:
            fully_shard(block, mesh=self.mesh)
        fully_shard(self.module, mesh=self.mesh)
        self.module.to_empty(device=self.device)
        parameters = dict(self.module.live)
        with torch.no_grad():
            for spec in host.specs:
                target = parameters[spec.name]
                target.to_local().copy_(self.part(spec, host, target.placements))
        return parameters

    def rest(self) -> None:
        """Drop what a pass without a backward pass has left gathered."""
        self.module.reshard()


class TensorParallelWeights(ShardedWeights):
    """Every process computes some heads of every attention and some columns of every feed-forward layer.

    Shoeybi et al. 2019, arXiv:1909.08053, section 3: the projections to queries, keys, values and to the wide
    layer are cut by rows of their matrices, those back into the residual stream by columns, and what these give
    is summed over all of them. Norms, embeddings and the output matrix are everywhere the same.

    With more processes than share the layers there are groups of these, each with the whole model and a share of
    the batch: rank r is member r mod n of group r div n. Gradients are summed over the groups once a step.

    Args:
        decoder: As in `ShardedWeights`.
        groups: As in `ShardedWeights`.
        matrices: As in `ShardedWeights`.
        world: The processes.
        together: How many of them share the layers.

    Raises:
        ConfigError: Heads, columns or processes cannot be shared out evenly.
    """

    averaged = False

    def __init__(
        self,
        decoder: Decoder,
        groups: Sequence[Group],
        matrices: Sequence[Matrix],
        world: TorchWorld,
        together: int | None = None,
    ) -> None:
        self._together = together or world.size
        super().__init__(decoder, groups, matrices, world)

    def place(self) -> Mapping[str, Any]:
        """Cut the layers."""
        config, size = self.decoder.config, self._together
        if self.size % size:
            raise ConfigError(
                f"torch.tensor_processes is {size}, which does not divide the {self.size} processes of the run",
                hint=f"start a multiple of {size}, or choose another number",
            )
        self.data_rank, self.data_size = self.rank // size, self.size // size
        self.mesh = init_device_mesh(self.device.type, (self.data_size, size), mesh_dim_names=("data", "tensor"))
        require_divisible("model.n_heads", config.n_heads, size)
        require_divisible("the number of key-value heads", config.kv_heads, size)
        require_divisible("the width of the feed-forward layer", config.ff_width, size)
        self.row_processes = size
        self._by_rows: set[str] = set()
        self._by_columns: set[str] = set()
        partial_biases: set[str] = set()
        for block in self.decoder.blocks:
            for linear in (block.attention.qkv, block.feed_forward.up):
                self._by_rows |= {f"{linear.name}.weight", f"{linear.name}.bias"}
            for linear in (block.attention.out, block.feed_forward.down):
                self._by_columns.add(f"{linear.name}.weight")
                partial_biases.add(f"{linear.name}.bias")
        parameters = {}
        for spec in self.decoder.parameters.specs:
            placements = [Replicate(), self._placement(spec.name)]
            part = self.part(spec, self.decoder.parameters, placements)
            # A copy: what is a view keeps the whole in memory.
            own = part.to(self.device, copy=True, memory_format=torch.contiguous_format)
            parameters[spec.name] = nn.Parameter(DTensor.from_local(own, self.mesh, placements, run_check=False))
        self.module = DecoderModule(config, parameters)
        positions = self.module.decoder.positions
        for layer, module in enumerate(self.module.blocks):
            module.block = _parallel(Block.make(layer, _share_of(config, size), positions), self.mesh["tensor"])
        self.module.live = LocalParameters(self.module.live, partial_biases, size)
        return parameters

    def counts(self, piece: int) -> bool:
        """What is the same everywhere counts in the first process."""
        if self.data_rank:
            return False
        return self.rank == 0 or not isinstance(self._parameters[piece].placements[1], Replicate)

    def _placement(self, name: str) -> Placement:
        if name in self._by_rows:
            return Shard(0)
        return Shard(1) if name in self._by_columns else Replicate()


def interleaved(spec: ParameterSpec, processes: int) -> torch.Tensor | None:
    """Order of the rows of a packed projection that gives every process its share of each of its parts.

    Queries, keys and values lie one after the other; process r needs the r-th share of each.

    Returns:
        Row i of what is spread out is row order[i] of the parameter. None: the order is the same.
    """
    if processes == 1 or len(spec.parts) < 2:
        return None
    starts = [sum(spec.parts[:i]) for i in range(len(spec.parts))]
    return torch.cat(
        [
            torch.arange(start + rank * part // processes, start + (rank + 1) * part // processes)
            for rank in range(processes)
            for start, part in zip(starts, spec.parts, strict=True)
        ]
    )


class LocalParameters(LiveParameters):
    """What the layers of this process compute with: its parts of the parameters.

    Args:
        whole: The parameters as DTensors.
        partial_biases: Biases that are added before the sum over the processes: each adds its share.
        size: Number of processes that share the layers.
    """

    def __init__(self, whole: LiveParameters, partial_biases: set[str], size: int) -> None:
        self._owners = whole._owners
        self._partial_biases = partial_biases
        self._size = size

    def __getitem__(self, name: str) -> Any:
        parameter = super().__getitem__(name)
        # A gradient is that of this group's share of the batch.
        if name in self._partial_biases:
            return parameter.to_local(grad_placements=[Partial(), Partial()]) / self._size
        return parameter.to_local(grad_placements=[Partial(), parameter.placements[1]])


class Parallel:
    """A sub-layer of which every process computes a part; its results are summed over all of them.

    Backward, the gradients of its input are.
    """

    def __init__(self, part: Any, mesh: Any) -> None:
        self._part = part
        self._mesh = mesh

    def __call__(self, x: Any, run: ForwardPass) -> Any:
        """(B, T, D) → (B, T, D)."""
        same = DTensor.from_local(x, self._mesh, [Replicate()], run_check=False)
        y = self._part(same.to_local(grad_placements=[Partial()]), run)
        total = DTensor.from_local(y, self._mesh, [Partial()], run_check=False)
        return total.redistribute(placements=[Replicate()]).to_local()


def _parallel(block: Block, mesh: Any) -> Any:
    """A block of the share of one process with the sums over all."""
    parts: dict[str, Any] = {
        "attention": Parallel(block.attention, mesh),
        "feed_forward": Parallel(block.feed_forward, mesh),
    }
    return replace(block, **parts)


def _share_of(config: ModelConfig, size: int) -> ModelConfig:
    """The architecture of a block's part: fewer heads of the same width, a narrower feed-forward layer."""
    return config.model_copy(
        update={
            "d_model": config.d_model // size,
            "n_heads": config.n_heads // size,
            "n_kv_heads": config.kv_heads // size,
            "d_ff": config.ff_width // size,
        }
    )


def _placed(tensor: Any, placements: Sequence[Placement]) -> Any:
    """A gradient placed as its parameter: what is partial is summed."""
    return tensor if tuple(tensor.placements) == tuple(placements) else tensor.redistribute(placements=placements)


def require_divisible(what: str, value: int, processes: int) -> None:
    """Refuse a number that cannot be shared out evenly.

    Raises:
        ConfigError: It cannot.
    """
    if value % processes:
        raise ConfigError(
            f"{what} is {value}, which {processes} processes cannot share evenly",
            hint=f"start a number of processes that divides {value}, or choose torch.parallel = fsdp",
        )
