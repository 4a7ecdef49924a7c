"""A small transformer with the architecture that llama.cpp calls "llama"."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Config:
    """Sizes of the model. Rows are multiples of 32 because Q8_0 stores blocks of 32 weights."""

    n_vocab: int = 2048
    n_ctx: int = 2048
    n_embd: int = 256
    n_layer: int = 5
    n_head: int = 8
    n_head_kv: int = 2
    n_ff: int = 640
    norm_eps: float = 1e-5
    rope_base: float = 10000.0

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.n_embd // self.n_head


def rope_table(config: Config) -> tuple[Tensor, Tensor]:
    """Returns cosine and sine of the rotation angles, each of shape (n_ctx, head_dim / 2)."""
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    angles = torch.outer(torch.arange(config.n_ctx, dtype=torch.float32), config.rope_base**-exponents)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates neighboring pairs of features, as llama.cpp does for this architecture.

    Args:
        x: Queries or keys of shape (batch, heads, time, head_dim).
        cos: Cosines of shape (time, head_dim / 2).
        sin: Sines of shape (time, head_dim / 2).

    Returns:
        Rotated features of shape (batch, heads, time, head_dim).
    """
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Attention(nn.Module):
    """Causal self-attention with rotary positions, in which several heads share their keys and values."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        width_kv = config.head_dim * config.n_head_kv
        self.q = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.k = nn.Linear(config.n_embd, width_kv, bias=False)
        self.v = nn.Linear(config.n_embd, width_kv, bias=False)
        self.out = nn.Linear(config.n_embd, config.n_embd, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Maps features of shape (batch, time, n_embd) to the same shape."""
        batch, time, width = x.shape
        shape = (batch, time, -1, self.head_dim)
        q, k, v = (layer(x).view(shape).transpose(1, 2) for layer in (self.q, self.k, self.v))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = (part.repeat_interleave(q.shape[1] // part.shape[1], dim=1) for part in (k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        result: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, time, width))
        return result


class FeedForward(nn.Module):
    """Gated feed-forward layer (SwiGLU)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.gate = nn.Linear(config.n_embd, config.n_ff, bias=False)
        self.up = nn.Linear(config.n_embd, config.n_ff, bias=False)
        self.down = nn.Linear(config.n_ff, config.n_embd, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps features of shape (batch, time, n_embd) to the same shape."""
        result: Tensor = self.down(functional.silu(self.gate(x)) * self.up(x))
        return result


class Block(nn.Module):
    """One transformer layer with normalization before each part."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attn_norm = nn.RMSNorm(config.n_embd, eps=config.norm_eps)
        self.attn = Attention(config)
        self.ffn_norm = nn.RMSNorm(config.n_embd, eps=config.norm_eps)
        self.ffn = FeedForward(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Maps features of shape (batch, time, n_embd) to the same shape."""
        x = x + self.attn(self.attn_norm(x), cos, sin)
        result: Tensor = x + self.ffn(self.ffn_norm(x))
        return result


class DemoModel(nn.Module):
    """The language model; the output matrix is the embedding matrix."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.n_vocab, config.n_embd)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm = nn.RMSNorm(config.n_embd, eps=config.norm_eps)
        cos, sin = rope_table(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._initialize()

    def forward(self, tokens: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Maps token ids of shape (batch, time) to logits of shape (batch, time, n_vocab).

        With ``chosen``, a mask of shape (batch, time), the result holds the logits at these places alone and has the
        shape (places, n_vocab).
        """
        time = tokens.shape[1]
        x: Tensor = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, self.cos[:time], self.sin[:time])
        return functional.linear(self.norm(x if chosen is None else x[chosen]), self.embedding.weight)

    def parameter_count(self) -> int:
        """Returns the number of trainable weights."""
        return sum(parameter.numel() for parameter in self.parameters())

    def _initialize(self) -> None:
        residual_scale = (2 * self.config.n_layer) ** -0.5
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                scale = residual_scale if name.endswith(("out.weight", "down.weight")) else 1.0
                nn.init.normal_(parameter, std=scale * (0.05 if "embedding" in name else self.config.n_embd**-0.5 / 2))
