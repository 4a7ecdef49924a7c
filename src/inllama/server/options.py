"""The options of the server, each declared once."""

from __future__ import annotations

from dataclasses import dataclass

from inllama.options import Options, option


@dataclass(frozen=True, kw_only=True)
class AppOptions(Options):
    """What the app allows, wherever it is served."""

    api_keys: tuple[str, ...] = option(
        "Keys, one of which every request needs; with none, everybody may ask.", (), each=str
    )
    model_names: tuple[str, ...] = option(
        "More names for the model, besides that of its file; '*' is any name.", (), each=str
    )
    strict: bool = option("Refuse fields that are unknown or without effect; otherwise a header names them.", False)
    allowed_hosts: tuple[str, ...] = option(
        "Names in the Host header, besides localhost and addresses; '*' is any name. With keys, any name will do.",
        (),
        each=str,
    )
    cors_origins: tuple[str, ...] = option(
        "Origins of other web pages that may ask, such as https://app.example.", (), each=str
    )
    max_body_bytes: int = option("Largest body of a request.", 8 << 20, low=1 << 10, high=1 << 32, unit="bytes")
    max_json_depth: int = option("Deepest nesting of lists and objects in a body.", 64, low=4, high=200)
    body_timeout_s: float = option(
        "Longest time in which a body must arrive.", 60.0, low=0.1, high=86_400.0, unit="seconds"
    )
    send_timeout_s: float = option(
        "Longest time in which a client takes nothing of a stream; then its request ends.",
        120.0,
        low=0.1,
        high=86_400.0,
        unit="seconds",
    )
    max_outputs: int = option("Most outputs of a request: prompts times n.", 128, low=1, high=1024)
    max_texts: int = option("Most texts of a request for vectors or scores.", 2048, low=1, high=1 << 20)
    max_stored: int = option("Most responses that are kept for previous_response_id.", 1000, low=0, high=1 << 20)
    max_stored_bytes: int = option(
        "Most memory that these take; who has the most loses its oldest.", 64 << 20, low=0, high=1 << 40, unit="bytes"
    )
    request_timeout_s: float | None = option(
        "Time after which a request fails, if it asks for none or a longer one.", None, low=0.1, unit="seconds"
    )


@dataclass(frozen=True, kw_only=True)
class ListenOptions(Options):
    """Where the server listens, and what it asks of connections."""

    host: str = option("Address to listen at. Any that others can reach needs keys, or allow_anyone.", "127.0.0.1")
    port: int = option("Port to listen at; 0 takes a free one.", 8080, low=0, high=65_535)
    allow_anyone: bool = option("Listen where others can reach it without asking for keys.", False)
    header_timeout_s: float = option(
        "Longest time in which the headers of a request must arrive.", 10.0, low=0.05, high=3600.0, unit="seconds"
    )
    idle_timeout_s: int = option(
        "How long a connection without a request stays open.", 30, low=1, high=86_400, unit="seconds"
    )
    max_header_bytes: int = option("Largest headers of a request.", 32 << 10, low=1 << 10, high=1 << 20, unit="bytes")
    max_connections: int = option("Most connections at once; more get a 503.", 1024, low=1, high=1 << 20)
    drain_s: float = option(
        "After SIGTERM, how long running requests may go on.", 30.0, low=0.0, high=86_400.0, unit="seconds"
    )
