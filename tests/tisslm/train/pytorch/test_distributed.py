"""Several processes that torchrun has started train as one would, here on CPUs with gloo."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

from quanta_tissu.tisslm import artifact
from quanta_tissu.tisslm.train import train
from quanta_tissu.tisslm.train.checkpoint import load_resumable

pytestmark = [pytest.mark.torch, pytest.mark.slow]

EVERYTHING = {"train.ema_decay": 0.9, "train.clip_value": 0.05, "train.label_smoothing": 0.1}
RELATIVE = 1e-5
MODES = ["ddp", "fsdp", "tensor"]


def curve(run: Path, kind: str, field: str) -> dict[int, float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line[field] for line in lines if line["kind"] == kind}


def assert_same_run(found: Path, expected: Path, steps=range(7)) -> None:
    """The same losses, gradient norms and validations, as far as `found` has been trained."""
    for kind, field in (("train", "loss"), ("train", "gradient_norm"), ("validation", "val_loss")):
        want = {step: value for step, value in curve(expected, kind, field).items() if step in steps}
        assert {s: v for s, v in curve(found, kind, field).items() if s in steps} == pytest.approx(
            want, rel=RELATIVE
        )


@pytest.fixture(scope="module")
def alone(configured, tmp_path_factory) -> Path:
    """What one process comes to."""
    run = tmp_path_factory.mktemp("alone") / "run"
    train(configured(EVERYTHING), run)
    return run


def arguments(settings: list[str], out: Path) -> list[str]:
    return [*(text for setting in settings for text in ("--set", setting)), "--out", str(out)]


@pytest.fixture(scope="module", params=MODES)
def together(request, overrides, tmp_path_factory, finish) -> tuple[str, Path, str]:
    """What two processes come to, in each mode: its name, the run, the output."""
    run = tmp_path_factory.mktemp(request.param) / "run"
    sharded = {"torch.sharded_checkpoints": "true"} if request.param != "ddp" else {}
    settings = overrides({**EVERYTHING, **sharded, "torch.parallel": request.param})
    command = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "quanta_tissu",
        "train",
    ]
    process = subprocess.Popen(
        [os.sys.executable, *command, *arguments(settings, run)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return request.param, run, finish(process)


def test_two_processes_equal_one(together, alone):
    mode, run, output = together
    assert_same_run(run, alone)
    assert output.count(f"2 processes ({mode})") == output.count("done after 6 steps") == 1  # one of them speaks


def test_their_weights_moments_and_average_are_those_of_one(together, alone):
    _, run, _ = together
    found, expected = load_resumable(run), load_resumable(alone)
    assert found.state.position == expected.state.position
    assert found.state.optimizer_steps == expected.state.optimizer_steps == 6
    assert set(found.buffers) == set(expected.buffers) == {"first_moment", "second_moment", "parameters"}
    pairs = [(found.buffers[name], expected.buffers[name]) for name in expected.buffers]
    pairs.append((found.artifact.decoder.parameters.flat, expected.artifact.decoder.parameters.flat))
    for one, other in pairs:
        np.testing.assert_allclose(one, other, atol=2e-4 * np.abs(other).max())


def test_another_engine_goes_on_with_their_run(together, alone, configured, tmp_path):
    mode, run, _ = together
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    resumed = load_resumable(copy / "step-3")
    assert (copy / "step-3" / "shards").is_dir() == (mode != "ddp")
    train(configured({**EVERYTHING, "train.engine": "fast"}), copy, resume=resumed)
    assert_same_run(copy, alone)


def test_their_best_model_is_one_directory(together, alone):
    _, run, _ = together
    read, expected = artifact.read(run / "best"), artifact.read(alone / "best")
    np.testing.assert_allclose(read.decoder.parameters.flat, expected.decoder.parameters.flat, atol=1e-4)


@pytest.mark.parametrize("mode", ["fsdp", "tensor"])
def test_muon_in_parts_equals_muon_in_one(mode, overrides, configured, torchrun, finish, tmp_path):
    muon = {"optimizer.name": "muon", "model.feed_forward": "swiglu", "model.d_ff": 44}
    train(configured(muon), tmp_path / "alone")
    finish(torchrun(*arguments(overrides({**muon, "torch.parallel": mode}), tmp_path / "run")))
    assert_same_run(tmp_path / "run", tmp_path / "alone")
    for found, expected in zip(
        *(load_resumable(tmp_path / run).buffers.values() for run in ("run", "alone")), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_groups_that_share_the_layers_share_out_the_batch(
    optimizer, overrides, configured, torchrun, finish, tmp_path
):
    everything = {**EVERYTHING, "optimizer.name": optimizer}
    train(configured(everything), tmp_path / "alone")
    pairs = {"torch.parallel": "tensor", "torch.tensor_processes": 2, "torch.sharded_checkpoints": "true"}
    finish(torchrun(*arguments(overrides({**everything, **pairs}), tmp_path / "run"), processes=4))
    assert_same_run(tmp_path / "run", tmp_path / "alone")
    found, expected = load_resumable(tmp_path / "run"), load_resumable(tmp_path / "alone")
    for name, buffer in expected.buffers.items():
        np.testing.assert_allclose(found.buffers[name], buffer, atol=2e-4 * np.abs(buffer).max())


def test_more_processes_than_sequences(overrides, configured, torchrun, finish, tmp_path):
    few = {"train.batch_size": 2, "train.max_steps": 3, "train.gradient_accumulation": 1}
    train(configured(few), tmp_path / "alone")
    settings = overrides({**few, "torch.parallel": "fsdp"})
    finish(torchrun(*arguments(settings, tmp_path / "three"), processes=3))
    assert_same_run(tmp_path / "three", tmp_path / "alone", range(4))


def rank_of(pid: int) -> str | None:
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return next((entry[5:].decode() for entry in entries if entry.startswith(b"RANK=")), None)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(condition, process, what: str):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if found := condition():
            return found
        assert process.poll() is None, f"ended before {what}: {process.communicate()[0]}"
        time.sleep(0.1)
    raise AssertionError(f"no {what}")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds a process by its rank in /proc")
def test_a_killed_process_ends_the_run_which_goes_on_from_the_last_checkpoint(
    overrides, configured, alone, torchrun, tmp_path
):
    run = tmp_path / "run"
    constant = {**EVERYTHING, "schedule.name": "constant", "schedule.warmup_steps": 2}
    settings = overrides({**constant, "torch.parallel": "ddp", "train.max_steps": 10**6, "torch.timeout": 30})
    process = torchrun(*arguments(settings, run))
    wait_for((run / "step-3" / "manifest.json").exists, process, "checkpoint")
    [victim] = [pid for pid in children(process.pid) if rank_of(pid) == "1"]
    os.kill(victim, signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "has lost another one" in output or "interrupted" in output
    assert "--resume" in output
    left = load_resumable(run)
    until = {**constant, "train.max_steps": left.state.step + 3}
    train(configured(until), run, resume=load_resumable(run))
    train(configured(until), tmp_path / "whole")
    assert_same_run(run, tmp_path / "whole", range(left.state.step + 4))


def test_ctrl_c_saves_and_all_processes_end_together(overrides, torchrun, tmp_path):
    run = tmp_path / "run"
    settings = overrides({"torch.parallel": "fsdp", "train.max_steps": 10**6})
    process = torchrun(*arguments(settings, run))
    wait_for((run / "step-3" / "manifest.json").exists, process, "checkpoint")
    process.send_signal(signal.SIGTERM)  # which torchrun passes on
    output, _ = process.communicate(timeout=60)
    assert "stopped after step" in output
    assert load_resumable(run).state.step >= 3


def test_processes_without_each_other_give_up(overrides, tmp_path, free_port):
    """A process whose companions never come says so after torch.timeout."""
    settings = overrides({"torch.parallel": "ddp", "torch.timeout": 5})
    world = {
        "RANK": "0",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free_port,
    }
    found = subprocess.run(
        [os.sys.executable, "-m", "quanta_tissu", "train", *arguments(settings, tmp_path / "run")],
        env=os.environ | world,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert found.returncode == 1
    assert f"process 0 cannot join the 2 of this run at 127.0.0.1:{free_port}" in found.stderr
    assert "GLOO_SOCKET_IFNAME" in found.stderr


@pytest.fixture
def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def nodes(address: str, port: str, node_address: str) -> list[str]:
    # Whether an agent is the host is told, because the name of this machine is not that of a network namespace.
    return [
        *(("--rdzv-conf", f"is_host={int(address == node_address)}") if address != "127.0.0.1" else ()),
        *("--nnodes", "2", "--rdzv-backend", "c10d", "--rdzv-id", "run", "--local-addr", node_address),
        *("--rdzv-endpoint", f"{address}:{port}"),
    ]


def test_two_agents_meet_on_one_machine(overrides, alone, torchrun, finish, tmp_path, free_port):
    run = tmp_path / "run"
    settings = arguments(overrides({**EVERYTHING, "torch.parallel": "ddp"}), run)
    launch = nodes("127.0.0.1", free_port, "127.0.0.1")
    agents = [torchrun(*settings, processes=1, launch=launch) for _ in range(2)]
    for agent in agents:
        finish(agent)
    assert_same_run(run, alone)


@pytest.fixture
def two_hosts():
    """Two network namespaces joined by a cable: (name, address, interface) of each."""
    tag = uuid.uuid4().hex[:6]
    hosts = [(f"tissu-{tag}-{i}", f"10.213.7.{i + 1}", f"ts{tag}{i}") for i in range(2)]
    (first, _, a), (second, _, b) = hosts
    commands = [f"ip netns add {name}" for name, _, _ in hosts]
    commands.append(f"ip link add {a} netns {first} type veth peer name {b} netns {second}")
    for name, address, interface in hosts:
        commands.append(f"ip -n {name} addr add {address}/24 dev {interface}")
        commands += [f"ip -n {name} link set {device} up" for device in (interface, "lo")]
    try:
        for command in commands:
            done = subprocess.run(command.split(), capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"network namespaces are not permitted here: {done.stderr.strip()}")
        yield hosts
    except FileNotFoundError:
        pytest.skip("network namespaces need the command ip")
    finally:
        for name, _, _ in hosts:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


@pytest.mark.netns
def test_two_hosts_meet_over_a_network(two_hosts, overrides, alone, torchrun, finish, tmp_path):
    run = tmp_path / "run"
    settings = arguments(overrides({**EVERYTHING, "torch.parallel": "fsdp"}), run)
    agents = [
        torchrun(
            *settings,
            processes=1,
            launch=nodes(two_hosts[0][1], "29417", address),
            prefix=("ip", "netns", "exec", name),
            environment={"GLOO_SOCKET_IFNAME": interface},
        )
        for name, address, interface in two_hosts
    ]
    for agent in agents:
        finish(agent)
    assert_same_run(run, alone)
