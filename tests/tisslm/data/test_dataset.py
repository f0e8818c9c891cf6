"""Opening a prepared dataset: what is intact opens, what is not says why."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from quanta_tissu.errors import DataError
from quanta_tissu.tisslm.config import DataConfig
from quanta_tissu.tisslm.data.dataset import TokenDataset, is_prepared
from quanta_tissu.tisslm.data.prepare import prepare
from quanta_tissu.tisslm.data.sources import open_source
from quanta_tissu.tisslm.tokenizers import CharacterTokenizer

TOKENIZER = CharacterTokenizer("abc \n", special_tokens=False)


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    (folder / "text.txt").write_text("abc cab\n" * 20)
    prepare(open_source(folder / "text.txt"), TOKENIZER, folder / "data", DataConfig(), seed=0)
    return folder / "data"


@pytest.fixture
def dataset_folder(intact, tmp_path):
    return shutil.copytree(intact, tmp_path / "data")


def change_manifest(folder, **fields):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | fields))


def test_an_intact_dataset_opens_and_verifies(intact):
    dataset = TokenDataset.open(intact, tokenizer=TOKENIZER, verify=True)
    assert TOKENIZER.decode(dataset.train.tolist()) == ("abc cab\n" * 20)[:144]
    assert TOKENIZER.decode(dataset.validation.tolist()) == ("abc cab\n" * 20)[144:]
    assert dataset.tokens("train") is dataset.train
    assert dataset.tokens("validation") is dataset.validation
    np.testing.assert_array_equal(dataset.tokens("all"), [*dataset.train, *dataset.validation])
    assert [dataset.text_bytes(split) for split in ("train", "validation", "all")] == [144, 16, 160]
    assert dataset.load_tokenizer().fingerprint() == TOKENIZER.fingerprint()


def test_tokens_stay_on_disk_until_they_are_read(intact):
    train = TokenDataset.open(intact).train
    assert type(train) is np.ndarray
    assert isinstance(train.base, np.memmap)
    assert not train.flags.writeable


def test_a_prepared_dataset_is_recognised(intact, tmp_path):
    assert is_prepared(intact)
    assert is_prepared(str(intact))
    assert not is_prepared(intact.parent)
    assert not is_prepared(tmp_path / "nothing")
    for text in ["{}", "[]", "not JSON", '{"format": "checkpoint"}', '{"format": 3}']:
        (tmp_path / "manifest.json").write_text(text)
        assert not is_prepared(tmp_path)


def test_a_prepared_dataset_is_no_source_of_text(intact):
    with pytest.raises(DataError, match="is a prepared dataset: its text is tokens already") as caught:
        open_source(intact)
    assert "train on it directly" in caught.value.hint


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"is not a prepared dataset: it has no manifest\.json") as caught:
        TokenDataset.open(tmp_path)
    assert "tissu data prepare" in caught.value.hint


@pytest.mark.parametrize("name", ["train", "validation"])
def test_a_missing_file_is_named(dataset_folder, name):
    (dataset_folder / f"{name}.bin").unlink()
    with pytest.raises(DataError, match=rf"has lost its file .*{name}\.bin"):
        TokenDataset.open(dataset_folder)


def test_a_truncated_file_is_named_with_its_sizes(dataset_folder):
    path = dataset_folder / "train.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"train\.bin has 287 bytes, but 144 tokens of uint16 are 288 bytes"):
        TokenDataset.open(dataset_folder)


def test_a_changed_file_is_found_by_its_hash(dataset_folder):
    path = dataset_folder / "validation.bin"
    path.write_bytes(bytes(len(path.read_bytes())))
    assert len(TokenDataset.open(dataset_folder).validation) == 16  # a look at the size cannot tell
    with pytest.raises(DataError, match=r"validation\.bin is not what was prepared: its SHA-256 differs"):
        TokenDataset.open(dataset_folder, verify=True)


def test_the_tokens_of_another_tokenizer_are_refused(intact):
    other = CharacterTokenizer("abcd \n", special_tokens=False)
    expected = r"made by another tokenizer \(character, 5 tokens\) than this one \(character, 6 tokens\)"
    with pytest.raises(DataError, match=expected) as caught:
        TokenDataset.open(intact, tokenizer=other)
    assert "prepare the text again" in caught.value.hint


def test_an_exchanged_tokenizer_file_is_found(dataset_folder):
    CharacterTokenizer("abcd \n", special_tokens=False).save(dataset_folder / "tokenizer.json")
    with pytest.raises(DataError, match=r"tokenizer\.json is not the tokenizer that made the tokens"):
        TokenDataset.open(dataset_folder).load_tokenizer()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "tissu-tokens-9"}, "format: Input should be 'tissu-tokens-1'"),
        ({"dtype": "float32"}, "dtype: Input should be"),
        (
            {"train": {"tokens": -1, "text_bytes": 0, "sha256": ""}},
            r"train\.tokens: Input should be greater than or equal to 0",
        ),
        ({"surprise": 1}, "surprise: Extra inputs"),
    ],
)
def test_a_manifest_of_another_format_says_what_is_wrong(dataset_folder, fields, message):
    change_manifest(dataset_folder, **fields)
    with pytest.raises(DataError, match=f"is not the manifest .* {message}"):
        TokenDataset.open(dataset_folder)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe"])
def test_a_damaged_manifest_is_an_error(dataset_folder, content):
    (dataset_folder / "manifest.json").write_bytes(content)
    with pytest.raises(DataError, match=r"manifest\.json is not the manifest of a prepared dataset"):
        TokenDataset.open(dataset_folder)
