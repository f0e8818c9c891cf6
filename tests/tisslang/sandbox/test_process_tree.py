"""All processes of a command are found, counted and ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from quanta_tissu.tisslang.sandbox import process_tree


def in_process(code):
    """What a process of its own, a subreaper, prints as JSON: no process of the tests is touched."""
    begin = (
        "import json, os, signal, subprocess, sys, time\n"
        "from quanta_tissu.tisslang.sandbox import process_tree, system_calls\n"
        "system_calls.process_control(system_calls.SUBREAPER, 1)\n"
        "def until(true):\n"
        "    while not true():\n"
        "        time.sleep(0.01)\n"
        "def shell(text):\n"
        "    return subprocess.Popen(['sh', '-c', text], stdout=subprocess.PIPE)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", begin + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout)


def test_children_and_theirs_are_found_also_those_that_went_away():
    found = in_process("""
        child = shell("sleep 70 & setsid sh -c 'sleep 70 & echo; wait' & wait")
        child.stdout.readline()
        def names():
            try:
                return [open(f"/proc/{one}/comm").read().strip() for one in process_tree.descendants(os.getpid())]
            except OSError:  # one has ended meanwhile
                return []
        until(lambda: sorted(names()) == ["sh", "sh", "sleep", "sleep"])
        process_tree.end_all()
        print(json.dumps(process_tree.descendants(os.getpid())))
    """)
    assert found == []


def test_a_daemon_whose_parents_are_gone_is_ended():
    found = in_process("""
        child = shell("(setsid sleep 71 >/dev/null &) ; echo begun")
        child.wait()
        until(lambda: len(process_tree.descendants(os.getpid())) == 1)
        print(json.dumps([process_tree.end_all(), process_tree.descendants(os.getpid())]))
    """)
    assert found == [True, []]


def test_what_forks_without_end_does_not_outrun_it():
    found = in_process("""
        import resource
        shell("f() { sleep 0.01 & }; while :; do f; done 2>/dev/null")
        time.sleep(0.5)
        print(json.dumps([process_tree.end_all(), process_tree.descendants(os.getpid())]))
    """)
    assert found == [True, []]


def test_what_ignores_signals_is_ended():
    assert in_process("""
        child = shell("trap '' TERM HUP INT; echo; while :; do sleep 1; done")
        child.stdout.readline()
        print(json.dumps(process_tree.end_all()))
    """)


def test_what_a_killed_helper_left_is_known_by_its_pipe_or_its_session():
    ended = in_process("""
        read, write = os.pipe()
        by_pipe = subprocess.Popen(["sleep", "72"], pass_fds=[write])
        by_session = subprocess.Popen(["setsid", "sleep", "72"])
        reads = subprocess.Popen(["sleep", "72"], pass_fds=[read])
        until(lambda: os.getsid(by_session.pid) == by_session.pid)
        process_tree.end_orphans([os.fstat(read).st_ino], by_session.pid)
        print(json.dumps([by_pipe.wait(), by_session.wait(), reads.poll()]))
        reads.kill()
    """)
    assert ended == [-9, -9, None]


class TestUsage:
    def test_of_this_process(self):
        threads, memory = process_tree.usage([os.getpid()])
        assert threads >= 1
        assert memory > 1 << 20
        assert 0 < process_tree.exact_memory([os.getpid()]) <= memory * 1.2

    def test_shared_pages_count_once(self):
        plain, exact = in_process("""
            content = bytearray(os.urandom(1 << 20) * 60)
            children = []
            for _ in range(3):
                child = os.fork()
                if child == 0:
                    time.sleep(30)
                    os._exit(0)
                children.append(child)
            running = process_tree.descendants(os.getpid())
            print(json.dumps([process_tree.usage(running)[1], process_tree.exact_memory(running)]))
            process_tree.end_all()
        """)
        assert plain > 180 << 20
        assert exact < 100 << 20

    def test_a_process_that_is_gone_uses_nothing(self):
        assert process_tree.usage([2**22 + 1]) == (0, 0)
        assert process_tree.exact_memory([2**22 + 1]) == 0
        assert process_tree.descendants(2**22 + 1) == []

    def test_a_name_with_parentheses_and_spaces_is_no_trap(self):
        assert in_process("""
            import ctypes
            ctypes.CDLL(None).prctl(15, b"a) R 1 (b", 0, 0, 0)
            print(json.dumps(process_tree.usage([os.getpid()])[1] > 1 << 20))
        """)

    def test_threads_of_a_user(self):
        assert process_tree.threads_of(os.getuid()) >= 1
        assert process_tree.threads_of(3_999_999_999) == 0


@pytest.mark.parametrize("patience", [0.0])
def test_it_gives_up_and_says_so(patience):
    assert process_tree.end_all(patience) is False
