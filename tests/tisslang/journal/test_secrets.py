"""Secrets are kept by name where only their owner can read them."""

from __future__ import annotations

import json
import os

import pytest

from quanta_tissu.errors import SecretError
from quanta_tissu.tisslang.journal.redaction import Redactor
from quanta_tissu.tisslang.journal.secrets import SecretStore, default_path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "secrets"


@pytest.fixture
def store(path):
    return SecretStore(path, environment={})


def test_a_secret_is_kept_replaced_and_forgotten(store, path):
    assert store.all() == {}
    store.set("TOKEN", "hunter22")
    store.set("OTHER", "grün und lang")
    store.set("TOKEN", "hunter33")
    assert store.get("TOKEN") == "hunter33"
    assert SecretStore(path, environment={}).all() == {"OTHER": "grün und lang", "TOKEN": "hunter33"}
    store.remove("TOKEN")
    assert store.names() == {"OTHER": "file"}


def test_only_the_owner_can_read_the_file(store, path):
    old = os.umask(0)
    try:
        store.set("TOKEN", "hunter22")
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_others_may_read_is_refused(store, path):
    store.set("TOKEN", "hunter22")
    path.chmod(0o640)
    for use in (store.all, store.names, store.is_encrypted, lambda: store.set("B", "hunter33")):
        with pytest.raises(SecretError, match="others may read") as caught:
            use()
        assert "chmod 600" in caught.value.hint


def test_the_environment_comes_first(path):
    store = SecretStore(
        path, environment={"TISSU_SECRET_TOKEN": "from outside", "TISSU_SECRET_bad": "x", "PATH": "/"}
    )
    store.set("TOKEN", "from the file")
    store.set("FILE", "only there")
    assert store.names() == {"FILE": "file", "TOKEN": "environment"}
    assert store.get("TOKEN") == "from outside"
    assert json.loads(path.read_text()) == {"FILE": "only there", "TOKEN": "from the file"}
    Redactor(store.all())


@pytest.mark.parametrize("name", ["", "token", "A-B", "1A", "A" * 65, "A\n", "../A"])
def test_names_that_are_none(store, name):
    for use in (store.get, store.remove, lambda name: store.set(name, "hunter22")):
        with pytest.raises(SecretError, match="cannot be the name of a secret"):
            use(name)


def test_values_too_short_to_be_hidden(store, path):
    with pytest.raises(SecretError, match="the value of PIN is 4 characters long") as caught:
        store.set("PIN", "1234")
    assert "1234" not in str(caught.value)
    assert not path.exists()
    with pytest.raises(SecretError, match="the value of TISSU_SECRET_PIN"):
        SecretStore(path, environment={"TISSU_SECRET_PIN": "1234"}).all()


def test_secrets_that_are_not_there(path):
    store = SecretStore(path, environment={"TISSU_SECRET_TOKEN": "from outside"})
    with pytest.raises(SecretError, match="there is no secret OTHER") as caught:
        store.get("OTHER")
    assert "tissu secret set OTHER" in caught.value.hint
    with pytest.raises(SecretError, match="no secret TOKEN is kept; TISSU_SECRET_TOKEN is in the environment"):
        store.remove("TOKEN")


def test_a_file_that_is_something_else(store, path):
    path.parent.mkdir()
    for content in ('{"a": 1}', "[]", "nonsense"):
        path.write_text(content)
        path.chmod(0o600)
        with pytest.raises(SecretError, match="there is no passphrase"):
            store.all()
        with pytest.raises(SecretError, match="or it is no store of secrets"):
            SecretStore(path, passphrase="p", environment={}).all()
    path.unlink()
    path.mkdir(mode=0o700)
    with pytest.raises(SecretError, match="cannot be read"):
        store.all()


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SecretError, match="cannot be"):
        SecretStore(tmp_path / "file" / "secrets", environment={}).set("TOKEN", "hunter22")


class TestEncrypted:
    def test_a_new_file_is_encrypted_with_the_passphrase_that_is_given(self, path):
        store = SecretStore(path, environment={"TISSU_SECRETS_PASSPHRASE": "open sesame"})
        store.set("TOKEN", "hunter22")
        store.set("OTHER", "hunter33")
        store.remove("OTHER")
        assert store.is_encrypted()
        assert path.stat().st_mode & 0o777 == 0o600
        assert [one for one in path.parent.iterdir() if b"hunter" in one.read_bytes()] == []
        assert SecretStore(path, passphrase="open sesame", environment={}).all() == {"TOKEN": "hunter22"}

    def test_a_wrong_passphrase_or_none_opens_nothing(self, path):
        SecretStore(path, passphrase="open sesame", environment={}).set("TOKEN", "hunter22")
        with pytest.raises(SecretError, match="is encrypted, and there is no passphrase"):
            SecretStore(path, environment={}).all()
        with pytest.raises(SecretError, match="the passphrase is wrong"):
            SecretStore(path, passphrase="wrong", environment={}).all()
        with pytest.raises(SecretError, match="the passphrase is wrong"):
            SecretStore(path, passphrase="wrong", environment={}).set("TOKEN", "hunter33")

    def test_a_plain_file_becomes_encrypted_only_when_asked(self, store, path):
        store.set("TOKEN", "hunter22")
        other = SecretStore(path, passphrase="open sesame", environment={})
        with pytest.raises(SecretError, match="is not encrypted, and there is a passphrase"):
            other.set("OTHER", "hunter33")
        assert other.all() == {"TOKEN": "hunter22"}
        other.encrypt()
        assert other.is_encrypted()
        assert other.all() == {"TOKEN": "hunter22"}
        assert list(path.parent.iterdir()) == [path]
        with pytest.raises(SecretError, match="is encrypted already"):
            other.encrypt()
        with pytest.raises(SecretError, match="there is no passphrase"):
            store.encrypt() if not store.is_encrypted() else store.all()


def test_the_file_is_in_the_folder_for_data(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_path() == tmp_path / "tissu" / "secrets"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert str(default_path()) == "/home/ada/.local/share/tissu/secrets"
    assert SecretStore().path == default_path()
