"""Two keys on one engine: nothing of one is seen with the other."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from raw_http import Answer, ask, chat
from serving import served

from inllama import Engine
from inllama.server.keys import ApiKeys
from inllama.server.response_store import ResponseStore, StoredResponse
from inllama.testing import FakeEngine

ANN, BOB = "key-of-ann-0123456789", "key-of-bob-0123456789"
PREFIX = "The secret plans of this company are as follows, and nobody else may know of them. " * 4


@pytest.fixture
def url() -> Iterator[str]:
    with FakeEngine(lambda prompt: prompt[::-1]) as engine, served(engine, api_keys=[ANN, BOB]) as found:
        yield found


def post(url: str, key: str, path: str, **body: Any) -> Answer:
    return ask(url, "POST", path, body, {"authorization": f"Bearer {key}"})


def cached(answer: Answer) -> int:
    assert answer.status == 200, answer
    usage = answer.json["usage"]
    if "cache_read_input_tokens" in usage:
        return int(usage["cache_read_input_tokens"])
    details = usage.get("prompt_tokens_details") or usage["input_tokens_details"]
    return int(details["cached_tokens"])


BODIES: dict[str, dict[str, Any]] = {
    "/v1/completions": {"prompt": PREFIX, "max_tokens": 2},
    "/v1/chat/completions": chat(PREFIX, max_tokens=2),
    "/v1/responses": {"input": PREFIX, "max_output_tokens": 2},
    "/v1/messages": chat(PREFIX, max_tokens=2),
}


@pytest.mark.parametrize("path", BODIES)
def test_prefixes_are_shared_within_a_key_only(url: str, path: str) -> None:
    assert cached(post(url, ANN, path, **BODIES[path])) == 0
    assert cached(post(url, BOB, path, **BODIES[path])) == 0
    assert cached(post(url, ANN, path, **BODIES[path])) > 100
    assert cached(post(url, BOB, path, **BODIES[path])) > 100


def test_a_real_model_shares_them_within_a_key_only(demo: Engine) -> None:
    with served(demo, api_keys=[ANN, BOB]) as url:
        body = {"prompt": "Once upon a time there was a little dog who lived in a red house.", "max_tokens": 2}
        assert [cached(post(url, key, "/v1/completions", **body)) > 0 for key in (ANN, BOB, ANN, BOB)] == [
            False,
            False,
            True,
            True,
        ]


@pytest.mark.parametrize("path", BODIES)
def test_a_salt_separates_within_a_key(url: str, path: str) -> None:
    for salt in ("one", "two", "", "ö\x00"):
        assert cached(post(url, ANN, path, **BODIES[path], cache_salt=salt)) == 0
        assert cached(post(url, ANN, path, **BODIES[path], cache_salt=salt)) > 100


def test_a_salt_does_not_lead_into_another_key(url: str) -> None:
    body = BODIES["/v1/completions"]
    post(url, ANN, "/v1/completions", **body)
    post(url, ANN, "/v1/completions", **body, cache_salt="x")
    name = ApiKeys([ANN]).tenant(ANN.encode())
    for salt in (f"{name}:", f"{name}", f"{name}:x", ":", ":x", ANN, f"{ANN}:x"):
        assert cached(post(url, BOB, "/v1/completions", **body, cache_salt=salt)) == 0


def test_a_prompt_that_is_being_computed_is_not_shared_either() -> None:
    with (
        FakeEngine("a", step_s=0.005, step_tokens=64) as engine,
        served(engine, api_keys=[ANN, BOB]) as url,
        ThreadPoolExecutor(2) as pool,
    ):
        body = {"prompt": PREFIX * 4, "max_tokens": 1}
        both = list(pool.map(lambda key: cached(post(url, key, "/v1/completions", **body)), (ANN, BOB)))
        assert both == [0, 0]


# Responses that are kept.


def test_a_response_is_there_for_its_key_only(url: str) -> None:
    name = post(url, ANN, "/v1/responses", input="the plans").json["id"]
    ann, bob = {"x-api-key": ANN}, {"x-api-key": BOB}
    for method, path in [
        ("GET", f"/v1/responses/{name}"),
        ("GET", f"/v1/responses/{name}/input_items"),
        ("DELETE", f"/v1/responses/{name}"),
    ]:
        error = ask(url, method, path, None, bob).refused(404, "response_not_found")
        unknown = ask(url, method, path.replace(name, "resp_unknown"), None, bob).error
        assert error["message"].replace(name, "") == unknown["message"].replace("resp_unknown", "")
    error = post(url, BOB, "/v1/responses", input="go on", previous_response_id=name).refused(404, "response_not_found")
    assert error["param"] == "previous_response_id"
    assert ask(url, "GET", f"/v1/responses/{name}", None, ann).json["id"] == name
    assert post(url, ANN, "/v1/responses", input="go on", previous_response_id=name).status == 200
    assert ask(url, "DELETE", f"/v1/responses/{name}", None, ann).json["deleted"] is True
    ask(url, "GET", f"/v1/responses/{name}", None, ann).refused(404, "response_not_found")


def test_a_client_cannot_choose_what_its_response_is_called(url: str) -> None:
    """Otherwise the ids of others, or the same one many times over, could be taken."""
    names = set()
    for _ in range(3):
        headers = {"x-api-key": ANN, "x-request-id": "mine"}
        names.add(ask(url, "POST", "/v1/responses", {"input": "a"}, headers).json["id"])
    assert len(names) == 3
    assert not any("mine" in name for name in names)


def stored(name: str, size: int) -> StoredResponse:
    return StoredResponse({"id": name, "text": "a" * size}, (), ())


def test_the_size_of_what_is_kept_is_right_after_anything() -> None:
    store, chance = ResponseStore(20, 5_000), random.Random(1)
    for _ in range(2_000):
        tenant, name = chance.choice("ab"), f"resp_{chance.randrange(40)}"
        if chance.random() < 0.7:
            store.put(tenant, stored(name, chance.randrange(1, 800)))
        else:
            store.remove(tenant, name)
        assert len(store) <= 20
        assert 0 <= store.n_bytes <= 5_000
    for tenant in "ab":
        for number in range(40):
            store.remove(tenant, f"resp_{number}")
    assert (len(store), store.n_bytes) == (0, 0)


@pytest.mark.parametrize("limits", [(6, 100_000), (100, 700)], ids=["count", "bytes"])
def test_who_keeps_many_responses_loses_its_own(limits: tuple[int, int]) -> None:
    store = ResponseStore(*limits)
    store.put("quiet", stored("first", 50))
    store.put("quiet", stored("second", 50))
    for number in range(50):
        store.put("loud", stored(f"resp_{number}", 50))
    assert store.get("quiet", "first") is not None
    assert store.get("quiet", "second") is not None
    assert store.get("loud", "resp_49") is not None
    assert store.get("loud", "resp_0") is None
    store.put("loud", stored("huge", 200_000))
    assert store.get("quiet", "first") is not None
    assert store.get("loud", "huge") is None


def test_what_is_too_large_to_be_kept_is_answered_all_the_same() -> None:
    with FakeEngine("word " * 1000) as engine, served(engine, max_stored_bytes=2_000) as url:
        answer = ask(url, "POST", "/v1/responses", {"input": "a"})
        assert answer.status == 200
        ask(url, "GET", f"/v1/responses/{answer.json['id']}").refused(404, "response_not_found")
        small = ask(url, "POST", "/v1/responses", {"input": "a", "max_output_tokens": 5}).json["id"]
        assert ask(url, "GET", f"/v1/responses/{small}").status == 200


def test_what_is_not_to_be_stored_is_not_there(url: str) -> None:
    name = post(url, ANN, "/v1/responses", input="a", store=False).json["id"]
    ask(url, "GET", f"/v1/responses/{name}", None, {"x-api-key": ANN}).refused(404, "response_not_found")


# Canaries.


def test_no_text_of_one_ever_comes_back_to_the_other() -> None:
    canaries = {(key, number): f"{key[7:10]}-canary-{number:04}-{number * 7919:08}" for key in (ANN, BOB)
                for number in range(200)}  # fmt: skip

    def crossed(item: tuple[tuple[str, int], str]) -> list[str]:
        (key, _), canary = item
        chance = random.Random(canary)
        path = chance.choice(list(BODIES))
        text = f"{PREFIX[:80]} {canary} "
        body: dict[str, Any] = {"max_tokens": 1000, "stream": chance.random() < 0.5}
        if path == "/v1/completions":
            body |= {"prompt": text}
        elif path == "/v1/responses":
            body |= {"input": text}
        else:
            body |= chat(text)
        answer = post(url, key, path, **body)
        assert answer.status == 200
        found = answer.body.decode()
        if not body["stream"]:
            assert canary in found
        return [other for other in canaries.values() if other != canary and other in found]

    with FakeEngine(lambda prompt: prompt, max_running=8) as engine, served(engine, api_keys=[ANN, BOB]) as url:
        mixed = list(canaries.items())
        random.Random(1).shuffle(mixed)
        with ThreadPoolExecutor(16) as pool:
            assert [found for found in pool.map(crossed, mixed) if found] == []
        assert engine.stats().cached_tokens > 0
