"""`tissu db serve` and `token`."""

from __future__ import annotations

import json
import re
import shutil
import signal
import ssl
import subprocess

import httpx
import pytest


@pytest.fixture
def served(tissu_process):
    """Start a server: `served(DB, ...)` gives its process and address."""
    started = []

    def start(*args: str):
        process = tissu_process("db", "serve", *args, "--port", "0")
        started.append(process)
        line = process.stderr.readline()
        address = re.search(r"https?://\S+", line)
        assert address, line + process.stderr.read()
        return process, address[0]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_database_is_served_until_ctrl_c(served, notes):
    process, address = served(notes)
    assert httpx.get(f"{address}/v1/notes/notes/documents/first").json()["title"] == "A first note"
    assert httpx.post(f"{address}/v1/notes/notes", json={"n": 1}).status_code == 201
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode in (0, 130)


def test_with_a_certificate_it_speaks_https_and_asks_for_tokens(served, tissu, notes, tmp_path, unavailable):
    if shutil.which("openssl") is None:
        unavailable("there is no openssl, which makes a certificate (apt-get install openssl)")
    key, cert, tokens = (str(tmp_path / name) for name in ("key.pem", "cert.pem", "tokens.json"))
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*made, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    token = tissu("db", "token", "add", tokens, "ada", "--grant", "notes=reader").out.strip()
    _, address = served(notes, "--tokens", tokens, "--tls-cert", cert, "--tls-key", key)
    assert address.startswith("https://")
    with httpx.Client(verify=ssl.create_default_context(cafile=cert)) as client:
        url = f"{address}/v1/notes/notes/documents/first"
        assert client.get(url).status_code == 401
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get(url, headers=headers).status_code == 200
        assert client.delete(url, headers=headers).status_code == 403
        tissu("db", "token", "revoke", tokens, "ada")
        assert client.get(url, headers=headers).status_code == 401


def test_tokens_are_made_listed_and_revoked(tissu, tmp_path):
    file = str(tmp_path / "tokens.json")
    made = json.loads(tissu("db", "token", "add", file, "ada", "--grant", "a=writer", "--days", "2", "--json").out)
    assert made["token"].startswith("tissu_")
    tissu("db", "token", "add", file, "bob", "--grant", "*=reader")
    ada, bob = json.loads(tissu("db", "token", "list", file, "--json").out)
    assert ada["expires"] - ada["created"] == pytest.approx(2 * 86_400)
    assert (bob["grants"], bob["expires"]) == ({"*": "reader"}, None)
    out = tissu("db", "token", "list", file).out
    assert "until revoked" in out
    assert "a=writer" in out
    assert tissu("db", "token", "revoke", file, "ada").out == "revoked ada\n"
    assert "ada" not in tissu("db", "token", "list", file).out


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["serve", "none.db"], "no folder and no database none.db"),
        (["serve", "DB", "--host", "0.0.0.0"], "everybody who reaches 0.0.0.0"),
        (["serve", "DB", "--tls-cert", "x"], "both a certificate and its key"),
        (["serve", "DB", "--tls-cert", "x", "--tls-key", "y"], "there is no file x"),
        (["serve", "DB", "--tokens", "none.json"], "`tissu db token add` makes one"),
        (["serve", "DB", "--port", "99999"], "is not in the range"),
        (["token", "add", "FILE", "ada"], "can do nothing"),
        (["token", "add", "FILE", "ada", "--grant", "a"], "--grant a is no grant"),
        (["token", "add", "FILE", "ada", "--grant", "a=king"], "no role"),
        (["token", "list", "FILE"], "cannot be read"),
        (["token", "revoke", "FILE", "ada"], "cannot be read"),
    ],
)
def test_what_is_wrong_is_said(tissu, notes, tmp_path, args, says):
    files = {"DB": notes, "FILE": str(tmp_path / "tokens.json")}
    outcome = tissu("db", *(files.get(arg, arg) for arg in args))
    assert outcome.code in (1, 2)
    assert says in outcome.err


def test_a_port_that_is_taken_is_said(served, tissu, notes):
    _, address = served(notes)
    outcome = tissu("db", "serve", notes, "--port", address.rpartition(":")[2])
    assert outcome.code == 1
    assert "cannot be listened on" in outcome.err


def test_without_the_extra_it_says_what_to_install(tissu, notes, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    outcome = tissu("db", "serve", notes)
    assert outcome.code == 1
    assert "pip install 'quanta-tissu[server]'" in outcome.err


TOKEN = {"id": "1", "name": "ada", "hash": "00", "grants": {"a": "reader"}, "created": 1.0}


@pytest.mark.parametrize(
    "content",
    [
        "[1]",
        "",
        "{}",
        '{"tokens": [1]}',
        *(
            json.dumps({"tokens": [TOKEN | wrong]})
            for wrong in (
                {"id": 1},
                {"hash": None},
                {"grants": {"a": "god"}},
                {"expires": "x"},
                {"created": "x"},
                {"more": 1},
            )
        ),
    ],
)
def test_a_file_of_tokens_that_people_have_edited_wrongly(tissu, tmp_path, content):
    file = tmp_path / "tokens.json"
    file.write_text(content)
    for command in (["list"], ["list", "--json"], ["add", "bob", "--grant", "a=reader"], ["revoke", "ada"]):
        outcome = tissu("db", "token", command[0], str(file), *command[1:])
        assert outcome.code == 1
        assert "tokens.json is no file of tokens" in outcome.err
    assert file.read_text() == content


def test_tokens_that_are_made_at_the_same_time_are_all_kept(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    from quanta_tissu.tissdb.server.tokens import TokenFile

    file = tmp_path / "tokens.json"
    with ThreadPoolExecutor(8) as pool:  # one object each, as processes have
        made = list(pool.map(lambda n: TokenFile(file).add(f"client {n}", {"a": "reader"}), range(24)))
    known = TokenFile(file)
    assert len(known.tokens()) == 24
    assert all(known.find(token) for token in made)


def test_what_is_no_database_is_not_served(tissu, tmp_path):
    (tmp_path / "picture.png").write_bytes(bytes(range(256)) * 40)
    outcome = tissu("db", "serve", str(tmp_path / "picture.png"), "--port", "0")
    assert outcome.code == 1
    assert "is no database" in outcome.err
    assert "serving" not in outcome.err


def test_a_certificate_that_is_none_is_said_before_anything_is_served(tissu, notes, tmp_path):
    (tmp_path / "cert").write_text("no certificate")
    files = ("--tls-cert", str(tmp_path / "cert"), "--tls-key", str(tmp_path / "cert"))
    outcome = tissu("db", "serve", notes, "--port", "0", *files)
    assert outcome.code == 2
    assert "are no certificate with its key" in outcome.err
    assert "serving" not in outcome.err


def test_a_port_that_is_taken_has_advice(tissu, notes):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = tissu("db", "serve", notes, "--port", str(taken.getsockname()[1]))
    assert outcome.code == 1
    assert "--port names another one" in outcome.err
