"""Models by name, and whose key goes where."""

from __future__ import annotations

import pytest

from quanta_tissu.errors import ModelError
from quanta_tissu.tisslang.llm.cassette import CassettePlayer, CassetteRecorder
from quanta_tissu.tisslang.llm.checkpoint import CheckpointModel
from quanta_tissu.tisslang.llm.mock import MockModel
from quanta_tissu.tisslang.llm.openai import EndpointModel, Price
from quanta_tissu.tisslang.llm.opening import key_of, open_model


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "TISSU_KEY_API_OPENAI_COM", "TISSU_KEY_127_0_0_1"):
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
    monkeypatch.setenv("TISSU_KEY_127_0_0_1", "sk-env")
    model = open_model(f"{server.url}#tiny", price=Price(1e6, 1e6))
    assert isinstance(model, EndpointModel)
    assert model.generate(ask_for()).cost == 16
    open_model(f"{server.url}#tiny", key="sk-given").generate(ask_for())
    assert [headers["Authorization"] for _, headers, _ in server.requests] == ["Bearer sk-env", "Bearer sk-given"]


@pytest.mark.parametrize(
    ("host", "variable"),
    [
        ("api.openai.com", "TISSU_KEY_API_OPENAI_COM"),
        ("API.openai.com:443", "TISSU_KEY_API_OPENAI_COM"),
        ("api-openai.com", "TISSU_KEY_API__OPENAI_COM"),
        ("localhost:8000", "TISSU_KEY_LOCALHOST"),
        ("api.openai.com", "OPENAI_API_KEY"),
    ],
)
def test_a_key_belongs_to_a_server(monkeypatch, host, variable):
    monkeypatch.setenv(variable, "sk")
    assert key_of(f"https://{host}/v1") == "sk"


@pytest.mark.parametrize(
    "host",
    [
        "api-openai.com",
        "api_openai.com",
        "api.openai.com.evil.org",
        "evil.org",
        "openai.com",
        "[::1]",
        "api_openai_com",
    ],
)
def test_no_other_server_gets_it(monkeypatch, host):
    """A script names the server, so it must not be able to choose who gets a key."""
    monkeypatch.setenv("TISSU_KEY_API_OPENAI_COM", "sk")
    monkeypatch.setenv("OPENAI_API_KEY", "sk")
    assert key_of(f"https://{host}/v1") is None


def test_its_own_variable_comes_before_the_common_one(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "common")
    monkeypatch.setenv("TISSU_KEY_API_OPENAI_COM", "own")
    assert key_of("https://api.openai.com/v1") == "own"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "there is no model ''|cannot be opened"),
        ("runs/none", "there is no model 'runs/none'"),
        ("openai:gpt", "there is no model 'openai:gpt'"),
        ("http://localhost:1/v1", "names no model"),
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
