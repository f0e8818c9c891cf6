"""`tissu chat`: through a pipe, and in a terminal with a person's fingers on the keys."""

import io
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from quanta_tissu.cli import chat_input
from quanta_tissu.cli.conversation import Conversation
from quanta_tissu.tisslm import LanguageModel, load
from quanta_tissu.tisslm.config import Config, GenerateConfig, ModelConfig
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.tokenizers import CharacterTokenizer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    tokenizer = CharacterTokenizer("".join(map(chr, range(32, 127))) + "\n")
    config = ModelConfig(vocab_size=tokenizer.vocab_size, context_length=64, n_layers=1, d_model=32, n_heads=4)
    decoder = Decoder.initialise(config, seed=1)
    decoder.parameters.flat[:] += np.random.default_rng(2).normal(size=decoder.parameters.flat.shape) * 0.2
    folder = tmp_path_factory.mktemp("runs") / "best"
    generate = GenerateConfig(max_new_tokens=8, temperature=0.0, banned_tokens=[0, 1, 2, 3])
    LanguageModel(decoder, tokenizer, Config(generate=generate)).save(folder)
    return str(folder)


@pytest.fixture
def pipe(tissu, checkpoint, monkeypatch):
    """Send lines as through a pipe and give what comes out."""

    def send(*lines: str, arguments: tuple[str, ...] = ()) -> str:
        stdin = io.BytesIO("".join(f"{line}\n" for line in lines).encode())
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin, encoding="utf-8"))
        outcome = tissu("chat", checkpoint, "--engine", "reference", *arguments)
        assert (outcome.code, outcome.err) == (0, "")
        return outcome.out

    return send


def answer(checkpoint: str, prompt: str, **settings) -> str:
    """What the model continues the text of a dialogue with."""
    return load(checkpoint, "reference").generate(prompt, stop=["\nUser:"], **settings).text.lstrip()


# -- the format --------------------------------------------------------------------------------------------------


def test_a_conversation_is_a_dialogue_to_continue():
    conversation = Conversation()
    assert conversation.prompt("Hello") == "User: Hello\nAssistant:"
    conversation.add("Hello", " Hi! \n")
    assert conversation.prompt("Bye") == "User: Hello\nAssistant: Hi!\nUser: Bye\nAssistant:"
    assert conversation.text() == "User: Hello\nAssistant: Hi!\n"
    assert conversation.stop == ["\nUser:"]


def test_names_can_be_chosen():
    conversation = Conversation(user="ROMEO", assistant="JULIET")
    assert conversation.prompt("Ay me") == "ROMEO: Ay me\nJULIET:"
    assert conversation.stop == ["\nROMEO:"]


def test_a_raw_conversation_is_what_was_typed_and_its_continuation():
    conversation = Conversation(raw=True)
    assert conversation.prompt("Once ") == "Once "
    conversation.add("Once ", "upon a time")
    assert conversation.prompt("there") == "Once upon a time\nthere"
    assert conversation.stop == []


# -- through a pipe ----------------------------------------------------------------------------------------------


def test_messages_are_answered_in_the_light_of_those_before(pipe, checkpoint):
    first = answer(checkpoint, "User: hello\nAssistant:")
    second = answer(checkpoint, f"User: hello\nAssistant: {first.strip()}\nUser: and\nmore\nAssistant:")
    assert pipe("hello", "", "and\\", "more") == f"{first}\n{second}\n"


def test_a_real_pipe_gives_the_same(pipe, checkpoint, tissu_process):
    process = tissu_process("chat", checkpoint, "--engine", "reference", stdin=subprocess.PIPE)
    out, err = process.communicate("hello\nand more", timeout=60)  # the last line may lack its end
    assert (process.returncode, err) == (0, "")
    assert out == pipe("hello", "and more")


def test_ctrl_c_leaves_where_nobody_is_typing(checkpoint, tissu_process):
    process = tissu_process("chat", checkpoint, "--engine", "reference", stdin=subprocess.PIPE)
    process.stdin.write("hello\n")
    process.stdin.flush()
    process.stdout.readline()  # the answer is there, the next message is not
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert process.stderr.read().strip() == "interrupted"


def test_raw_messages_are_continued_as_they_are(pipe, checkpoint):
    want = load(checkpoint, "reference").generate("To be, ").text
    assert pipe("To be, ", arguments=("--raw",)) == f"{want}\n"


def test_two_slashes_begin_a_message_with_a_slash(pipe, checkpoint):
    assert pipe("//help") == answer(checkpoint, "User: /help\nAssistant:") + "\n"


def test_settings_change_while_talking(pipe, checkpoint):
    out = pipe("/set max_new_tokens=3", "hello")
    assert out == "max_new_tokens = 3\n" + answer(checkpoint, "User: hello\nAssistant:", max_new_tokens=3) + "\n"


def test_settings_from_options_hold(pipe, checkpoint):
    out = pipe("hello", arguments=("--max-new-tokens", "5", "--user", "User"))
    assert out == answer(checkpoint, "User: hello\nAssistant:", max_new_tokens=5) + "\n"


def test_a_seed_makes_a_conversation_repeatable_but_not_repetitive(pipe):
    lines = ("/set temperature=1.0", "/set seed=1", "/set max_new_tokens=12", "hello", "/reset", "hello", "hello")
    out = pipe(*lines)
    assert pipe(*lines) == out
    first, _, again, other = out.splitlines()[3:7]
    assert first == again
    assert other != first


def test_the_model_stops_where_it_begins_the_users_line(pipe, checkpoint):
    ids = load(checkpoint).tokenizer.encode("Yes.\nUser: me again")
    forced = [part for token in ids for part in ("--forced-tokens", str(token))]
    assert pipe("hello", arguments=("--max-new-tokens", "30", *forced)) == "Yes.\n"


def test_a_special_token_that_the_model_spells_out_does_not_end_the_conversation(pipe, checkpoint):
    ids = load(checkpoint).tokenizer.encode("a")
    spelled = [*ids, *(load(checkpoint).tokenizer.encode(c)[0] for c in "<|eos|>"), *ids]
    out = pipe(f"/set forced_tokens={spelled}", "/set max_new_tokens=9", "hello", "hello").splitlines()
    assert out[2:] == ["a<|eos|>a", "a<|eos|>a"]


def test_show_lists_settings_and_how_full_the_context_is(pipe):
    out = pipe("hello", "/set top_k=7", "/show")
    assert re.search(r"top_k +7 +changed", out)
    assert re.search(r"temperature +0\.0 *\n", out)
    assert re.search(r"conversation: 1 answer, \d+ tokens of a context of 64", out)
    assert "num_samples" not in out


def test_save_writes_the_conversation(pipe, checkpoint, tmp_path):
    text, data = tmp_path / "talk.txt", tmp_path / "talk.json"
    out = pipe("hello", f"/save {text}", "/set top_k=3", f"/save {data}", f"/save {text}")
    said = answer(checkpoint, "User: hello\nAssistant:").strip()
    assert text.read_text() == f"User: hello\nAssistant: {said}\n"
    content = json.loads(data.read_text())
    assert (content["checkpoint"], content["turns"]) == (checkpoint, [{"message": "hello", "answer": said}])
    assert content["settings"]["top_k"] == 3
    assert f"cannot write {text}: File exists" in out


def test_reset_forgets(pipe, checkpoint):
    out = pipe("hello", "/reset", "hello").splitlines()
    assert out[0] == out[2] == answer(checkpoint, "User: hello\nAssistant:")


def test_quit_leaves_and_help_lists_every_command(pipe):
    out = pipe("/help", "/quit", "hello")
    assert set(re.findall(r"^(/\w+)", out, re.MULTILINE)) == {"/set", "/show", "/save", "/reset", "/help", "/quit"}
    assert out.rstrip().endswith("clear the line.")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/shwo", "did you mean /show?"),
        ("/dance", "there is no command /dance"),
        ("/set", "/set takes a value"),
        ("/show all", "/show takes no value"),
        ("/set temperature", "not of the form NAME=VALUE"),
        ("/set temperature=", "not of the form NAME=VALUE"),
        ("/set temperature=-1", "generate.temperature = -1 (/set): must be a number, at least 0"),
        ("/set temperatur=1", "did you mean generate.temperature?"),
        ("/set stop=[", "/set stop=["),
        ("/set num_samples=2", "num_samples cannot be set here: a chat has one answer at a time"),
        ("/save /nonexistent/talk.txt", "No such file or directory"),
        ("say <|eos|>", "special token"),
    ],
)
def test_a_mistake_is_explained_and_the_chat_goes_on(pipe, checkpoint, line, message):
    out = pipe(line, "hello")
    assert "error: " in out
    assert message in out
    assert out.endswith("\n" + answer(checkpoint, "User: hello\nAssistant:") + "\n")


def test_input_that_is_no_text_is_an_error(checkpoint, tissu, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9\n"), encoding="utf-8"))
    outcome = tissu("chat", checkpoint)
    assert outcome.code == 1
    assert "standard input is not UTF-8 text" in outcome.err


def test_settings_without_meaning_are_refused(checkpoint, tissu, monkeypatch):
    assert tissu("chat", checkpoint, "--num-samples", "2").code == 2
    monkeypatch.setenv("TISSU_GENERATE__NUM_SAMPLES", "2")
    outcome = tissu("chat", checkpoint)
    assert (outcome.code, "one answer at a time" in outcome.err) == (2, True)


# -- in a terminal -----------------------------------------------------------------------------------------------


class Terminal:
    """A chat in a pseudo-terminal."""

    def __init__(self, process: int, screen: int) -> None:
        self.process, self._screen, self.seen, self._raw = process, screen, "", b""

    def type(self, keys: str) -> None:
        os.write(self._screen, keys.encode())

    def wait_for(self, pattern: str, seconds: float = 30) -> str:
        """Read until what came since the last match has the pattern."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.seen)):
            if not self._read(end):
                raise AssertionError(f"no {pattern!r} in {self.seen!r}")
        text, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return text

    def leave(self, seconds: float = 30) -> int:
        """Press Ctrl-D at the prompt; the exit code."""
        self.wait_for(PROMPT)
        self.type("\x04")
        return self.wait_for_the_end(seconds)

    def wait_for_the_end(self, seconds: float = 30) -> int:
        """The exit code."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._read(time.monotonic() + 0.05)  # or it could wait for us to empty the screen's buffer
            process, status = os.waitpid(self.process, os.WNOHANG)
            if process:
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"still running after {self.seen!r}")

    def _read(self, end: float) -> bool:
        ready, _, _ = select.select([self._screen], [], [], max(0, end - time.monotonic()))
        try:
            data = os.read(self._screen, 4096) if ready else b""
        except OSError:  # how Linux says that the other side is gone
            data = b""
        # Cursor movements and colours are not what is tested here; what may be half of one waits for the rest.
        self._raw += data
        half = re.search(rb"\x1b[^a-zA-Z=>]*$", self._raw)
        whole = half.start() if half else len(self._raw)
        text, self._raw = self._raw[:whole], self._raw[whole:]
        self.seen += re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|[=>])", "", text.decode(errors="replace"))
        return bool(data)


@pytest.fixture
def terminal(checkpoint, tmp_path, monkeypatch):
    pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PROMPT_TOOLKIT_NO_CPR", "1")
    monkeypatch.setenv("TERM", "xterm")
    running = []

    @contextmanager
    def start(*arguments: str) -> Iterator[Terminal]:
        process, screen = pty.fork()
        if process == 0:
            os.environ["COLUMNS"], os.environ["LINES"] = "100", "30"
            command = [
                sys.executable,
                "-m",
                "quanta_tissu",
                "chat",
                checkpoint,
                "--engine",
                "reference",
                *arguments,
            ]
            os.execv(sys.executable, command)
        running.append((process, screen))
        chat = Terminal(process, screen)
        chat.wait_for("/help lists the commands")
        chat.wait_for(PROMPT)
        yield chat

    yield start
    for process, screen in running:
        os.close(screen)
        try:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


PROMPT = r"\n>"
ENDLESS = ("--max-new-tokens", "1000000", "--no-stop-at-eos")


def test_ctrl_c_stops_the_answer_and_not_the_program(terminal):
    with terminal(*ENDLESS) as chat:
        chat.type("hello\r")
        chat.wait_for(r"hello[^>]*\n.{20}")
        chat.type("\x03")
        chat.wait_for(r"\[stopped\]")
        chat.wait_for(PROMPT)
        chat.type("/set max_new_tokens=4\r")
        chat.wait_for("max_new_tokens = 4")
        chat.type("/show\r")
        chat.wait_for("conversation: 1 answer")
        assert chat.leave() == 0


def test_ctrl_c_at_the_prompt_clears_the_line_and_ctrl_d_leaves(terminal):
    with terminal() as chat:
        chat.type("half a mess")
        chat.wait_for("half a mess")
        chat.type("\x03")
        chat.wait_for(r"Ctrl-D leaves\)")
        assert chat.leave() == 0


def test_a_backslash_and_alt_enter_start_new_lines(terminal, tmp_path):
    saved = tmp_path / "talk.json"
    with terminal() as chat:
        chat.type("one\\\rtwo\x1b\rthree\r")
        chat.wait_for("three")
        chat.type(f"/save {saved}\r")
        chat.wait_for("saved 1 answer")
        chat.type("/quit\r")
        assert chat.wait_for_the_end() == 0
    assert json.loads(saved.read_text())["turns"][0]["message"] == "one\ntwo\nthree"


def test_lines_are_remembered_from_one_chat_to_the_next(terminal, tmp_path):
    with terminal() as chat:
        chat.type("/set top_k=13\r")
        chat.wait_for("top_k = 13")
        chat.leave()
    history = tmp_path / "state" / "tissu" / "chat_history"
    assert "/set top_k=13" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0
    with terminal() as chat:
        chat.type("\x1b[A\r")  # the up arrow brings the last line back
        chat.wait_for("top_k = 13")


def test_the_tab_key_completes_commands_and_settings(terminal):
    with terminal() as chat:
        chat.type("/se\t")
        chat.wait_for("/set")
        chat.type(" min_p\t")
        chat.wait_for("min_p=")
        chat.type("0.25\r")
        chat.wait_for(r"min_p = 0\.25")


def test_a_state_folder_that_cannot_be_written_is_mentioned_and_no_more(tmp_path, monkeypatch, capsys):
    (tmp_path / "state").write_text("a file, not a folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    history = chat_input.history("chat_history")
    history.append_string("kept in memory")
    assert "what you type is not remembered" in capsys.readouterr().err


def test_without_xdg_state_home_the_history_is_in_the_home_folder(monkeypatch):
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert chat_input.history_file() == Path.home() / ".local" / "state" / "tissu" / "chat_history"
