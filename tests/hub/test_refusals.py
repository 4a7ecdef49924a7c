"""What the Hub refuses, as one sentence; and no token in it, in a log or in a traceback."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest
from fake_hub import FakeHub

from inllama import ModelLoadError, pull

REPO = "owner/repo"
TOKEN = "hf_abcdefghijklmnop"


@pytest.fixture
def repo(hub: FakeHub) -> FakeHub:
    hub.add(REPO, {"a.gguf": b"GGUF"})
    return hub


def refused(reference: str = f"hf:{REPO}") -> ModelLoadError:
    with pytest.raises(ModelLoadError) as raised:
        pull(reference)
    assert "\n" not in str(raised.value)
    assert raised.value.path == reference
    return raised.value


def test_repository_that_is_not_there(hub: FakeHub) -> None:
    error = refused("hf:owner/nothing")
    assert (error.reason, error.status) == ("not found", 401)
    assert str(error) == (
        f"{hub.url} has no model owner/nothing, or it is private: check the name, or log in with 'hf auth login' or "
        "set HF_TOKEN"
    )


def test_repository_without_the_token(repo: FakeHub) -> None:
    repo.repos[REPO].token = TOKEN
    assert refused().reason == "not found"


def test_token_that_is_wrong(repo: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.repos[REPO].token = "another"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    error = refused()
    assert error.reason == "token refused"
    assert "refuses the token: log in with 'hf auth login'" in str(error)


def test_gated_repository(repo: FakeHub) -> None:
    repo.repos[REPO].gated = True
    error = refused()
    assert error.reason == "gated"
    assert f"accept its terms at {repo.url}/owner/repo, and log in" in str(error)


def test_revision_that_is_not_there(repo: FakeHub) -> None:
    error = refused(f"hf:{REPO}@nothing")
    assert (error.reason, error.status) == ("no such revision", 404)
    assert "owner/repo has no revision 'nothing'" in str(error)


def test_file_that_went_away(repo: FakeHub) -> None:
    repo.rewrite = lambda info: info["siblings"][0].update(rfilename="b.gguf")
    assert refused().reason == "no such file"


def test_forbidden(repo: FakeHub) -> None:
    repo.status["/api/models"] = (403, {})
    assert refused().reason == "forbidden"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"Retry-After": "17"}, 17), ({"ratelimit": '"api";r=0;t=55'}, 55), ({}, None), ({"Retry-After": "soon"}, None)],
)
def test_too_many_requests(repo: FakeHub, headers: dict[str, str], seconds: int | None) -> None:
    repo.status["/api/models"] = (429, headers)
    error = refused()
    assert (error.reason, error.status, error.retry_after_s) == ("too many requests", 429, seconds)
    assert f"try again {f'in {seconds} s' if seconds else 'later'}" in str(error)


def test_too_many_requests_for_the_file(repo: FakeHub) -> None:
    repo.status[f"/{REPO}/resolve"] = (429, {})
    assert refused().reason == "too many requests"


def test_failing_server(repo: FakeHub) -> None:
    repo.status["/api/models"] = (503, {})
    error = refused()
    assert (error.reason, error.status) == ("failing", 503)


def test_server_that_is_not_there(huggingface: None) -> None:
    error = refused()
    assert (error.reason, error.status) == ("unreachable", None)
    assert "http://127.0.0.1:9 cannot be reached (ConnectError): check the network, HTTPS_PROXY" in str(error)


@pytest.mark.parametrize("body", ["siblings", "sha"])
def test_answer_that_is_no_answer(repo: FakeHub, body: str) -> None:
    repo.rewrite = lambda info: info.update({body: 7})
    assert refused().reason in ("not understood", "unsafe answer")


@pytest.mark.parametrize("fault", ["token refused", "gated", "break", "failing", "not understood", "wrong hash"])
def test_token_is_in_no_error_traceback_or_log(
    repo: FakeHub, fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cache: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    repo.redirects = True
    if fault == "token refused":
        repo.repos[REPO].token = "another"
    elif fault == "gated":
        repo.repos[REPO].gated = True
    elif fault == "break":
        repo.break_after = [1] + [0] * 8
    elif fault == "failing":
        repo.status["/api/models"] = (500, {})
    elif fault == "not understood":
        repo.rewrite = lambda info: info.update(siblings=7)
    else:
        repo.serves["a.gguf"] = b"GGUX"
    with caplog.at_level(logging.DEBUG), pytest.raises(ModelLoadError) as raised:
        pull(f"hf:{REPO}")
    seen: BaseException | None = raised.value
    assert seen is not None
    assert seen.__cause__ is None
    assert seen.__context__ is None
    shown = "".join(traceback.TracebackException.from_exception(seen, capture_locals=True).format())
    for text in (shown, str(seen), repr(vars(seen)), caplog.text):
        assert TOKEN not in text
        assert "secret-signature" not in text
