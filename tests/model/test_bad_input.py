"""Every bad input gives a typed error that says what was wrong, and what was used still works afterwards.

Run as a program, this file makes all bad calls in one process: a test captures its file descriptor 2.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
import pytest
from bad_calls import DEMO, BadCall, Bench
from bad_computing import batch_calls, context_calls, memory_calls
from bad_files import file_calls, loading_calls
from bad_requests import GRAMMARS, grammar_calls, request_calls, sampling_calls, tokenizer_calls

from inllama import (
    LLM,
    Batch,
    ContextFullError,
    GrammarError,
    Model,
    ModelLoadError,
    Sampler,
    samplers,
)

CALLS: dict[str, BadCall] = {}
for _calls in (
    file_calls,
    loading_calls,
    context_calls,
    batch_calls,
    memory_calls,
    sampling_calls,
    grammar_calls,
    tokenizer_calls,
    request_calls,
):
    for _name, _call in _calls():
        assert _name not in CALLS, f"two calls are named {_name}"
        CALLS[_name] = _call


def problem_of(bad: BadCall, bench: Bench) -> str:
    """Make the call and return what is wrong with its outcome; empty if nothing is."""
    try:
        result = bad.call(bench)
    except Exception as error:
        if not isinstance(error, bad.error):
            return f"raised {type(error).__name__}: {error}"
        text = str(error)
        if not text or bad.text not in text:
            return f"says {text!r} without {bad.text!r}"
        missing = [name for name in bad.fields if not hasattr(error, name)]
        return f"lacks the fields {missing}: {text}" if missing else ""
    return f"returned {result!r:.200}"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bad"))


# A FIFO that is opened would never return: only in a child process, which has a time limit.
@pytest.mark.parametrize("name", [name for name in CALLS if not name.endswith("_fifo")])
def test_bad_call_raises_its_typed_error(bench: Bench, name: str) -> None:
    assert problem_of(CALLS[name], bench) == ""


def test_objects_work_after_all_bad_calls(bench: Bench) -> None:
    fresh = LLM(n_threads=1).generate("Once upon a time", temperature=0, max_tokens=8)
    assert bench.next_tokens() == fresh.token_ids
    assert bench.context.memory.pos_max(0) == 2
    bench.context.decode(Batch([4]))
    assert np.isfinite(bench.context.logits()).all()
    assert 0 <= bench.sampler.sample(bench.context) < bench.n_vocab


def test_all_bad_calls_leave_stderr_empty(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-X", "faulthandler", __file__, str(tmp_path)],
        capture_output=True,
        timeout=120,
        check=False,
        env=os.environ | {"INLLAMA_LEAK_WARNINGS": "1"},
    )
    assert child.stderr == b""
    assert child.stdout.decode().splitlines()[-1:] == [f"{len(CALLS)} calls, 0 problems"], child.stdout.decode()
    assert child.returncode == 0


def test_fifo_is_refused_without_opening_it(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, __file__, str(tmp_path), "model_fifo", "adapter_fifo"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.stdout.endswith("2 calls, 0 problems\n")
    assert child.returncode == 0


def test_load_error_is_an_oserror_with_path_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "nothing.gguf"
    with pytest.raises(OSError, match="there is no such file") as caught:
        Model(path)
    assert isinstance(caught.value, ModelLoadError)
    assert caught.value.path == str(path)
    assert caught.value.reason == "there is no such file"


def test_unreadable_file_is_refused() -> None:
    # Root can read every file, so the child gives that up; the folders of pytest are closed to others.
    code = """
import os, sys
from inllama import Model, ModelLoadError
if os.geteuid() == 0:
    os.setuid(65534)
try:
    Model(sys.argv[1])
except ModelLoadError as error:
    print(error.reason)
"""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "secret.gguf"
        path.write_bytes(DEMO.read_bytes())
        path.chmod(0)
        child = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "permission" in child.stdout
    assert child.stderr == ""


def test_too_long_prompt_names_the_numbers(bench: Bench) -> None:
    with pytest.raises(ContextFullError) as caught:
        bench.llm.generate([1] * 2700)
    assert (caught.value.n_prompt, caught.value.n_ctx) == (2700, 2048)
    assert "2700" in str(caught.value)
    assert "2048" in str(caught.value)


@pytest.mark.parametrize("name", GRAMMARS)
def test_grammar_error_says_line_and_column(bench: Bench, name: str) -> None:
    text, line, column = GRAMMARS[name]
    with pytest.raises(GrammarError) as caught:
        Sampler(bench.model, [samplers.grammar(text), samplers.greedy()])
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize("text", ["\0", "a\0b", "Once\0upon\0a time", "\0" * 100])
def test_nul_in_text_is_an_ordinary_character(bench: Bench, text: str) -> None:
    tokenizer = bench.model.tokenizer
    tokens = tokenizer.encode(text, add_special=False)
    assert tokenizer.decode(tokens) == text
    result = bench.llm.generate(text, max_tokens=2, ignore_eos=True, stop=[text + "\0"])
    assert result.usage.completion_tokens == 2


# ------------------------------------------------------------------------------------------------ truncated models


def cut_points() -> list[int]:
    """Lengths at which the demo model is cut: everywhere in the first entries, and all over the rest."""
    reader = gguf.GGUFReader(DEMO)
    data = reader.data_offset
    ends = [int(tensor.data_offset + tensor.n_bytes) for tensor in reader.tensors]
    generator = random.Random(7)
    points = set(range(1, 160))
    points.update(int(field.offset) for field in reader.fields.values())
    points.update(int(field.offset) + 9 for field in reader.fields.values())
    points.update(int(tensor.field.offset) for tensor in reader.tensors)
    points.update(generator.sample(range(160, data), 200))
    points.update({data - 1, data, data + 1})
    points.update(int(tensor.data_offset) for tensor in reader.tensors)
    points.update(end - 1 for end in ends)
    points.update(generator.sample(range(data, max(ends)), 20))
    return sorted(point for point in points if 0 < point < max(ends))


def test_model_cut_anywhere_is_refused(tmp_path: Path) -> None:
    content = DEMO.read_bytes()
    path = tmp_path / "cut.gguf"
    for length in cut_points():
        path.write_bytes(content[:length])
        with pytest.raises(ModelLoadError) as caught:
            Model(path)
        assert caught.value.path == str(path), length
        assert caught.value.reason, length
        assert caught.value.reason in str(caught.value), length


@pytest.mark.parametrize("mode", ["none", "mmap", "direct_io"])
def test_model_cut_in_its_weights_is_refused_in_every_load_mode(tmp_path: Path, mode: str) -> None:
    content = DEMO.read_bytes()
    path = tmp_path / "cut.gguf"
    for part in (0.1, 0.5, 0.99):
        path.write_bytes(content[: int(len(content) * part)])
        with pytest.raises(ModelLoadError, match="could not load"):
            Model(path, load_mode=mode)


def main() -> int:
    """Make the named bad calls, or all; print those whose outcome is wrong."""
    folder, *names = sys.argv[1:]
    bench = Bench(Path(folder))
    before = bench.next_tokens()
    n_problems = 0
    for name in names or CALLS:
        problem = problem_of(CALLS[name], bench)
        if problem:
            n_problems += 1
            print(f"{name} {problem}")
    if not names:
        content = DEMO.read_bytes()
        with tempfile.TemporaryDirectory() as place:
            cut_file = Path(place) / "cut.gguf"
            for length in cut_points()[::10]:
                cut_file.write_bytes(content[:length])
                bad = BadCall(lambda b: Model(cut_file), ModelLoadError, ("path", "reason"))
                problem = problem_of(bad, bench)
                if problem:
                    n_problems += 1
                    print(f"cut_{length} {problem}")
    if bench.next_tokens() != before:
        n_problems += 1
        print("the model gives other tokens than before")
    print(f"{len(names or CALLS)} calls, {n_problems} problems")
    return 0


if __name__ == "__main__":
    sys.exit(main())
