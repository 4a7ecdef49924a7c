"""``inllama serve``: its flags, what it says, and how it ends when it cannot start."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from raw_http import ask, chat, until

from inllama import cli
from inllama.cli import serve
from inllama.params import EngineOptions
from inllama.server import AppOptions, ListenOptions

COMMAND = [sys.executable, "-m", "inllama.cli", "serve"]
Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
KEY = "key-of-the-test-0123456789"


def child(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in this process, as far as it comes."""
    monkeypatch.delenv("INLLAMA_API_KEYS", raising=False)

    def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            status = cli.main(["serve", *arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        return subprocess.CompletedProcess(arguments, status, *capfd.readouterr())

    return run_command


def help_text(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_help_has_a_flag_for_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_text(capsys)
    for cls in (AppOptions, ListenOptions, EngineOptions):
        for option in dataclasses.fields(cls):
            if option.name != "api_keys":
                assert f"--{option.name.replace('_', '-')}" in text, option.name
    for flag in ("--model", "--api-key", "--api-key-file", "--no-access-log", "--lora"):
        assert flag in text
    assert "INLLAMA_API_KEYS" in text


def test_flags_become_options() -> None:
    parser = argparse.ArgumentParser()
    serve.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(
        ["serve", "--host", "::1", "--port", "0", "--max-body-bytes", "4096", "--cors-origins", "https://a.example",
         "--allowed-hosts", "b.example", "--model-names", "c", "--strict", "--header-timeout-s", "2.5"]
    )  # fmt: skip
    assert (parsed.host, parsed.port, parsed.max_body_bytes, parsed.header_timeout_s) == ("::1", 0, 4096, 2.5)
    assert list(parsed.cors_origins) == ["https://a.example"]
    assert list(parsed.allowed_hosts) == ["b.example"]
    assert list(parsed.model_names) == ["c"]
    assert parsed.strict is True


BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name={blocked!r})
sys.meta_path.insert(0, Blocker())
from inllama.cli import main
sys.exit(main(["serve", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("blocked", ["starlette", "uvicorn", "pydantic", "prometheus_client", "httptools"])
def test_without_the_extra_it_says_what_to_install(blocked: str) -> None:
    ended = child(sys.executable, "-c", BLOCKED.format(blocked=blocked))
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == f"inllama: inllama.server needs {blocked}; pip install 'inllama[server]'\n"


def test_help_works_without_the_extra() -> None:
    ended = child(sys.executable, "-c", BLOCKED.format(blocked="starlette"), "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "--api-key" in ended.stdout


def failed_with(ended: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert ended.returncode == 1, ended
    lines = [line for line in ended.stderr.splitlines() if line.startswith("inllama: ")]
    assert len(lines) == 1, ended.stderr
    for part in parts:
        assert part in lines[0]
    assert "Traceback" not in ended.stderr


def test_a_process_that_cannot_load_its_model_fails(tmp_path: Path) -> None:
    failed_with(child(*COMMAND, "-m", str(tmp_path / "nothing.gguf"), "--port", "0"), "nothing.gguf")


def test_a_model_that_is_not_there_ends_it_with_one_line(run: Run, tmp_path: Path) -> None:
    failed_with(run("-m", str(tmp_path / "nothing.gguf"), "--port", "0"), "nothing.gguf")


@pytest.mark.parametrize("content", [b"", b"GGUF", b"no model at all" * 1000, b"\x00" * 100_000])
def test_a_file_that_is_no_model_ends_it_with_one_line(run: Run, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    failed_with(run("-m", str(file), "--port", "0"), "model.gguf")


def test_an_adapter_that_is_not_there_ends_it_with_one_line(run: Run, tmp_path: Path) -> None:
    failed_with(run("--port", "0", "--lora", f"fr={tmp_path / 'nothing.gguf'}"), "nothing.gguf")


def test_a_port_in_use_ends_it_with_one_line(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        failed_with(run("--port", str(port)), f"nothing can listen at 127.0.0.1:{port}", "Address already in use")


def test_a_host_that_is_none_ends_it_with_one_line(run: Run) -> None:
    failed_with(run("--host", "no.such.host.invalid", "--port", "0", "--allow-anyone"), "no.such.host.invalid")


def test_it_does_not_serve_everybody_by_mistake(run: Run) -> None:
    failed_with(run("--host", "0.0.0.0", "--port", "0"), "give api_keys (or INLLAMA_API_KEYS)")


def test_a_key_that_is_none_is_refused_without_being_shown(run: Run) -> None:
    ended = run("--port", "0", "--api-key", "abc4711")
    failed_with(ended, "an API key must have at least 8 visible ASCII characters")
    assert "abc4711" not in ended.stderr + ended.stdout


def test_a_key_file_that_is_not_there_ends_it_with_one_line(run: Run, tmp_path: Path) -> None:
    failed_with(run("--port", "0", "--api-key-file", str(tmp_path / "keys")), str(tmp_path / "keys"))


def test_a_key_file_that_is_no_text_ends_it_with_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"\xff\xfe\x00secret")
    failed_with(run("--port", "0", "--api-key-file", str(tmp_path / "keys")), str(tmp_path / "keys"))


@pytest.mark.parametrize("value", ["-1", "65536", "http"])
def test_a_port_that_is_none_is_refused(run: Run, value: str) -> None:
    ended = run("--port", value)
    assert ended.returncode in (1, 2)
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("key", ["", "   "])
def test_an_empty_key_does_not_mean_no_keys(run: Run, key: str) -> None:
    failed_with(run("--port", "0", "--api-key", key), "an API key must have at least 8 visible ASCII characters")


def test_an_empty_key_file_does_not_mean_no_keys(run: Run, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# none yet\n\n")
    failed_with(run("--port", "0", "--api-key-file", str(tmp_path / "keys")), "has no key", str(tmp_path / "keys"))


def test_it_serves_with_the_keys_of_the_environment_and_shows_none(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# ours\n{KEY}-file\n")
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--api-key", f"{KEY}-flag", "--api-key-file", str(file), "--n-ctx", "256"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "INLLAMA_API_KEYS": f"{KEY}-environment,"},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("inllama: http://127.0.0.1:")
        assert line.endswith("(OpenAI); Ctrl-C stops\n")
        url = line.split()[1]
        until(lambda: ask(url, "GET", "/ready").status == 200)
        for key in ("file", "flag", "environment"):
            headers = {"authorization": f"Bearer {KEY}-{key}"}
            assert ask(url, "POST", "/v1/chat/completions", chat("canary", max_tokens=2), headers).status == 200
        ask(url, "POST", "/v1/chat/completions", chat("canary")).refused(401, "invalid_api_key")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert KEY not in line + out + err
    assert "canary" not in out + err
    assert err.count("inllama.access") >= 5


def test_other_commands_do_not_wait_for_the_servers_packages() -> None:
    program = (
        "import sys; from inllama.cli import main\n"
        "try: main(['generate', '--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('starlette', 'pydantic', 'uvicorn') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"
