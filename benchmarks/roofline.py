"""What this machine can do in float32: arithmetic, matrix products, memory.

    python benchmarks/roofline.py [--json]

Everything is the best of many repetitions within a fixed time, for one thread and for one per core:

    fma        fused multiply-adds on registers alone: what the cores could do if data were always there
    products   BLAS, each thread on products of its own (as replicas train), and one product shared by all threads
    memory     bytes read (scalar products of long vectors), written (filled), and copied (read and written)

The products are those of a training step: (tokens, in) @ (in, out) for a replica's share, and square ones.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sides import environment
from threadpoolctl import threadpool_limits

from quanta_tissu.tisslm.engine.threads import available_cores
from quanta_tissu.tisslm.inspect.profile.machine import best_seconds, product_gflops, read_gbs

SHAPES = {
    "12×64, width 128": (384, 128, 512),
    "8×256, width 384": (1024, 384, 1536),
    "124M, up": (512, 768, 3072),
    "124M, head": (512, 768, 50304),
    "square 512": (512, 512, 512),
    "square 1024": (1024, 1024, 1024),
    "square 2048": (2048, 2048, 2048),
}
SECONDS = 0.5

_ACCUMULATORS = 12  # enough to hide the latency of two units of four or five cycles
_MEBIBYTE = 1 << 20
_WRITTEN = 128 * _MEBIBYTE


def fma_kernel() -> tuple[Callable[[int], float], int]:
    """A compiled loop of independent vector multiply-adds, and the operations of one turn of it.

    Written in LLVM's own terms, because a loop over numbers would be optimised away or not be vectors.
    """
    import numba
    from llvmlite import binding, ir
    from numba import types
    from numba.extending import intrinsic

    features = binding.get_host_cpu_features()
    width = 16 if features.get("avx512f") else 8 if features.get("avx2") else 4

    @intrinsic
    def chain(context: Any, rounds: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            real = ir.FloatType()
            vector = ir.VectorType(real, width)
            kind = ir.FunctionType(vector, [vector] * 3)
            name = f"llvm.fma.v{width}f32"
            fma = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)

            def constant(value: float) -> ir.Constant:
                return ir.Constant(vector, [ir.Constant(real, value)] * width)

            before = builder.block
            loop, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
            builder.branch(loop)
            builder.position_at_end(loop)
            turn = builder.phi(ir.IntType(64))
            sums = [builder.phi(vector) for _ in range(_ACCUMULATORS)]
            new = [builder.call(fma, [each, constant(0.999), constant(0.001)]) for each in sums]
            following = builder.add(turn, ir.Constant(ir.IntType(64), 1))
            turn.add_incoming(ir.Constant(ir.IntType(64), 0), before)
            turn.add_incoming(following, loop)
            for number, (each, value) in enumerate(zip(sums, new, strict=True)):
                each.add_incoming(constant(1 + number / 16), before)
                each.add_incoming(value, loop)
            builder.cbranch(builder.icmp_signed("<", following, arguments[0]), loop, after)
            builder.position_at_end(after)
            total = new[0]
            for value in new[1:]:
                total = builder.fadd(total, value)
            return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

        return types.float32(types.int64), generate

    @numba.njit(nogil=True)
    def run(rounds: int) -> float:
        return chain(rounds)

    run(np.int64(1))
    return run, 2 * width * _ACCUMULATORS


def fma_gflops(threads: int) -> float:
    """10⁹ operations a second of multiply-adds on registers."""
    run, operations = fma_kernel()
    rounds = 1_000_000
    seconds = best_seconds([partial(run, np.int64(rounds))] * threads, SECONDS)
    return operations * rounds * threads / seconds / 1e9


def shared_gflops(shape: tuple[int, int, int], threads: int) -> float:
    """10⁹ operations a second of one product after the other, each shared by all of BLAS's threads."""
    M, K, N = shape
    rng = np.random.default_rng(0)
    a, b = rng.random((M, K), np.float32), rng.random((K, N), np.float32)
    out = np.empty((M, N), np.float32)

    with threadpool_limits(threads, user_api="blas"):
        np.matmul(a, b, out=out)
        best, end = float("inf"), time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            start = time.perf_counter()
            np.matmul(a, b, out=out)
            best = min(best, time.perf_counter() - start)
    return 2 * M * K * N / best / 1e9


def written_gbs(threads: int, *, copied: bool = False) -> float:
    """10⁹ bytes a second written, or read and written by copying."""
    size = _WRITTEN // 4 // threads
    targets = [np.zeros(size, np.float32) for _ in range(threads)]
    if copied:
        tasks = [partial(np.copyto, target, np.ones(size, np.float32)) for target in targets]
    else:
        tasks = [partial(target.fill, 1.0) for target in targets]
    return (2 if copied else 1) * 4 * size * threads / best_seconds(tasks, SECONDS) / 1e9


def measure() -> dict[str, Any]:
    """Everything, for one thread and for all."""
    cores = available_cores()
    counts = sorted({1, cores})
    products = {
        name: {
            "shape": shape,
            "separate": {str(n): round(product_gflops(shape, n, seconds=SECONDS), 1) for n in counts},
            "shared": {str(n): round(shared_gflops(shape, n), 1) for n in counts},
        }
        for name, shape in SHAPES.items()
    }
    return {
        "environment": environment(),
        "fma": {str(n): round(fma_gflops(n), 1) for n in counts},
        "products": products,
        "memory": {
            "read": {str(n): round(read_gbs(n, seconds=SECONDS), 1) for n in counts},
            "written": {str(n): round(written_gbs(n), 1) for n in counts},
            "copied": {str(n): round(written_gbs(n, copied=True), 1) for n in counts},
        },
    }


def table(report: dict[str, Any]) -> str:
    """The report as text."""
    counts = list(report["fma"])
    head = "".join(f"{f'{n} thread' + ('s' if n != '1' else ''):>12}" for n in counts)
    lines = ["  ".join(f"{name} {value}" for name, value in report["environment"].items())]
    lines += [f"{'GFLOP/s':26}{head}", f"{'fused multiply-adds':26}{_figures(report['fma'])}"]
    for name, product in report["products"].items():
        M, K, N = product["shape"]
        lines.append(f"{name}: ({M}, {K}) @ ({K}, {N})")
        for how in ("separate", "shared"):
            lines.append(f"{'  ' + how:26}{_figures(product[how])}")
    lines.append(f"{'GB/s':26}{head}")
    lines += [f"{name:26}{_figures(rates)}" for name, rates in report["memory"].items()]
    return "\n".join(lines)


def _figures(rates: dict[str, float]) -> str:
    return "".join(f"{rate:12.1f}" for rate in rates.values())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments = parser.parse_args()
    report = measure()
    print(json.dumps(report) if arguments.json else table(report))


if __name__ == "__main__":
    main()
