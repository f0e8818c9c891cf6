"""Models by name, and whose key goes where."""

from __future__ import annotations

import pytest

from quanta_tissu.errors import ModelError
from quanta_tissu.tisslang.llm.cassette import CassettePlayer, CassetteRecorder
from quanta_tissu.tisslang.llm.checkpoint import CheckpointModel
from quanta_tissu.tisslang.llm.mock import MockModel
from quanta_tissu.tisslang.llm.openai import EndpointModel, Price
from quanta_tissu.tisslang.llm.opening import KEYS_VARIABLE, key_of, open_model
from quanta_tissu.tisslm.config.load import load_config


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in ("OPENAI_API_KEY", KEYS_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def test_a_folder_is_a_checkpoint(stories, ask_for):
    model = open_model("stories", base=stories.parent, engine="reference")
    assert isinstance(model, CheckpointModel)
    assert model.name == "stories"
    assert model.generate(ask_for("Tim", max_tokens=2)).completion_tokens == 2


def test_a_mock_and_its_recording(tmp_path, ask_for):
    (tmp_path / "answers.yaml").write_text("- hello\n")
    assert isinstance(open_model("mock:answers.yaml", base=tmp_path), MockModel)
    recorder = open_model("cassette:calls.jsonl=mock:answers.yaml", base=tmp_path)
    assert isinstance(recorder, CassetteRecorder)
    recorder.generate(ask_for())
    player = open_model("cassette:calls.jsonl", base=tmp_path)
    assert isinstance(player, CassettePlayer)
    assert player.generate(ask_for()).text == "hello"


def test_a_server_gets_its_key_from_the_environment(server, monkeypatch, ask_for):
    monkeypatch.setenv(KEYS_VARIABLE, "127.0.0.1=sk-env")
    model = open_model(f"{server.url}#tiny", price=Price(1e6, 1e6))
    assert isinstance(model, EndpointModel)
    assert model.generate(ask_for()).cost == 16
    open_model(f"{server.url}#tiny", key="sk-given").generate(ask_for())
    assert [headers["Authorization"] for _, headers, _ in server.requests] == ["Bearer sk-env", "Bearer sk-given"]


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://api.example.com/v1", "sk-1"),
        ("https://API.example.com:444/v1", "sk-1"),
        ("https://my-host.org/v1", "sk-2=="),
        ("http://localhost:8000/v1", "sk-3"),
        ("https://my.org/v1", "sk-4"),
        ("https://my.org:443/v1", "sk-4"),
        ("https://my.org:444/v1", None),
        ("http://localhost:8001/v1", None),
        ("https://api.example.com.evil.org/v1", None),
        ("https://example.com/v1", None),
        ("https://my_host.org/v1", None),
        ("https://[::1]/v1", None),
    ],
)
def test_a_key_belongs_to_a_server(monkeypatch, url, key):
    """A script names the server, so it must not be able to choose who gets a key."""
    monkeypatch.setenv(
        KEYS_VARIABLE, "api.example.com=sk-1 My-Host.org=sk-2==\nlocalhost:8000=sk-3 my.org:443=sk-4"
    )
    assert key_of(url) == key


def test_some_services_have_a_variable_of_their_own(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "common")
    assert key_of("https://api.openai.com/v1") == "common"
    assert key_of("https://api-openai.com/v1") is None
    monkeypatch.setenv(KEYS_VARIABLE, "api.openai.com=own")
    assert key_of("https://api.openai.com/v1") == "own"


@pytest.mark.parametrize("text", ["sk-secret", "a= sk-secret", "=sk-secret", "https://a=sk-secret"])
def test_keys_that_belong_to_nobody_are_refused_without_showing_them(monkeypatch, text):
    monkeypatch.setenv(KEYS_VARIABLE, text)
    with pytest.raises(ModelError, match="entry 1 of TISSU_MODEL_KEYS") as refusal:
        open_model("https://a/v1#m")
    assert "secret" not in str(refusal.value)


def test_the_variable_is_no_setting(monkeypatch):
    monkeypatch.setenv(KEYS_VARIABLE, "a=b")
    assert load_config() is not None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "there is no model ''|cannot be opened"),
        ("runs/none", "there is no model 'runs/none'"),
        ("openai:gpt", "there is no model 'openai:gpt'"),
        ("http://localhost:1/v1", "names no model"),
        ("https://host:port/v1#m", "is no address of a server: Port"),
        ("mock:", "'mock:' names no file"),
        ("mock:none.yaml", "cannot read"),
        ("cassette:none.jsonl", "cannot read the cassette"),
        ("cassette:x.jsonl=nothing", "there is no model 'nothing'"),
    ],
)
def test_what_names_no_model_is_refused(tmp_path, spec, message):
    with pytest.raises(ModelError, match=message) as refusal:
        open_model(spec, base=tmp_path)
    assert refusal.value.hint
    assert not (tmp_path / "x.jsonl").exists()


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="empty cannot be opened"):
        open_model("empty", base=tmp_path)


class TestNamesInAScript:
    """A script names files of its project, and no others; and it writes none."""

    @pytest.fixture
    def root(self, tmp_path, ask_for):
        project = tmp_path / "project"
        project.mkdir()
        (tmp_path / "secrets.yaml").write_text("- the password is 1234\n")
        (project / "link.yaml").symlink_to(tmp_path / "secrets.yaml")
        (project / "answers.yaml").write_text("- hello\n")
        open_model("cassette:calls.jsonl=mock:answers.yaml", base=project).generate(ask_for())
        return project

    @pytest.mark.parametrize("name", ["../secrets.yaml", "link.yaml", "{outside}"])
    @pytest.mark.parametrize("kind", ["mock:", "cassette:", ""])
    def test_no_file_from_outside_is_read(self, root, name, kind):
        spec = kind + name.replace("{outside}", str(root.parent / "secrets.yaml"))
        with pytest.raises(ModelError, match="leads out of the project") as refusal:
            open_model(spec, base=root, confined=True)
        assert "1234" not in str(refusal.value)

    def test_no_file_is_written(self, root):
        with pytest.raises(ModelError, match="cannot have its model recorded"):
            open_model("cassette:new.jsonl=mock:answers.yaml", base=root, confined=True)
        assert not (root / "new.jsonl").exists()

    def test_those_of_the_project_are_used(self, root, ask_for):
        for spec in ("mock:answers.yaml", "cassette:calls.jsonl"):
            assert open_model(spec, base=root, confined=True).generate(ask_for()).text == "hello"

    def test_a_checkpoint_of_the_project_is_used(self, stories):
        assert isinstance(open_model(stories.name, base=stories.parent, confined=True), CheckpointModel)
