"""ModelPool: what is loaded when, what goes when, and what happens to those who use it meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from inllama import LLM, EngineClosedError, InsufficientMemoryError, InvalidRequestError, ModelLoadError
from inllama.pool import ModelPool
from inllama.testing import FakeEngine

Load = Callable[..., FakeEngine]


def fake(model: str, **options: Any) -> FakeEngine:
    return FakeEngine(f"I am {model}.", **options)


def make(load: Load = fake, memory: int = 20, size: int = 10, **models: str) -> ModelPool:
    return ModelPool(models or {"a": "A", "b": "B", "c": "C"}, memory=memory, load=load, size_of=lambda *_, **__: size)


def states(pool: ModelPool) -> dict[str, str]:
    return {name: one.state for name, one in pool.status().items()}


def test_a_model_is_loaded_when_somebody_asks_for_it() -> None:
    with make() as pool:
        assert states(pool) == {"a": "unloaded", "b": "unloaded", "c": "unloaded"}
        with pool.lease("b") as engine:
            assert LLM(engine).generate("x").text == "I am B."
            assert pool.status()["b"].in_use == 1
        assert states(pool) == {"a": "unloaded", "b": "ready", "c": "unloaded"}
        assert pool.status()["b"].in_use == 0


def test_the_least_recently_used_idle_model_goes() -> None:
    with make() as pool:
        engines = {}
        for name in ("a", "b", "a"):
            with pool.lease(name) as engine:
                engines[name] = engine
        with pool.lease("c"):
            assert states(pool) == {"a": "ready", "b": "unloaded", "c": "ready"}
        assert engines["b"].closed
        assert not engines["a"].closed


def test_a_model_in_use_stays() -> None:
    with make() as pool, pool.lease("a") as first:
        with pool.lease("b"):
            pass
        with pool.lease("c"):
            assert states(pool) == {"a": "ready", "b": "unloaded", "c": "ready"}
        assert LLM(first).generate("x").text == "I am A."


def test_no_room_beside_those_in_use_is_an_error_with_numbers() -> None:
    with make() as pool, pool.lease("a"), pool.lease("b"):
        with pytest.raises(InsufficientMemoryError) as caught, pool.lease("c"):
            pass
        assert (caught.value.needed_bytes, caught.value.limit_bytes, caught.value.used_bytes) == (10, 20, 20)
        assert pool.status()["c"].state == "failed"


def test_a_model_that_failed_is_tried_again() -> None:
    tried = []

    def load(model: str, **options: Any) -> FakeEngine:
        tried.append(model)
        if len(tried) == 1:
            raise ModelLoadError("could not load A: it is broken", path="A", reason="it is broken")
        return fake(model, **options)

    with make(load) as pool:
        with pytest.raises(ModelLoadError, match="broken"), pool.lease("a"):
            pass
        assert pool.status()["a"].error == "could not load A: it is broken"
        with pool.lease("a") as engine:
            assert LLM(engine).generate("x").text == "I am A."
        assert pool.status()["a"].error is None


def test_those_who_ask_while_it_loads_get_the_same_engine() -> None:
    go_on = threading.Event()
    loads: list[str] = []

    def load(model: str, **options: Any) -> FakeEngine:
        loads.append(model)
        assert go_on.wait(10)
        return fake(model, **options)

    engines = []

    def use() -> None:
        with pool.lease("a") as engine:
            engines.append(engine)

    with make(load) as pool:
        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        while not loads:
            pass
        assert states(pool)["a"] == "loading"
        go_on.set()
        for thread in threads:
            thread.join(10)
        assert len(engines) == 8
        assert len(set(map(id, engines))) == 1
        assert loads == ["A"]


def test_unloading_waits_for_nobody_and_spares_those_in_use() -> None:
    with make() as pool:
        with pool.lease("a") as engine:
            assert not pool.unload("a")
        assert pool.unload("a")
        assert engine.closed
        assert pool.unload("a")
        assert pool.engine("a") is None


def test_a_closed_pool_loads_nothing() -> None:
    pool = make()
    with pool.lease("a") as engine:
        pool.close()
        assert engine.closed
    with pytest.raises(EngineClosedError), pool.lease("a"):
        pass


def test_unknown_names_and_options_are_errors() -> None:
    with make() as pool, pytest.raises(InvalidRequestError, match="there is a, b, c"), pool.lease("d"):
        pass
    with pytest.raises(InvalidRequestError, match="needs a model"):
        ModelPool({})
    with pytest.raises(TypeError, match="did you mean 'n_ctx'"):
        ModelPool({"a": "A"}, n_ctxx=1)
