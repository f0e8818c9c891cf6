from __future__ import annotations

import pytest

UGLY = 'STEP   "a" {\nLOG 1\n}\n'
NICE = 'STEP "a" {\n    LOG 1\n}\n'


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "plan.tiss"
    path.write_text(UGLY)
    path.chmod(0o640)
    return path


class TestFmt:
    def test_rewrites_a_script_and_keeps_its_permissions(self, tissu, script):
        outcome = tissu("lang", "fmt", str(script))
        assert (outcome.code, outcome.err) == (0, "1 script: 1 changed, 0 with errors\n")
        assert script.read_text() == NICE
        assert script.stat().st_mode & 0o777 == 0o640
        assert list(script.parent.iterdir()) == [script]
        assert "0 changed" in tissu("lang", "fmt", str(script)).err

    def test_checks_without_writing(self, tissu, script):
        outcome = tissu("lang", "fmt", "--check", str(script))
        assert (outcome.code, outcome.out) == (1, f"{script}\n")
        assert script.read_text() == UGLY

    def test_shows_without_writing(self, tissu, script):
        outcome = tissu("lang", "fmt", "--diff", str(script))
        assert outcome.code == 1
        assert '-STEP   "a" {\n-LOG 1\n+STEP "a" {\n+    LOG 1\n' in outcome.out
        assert script.read_text() == UGLY

    def test_leaves_a_script_with_errors_and_writes_the_others(self, tissu, script):
        bad = script.parent / "bad.tiss"
        bad.write_text("STEP {")
        outcome = tissu("lang", "fmt", str(script.parent))
        assert outcome.code == 1
        assert "has errors, so it is left as it is" in outcome.err
        assert bad.read_text() == "STEP {"
        assert script.read_text() == NICE

    def test_windows_line_ends_and_unicode_survive(self, tissu, script):
        script.write_bytes("LOG   'é'\r\n".encode())
        tissu("lang", "fmt", str(script))
        assert script.read_bytes() == "LOG 'é'\r\n".encode()
