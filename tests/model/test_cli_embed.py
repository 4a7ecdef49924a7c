"""``inllama embed``, run as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny

from inllama import LLM, Model

TEXTS = ["tiny words", "a", "the same words"]


def run(file: Path, *arguments: str, model: str = "bert_mean") -> subprocess.CompletedProcess[str]:
    """Embed the texts of a file, beside which the array comes."""
    output = ["-o", str(file.with_name("out.npy")), "-m", str(tiny.path_of(model)), "--n-threads", "1"]
    command = [sys.executable, "-m", "inllama.cli", "embed", str(file), *output, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def json_lines(*values: object) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


@pytest.mark.parametrize(
    ("name", "content", "arguments"),
    [
        ("texts.jsonl", json_lines(*TEXTS), []),
        ("texts.jsonl", json_lines(TEXTS[0], {"text": TEXTS[1], "id": 1}, {"text": TEXTS[2]}), []),
        ("texts.jsonl", json_lines(*({"body": text, "text": 5} for text in TEXTS)), ["--field", "body"]),
        ("texts.txt", "\n".join(TEXTS), []),
        ("texts.txt", "\r\n\n".join(TEXTS) + "\r\n \n", []),
    ],
    ids=["strings", "objects", "field", "lines", "blank lines"],
)
def test_each_text_is_a_row(bert_mean: Model, tmp_path: Path, name: str, content: str, arguments: list[str]) -> None:
    (tmp_path / name).write_bytes(content.encode())
    done = run(tmp_path / name, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found = np.load(tmp_path / "out.npy")
    with LLM(bert_mean, n_threads=1) as llm:
        assert tiny.difference(found, llm.embed(TEXTS)) <= tiny.SAME_TOLERANCE
    assert found.flags.c_contiguous
    assert names_in(tmp_path) == sorted([name, "out.npy"])


def test_lines_of_text_may_look_like_json(bert_mean: Model, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text('"a"\n')
    assert run(tmp_path / "texts.txt").returncode == 0
    with LLM(bert_mean, n_threads=1) as llm:
        assert tiny.difference(np.load(tmp_path / "out.npy"), llm.embed(['"a"'])) <= tiny.SAME_TOLERANCE


def test_options_reach_the_vectors(llama: Model, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("abc\n")
    flags = ["--pooling", "last", "--dimensions", "8", "--normalize", "max_abs", "--prefix", "query: "]
    assert run(tmp_path / "texts.txt", *flags, model="llama").returncode == 0
    found = np.load(tmp_path / "out.npy")
    with LLM(llama, n_threads=1) as llm:
        expected = llm.embed(["query: abc"], pooling="last", dimensions=8, normalize="max_abs")
    assert tiny.difference(found, expected) <= 0.01
    assert np.abs(found).max() == pytest.approx(1)


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_file_without_texts_gives_no_rows(tmp_path: Path, content: str) -> None:
    (tmp_path / "texts.jsonl").write_text(content)
    assert run(tmp_path / "texts.jsonl").returncode == 0
    found = np.load(tmp_path / "out.npy")
    assert (found.shape, found.dtype.name) == ((0, tiny.N_EMBD), "float32")


@pytest.mark.parametrize(
    ("content", "arguments", "problem"),
    [
        ('"a"\n{"text": \n"b"\n', [], "line 2 of"),
        ('"a"\n"b"\n{"body": "c"}\n', [], "has no text in 'text'; give --field"),
        ('{"body": ["c"]}\n', ["--field", "body"], "line 1 of"),
        ("5\n", [], "has no text in 'text'"),
        (json_lines("a", "b" * 80), [], "text 1 has 82 tokens but the model takes 64"),
        (json_lines("a"), ["--dimensions", "65"], "dimensions is 65 but the vectors have 64 values"),
        (json_lines("a"), ["--dimensions", "-1"], "dimensions is -1 but must be 1 to"),
        (json_lines("a"), ["--n-ctx", "0"], "n_ctx is 0"),
    ],
)
def test_failure_is_one_line_and_leaves_no_file(
    tmp_path: Path, content: str, arguments: list[str], problem: str
) -> None:
    (tmp_path / "texts.jsonl").write_text(content)
    done = run(tmp_path / "texts.jsonl", *arguments)
    assert done.returncode == 1
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
    assert names_in(tmp_path) == ["texts.jsonl"]


def test_array_that_was_there_stays_if_the_command_fails(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('"a"\n')
    assert run(tmp_path / "texts.jsonl").returncode == 0
    before = (tmp_path / "out.npy").read_bytes()
    (tmp_path / "texts.jsonl").write_text("{\n")
    assert run(tmp_path / "texts.jsonl").returncode == 1
    assert (tmp_path / "out.npy").read_bytes() == before


@pytest.mark.parametrize(("model", "problem"), [("llama", "give pooling="), ("rank", "this model scores texts")])
def test_model_without_vectors_of_texts_says_so(tmp_path: Path, model: str, problem: str) -> None:
    (tmp_path / "texts.txt").write_text("a\n")
    done = run(tmp_path / "texts.txt", model=model)
    assert (done.returncode, problem in done.stderr, names_in(tmp_path)) == (1, True, ["texts.txt"])


def test_texts_that_are_not_there_are_one_line(tmp_path: Path) -> None:
    done = run(tmp_path / "nothing.txt")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "nothing.txt" in done.stderr


def test_texts_can_come_through_a_pipe(tmp_path: Path) -> None:
    target = tmp_path / "out.npy"
    command = [sys.executable, "-m", "inllama.cli", "embed", "/dev/stdin", "-o", str(target)]
    command += ["-m", str(tiny.path_of("bert_mean"))]
    done = subprocess.run(command, input="one\ntwo\n\nthree\n", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    rows = np.load(target)
    assert rows.shape == (3, 64)
    assert (np.abs(rows).sum(axis=1) > 1).all()
