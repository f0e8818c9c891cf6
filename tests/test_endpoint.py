"""What clients of servers share: keys stay where they belong, streams come as they are sent, waiting can end."""

from __future__ import annotations

import http.server
import json
import threading
import time

import pytest

from quanta_tissu.endpoint import Cancelled, Endpoint, Refusal
from quanta_tissu.errors import ConfigError, ModelError


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.requests.append((self.path, dict(self.headers)))
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answers.pop(0)(self)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        running.requests, running.answers = [], []
        running.url = f"http://127.0.0.1:{running.server_port}/ask"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def endpoint(url, key=None, timeout=10.0, tries=4):
    return Endpoint(url, key=key, timeout=timeout, tries=tries, error=ModelError, does="answer")


def saying(code, text, **headers):
    def answer(handler):
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(text if isinstance(text, bytes) else text.encode())

    return answer


def events(*lines):
    return saying(200, "".join(lines), Content_Type="text/event-stream")


def test_events_of_a_stream_come_as_they_are_sent(server):
    server.answers = [events("event: x\n", 'data: {"a": 1}\n\n', ": note\n\n", "data: {\r\ndata:  }\r\n\r\n", "data: [DONE]\n\n", "data: {\n\n")]  # fmt: skip  # noqa: E501
    assert list(endpoint(server.url).stream({})) == [{"a": 1}, {}]


def test_a_server_that_does_not_stream_gives_one_event(server):
    server.answers = [saying(200, '{"a": 1}', Content_Type="application/json")]
    assert list(endpoint(server.url).stream({})) == [{"a": 1}]


def test_what_is_no_json_is_refused(server):
    server.answers = [events("data: nonsense\n\n"), saying(200, "<html>")]
    for _ in range(2):
        with pytest.raises(ModelError, match="is not what was asked for"):
            list(endpoint(server.url).stream({}))


def test_a_busy_server_is_asked_again_after_the_time_that_it_says(server):
    server.answers = [saying(503, "", Retry_After="0"), saying(429, "", Retry_After="0"), saying(200, "[]")]
    assert list(endpoint(server.url).stream({})) == [[]]
    server.answers = [saying(500, "broken", Retry_After="0")] * 2
    with pytest.raises(Refusal) as refusal:
        list(endpoint(server.url, tries=2).stream({}))
    assert (refusal.value.code, refusal.value.said) == (500, "broken")


def test_a_connection_that_breaks_is_made_again_unless_something_was_used(server):
    half = saying(200, '{"a"', Content_Length="100")
    server.answers = [half, saying(200, "[1]")]
    assert list(endpoint(server.url).stream({})) == [[1]]
    server.answers = [half, saying(200, "[1]")]
    with pytest.raises(ModelError, match="cannot reach"):
        list(endpoint(server.url).stream({}, again=lambda: False))


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_key_follows_a_redirection(server, code):
    server.answers = [saying(code, "", Location=f"{server.url}/elsewhere")] * 2
    with pytest.raises(ModelError, match=rf"answered {code}: what is asked for is at .*/elsewhere") as refusal:
        endpoint(server.url, key="sk-secret").post({})
    assert "sk-secret" not in str(refusal.value)
    assert [path for path, _ in server.requests] == ["/ask"]


def test_a_key_is_sent_and_never_shown(server):
    server.answers = [saying(401, "wrong key: sk-secret!")] * 2
    asked = endpoint(server.url, key="sk-secret")
    with pytest.raises(ModelError, match=r"wrong key: \(the key\)!") as refusal:
        asked.post({})
    assert server.requests[0][1]["Authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in repr(asked) + repr(refusal.value) + str(refusal.value.hint)
    with pytest.raises(Refusal) as refused:
        list(asked.stream({}))
    assert "sk-secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["localhost:80", "ftp://x", "http://user:secret@host/v1"])
def test_an_address_that_is_none_or_has_a_password_is_refused(url):
    with pytest.raises(ConfigError) as refusal:
        endpoint(url)
    assert "secret" not in str(refusal.value)


def test_a_key_with_a_line_break_is_refused_without_showing_it():
    with pytest.raises(ConfigError, match="characters that no key has") as refusal:
        endpoint("http://x", key="sk-secret\r\nX-Evil: 1")
    assert "secret" not in str(refusal.value)


def test_what_takes_too_long_is_given_up(server):
    server.answers = [lambda handler: time.sleep(1)]
    with pytest.raises(ModelError, match="timed out"):
        endpoint(server.url, timeout=0.1, tries=1).post({})


class TestCancelling:
    """An answer that is not wanted any more ends at once, wherever it is."""

    def gives_up(self, server, answer, **settings):
        server.answers = [answer] * 4
        cancelled = threading.Event()
        threading.Timer(0.1, cancelled.set).start()
        start = time.monotonic()
        with pytest.raises(Cancelled):
            list(endpoint(server.url, **settings).stream({}, cancelled=cancelled))
        return time.monotonic() - start

    def test_before_the_first_byte(self, server):
        assert self.gives_up(server, lambda handler: time.sleep(20)) < 10

    def test_within_a_stream(self, server):
        def slow(handler):
            events('data: {"a": 1}\n\n')(handler)
            handler.wfile.flush()
            time.sleep(20)

        assert self.gives_up(server, slow) < 10

    def test_within_an_answer_that_is_no_stream(self, server):
        def slow(handler):
            saying(200, b'{"a": ', Content_Length="100")(handler)
            time.sleep(20)

        assert self.gives_up(server, slow) < 10

    def test_while_waiting_for_a_busy_server(self, server):
        assert self.gives_up(server, saying(503, "", Retry_After="30")) < 10

    def test_before_anything_is_sent(self, server):
        cancelled = threading.Event()
        cancelled.set()
        with pytest.raises(Cancelled):
            list(endpoint(server.url).stream({}, cancelled=cancelled))
        assert not server.requests


def test_a_server_with_tls_must_prove_who_it_is(server):
    with pytest.raises(ModelError, match="cannot reach https"):
        endpoint(server.url.replace("http:", "https:"), tries=1).post(json.loads("{}"))
