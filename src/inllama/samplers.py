"""Every sampler of llama.cpp, to be put in order in a ``Sampler``.

>>> from inllama import Sampler, samplers
>>> Sampler(model, [samplers.top_k(40), samplers.temperature(0.8), samplers.dist(seed=1)])  # doctest: +SKIP
"""

from inllama._core import (
    SamplerStage,
    adaptive_p,
    dist,
    dry,
    dynamic_temperature,
    grammar,
    greedy,
    infill,
    lazy_grammar,
    logit_bias,
    min_p,
    mirostat,
    mirostat_v2,
    penalties,
    temperature,
    top_k,
    top_n_sigma,
    top_p,
    typical_p,
    xtc,
)

__all__ = [
    "SamplerStage",
    "adaptive_p",
    "dist",
    "dry",
    "dynamic_temperature",
    "grammar",
    "greedy",
    "infill",
    "lazy_grammar",
    "logit_bias",
    "min_p",
    "mirostat",
    "mirostat_v2",
    "penalties",
    "temperature",
    "top_k",
    "top_n_sigma",
    "top_p",
    "typical_p",
    "xtc",
]
