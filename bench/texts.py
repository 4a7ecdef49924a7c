"""A real encoder, and texts for it."""

from __future__ import annotations

import random
import re
import subprocess
import sys

from bench.measure import ROOT

MINILM = ROOT / "bench" / "models" / "minilm-f32.gguf"
_WORDS = re.findall(
    r"\S+",
    "time year people way day man thing woman life child world school state family student group country problem hand "
    "part place case week company system program question work government number night point home water room mother "
    "area money story fact month lot right study book eye job word business issue side kind head house service friend "
    "father power hour game line end member law car city community name president team minute idea body information "
    "back parent face others level office door health person art war history party result change morning reason "
    "research girl guy moment air teacher force education the of and a to in is you that it he was for on are as with "
    "extraordinarily interdisciplinary photosynthesis thermodynamics misunderstanding",
)


def minilm_path() -> str:
    """Return the path of all-MiniLM-L6-v2, which is written on first use."""
    if not MINILM.exists():
        subprocess.run([sys.executable, str(ROOT / "tools" / "make_minilm.py"), str(MINILM)], check=True)
    return str(MINILM)


def mixed_texts(n: int) -> list[str]:
    """Return texts of 8 to 200 tokens, the same each time."""
    from inllama import Model

    chance = random.Random(1)
    with Model(minilm_path(), vocab_only=True) as model:
        found: list[str] = []
        while len(found) < n:
            text = " ".join(chance.choices(_WORDS, k=chance.randint(3, 90)))
            if 8 <= len(model.tokenizer.encode(text)) <= 200:
                found.append(text)
    return found
