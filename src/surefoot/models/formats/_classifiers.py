"""The torch modules behind the Hugging Face format; imported only once torch is needed."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

Pooling = Literal["mean", "cls"]


class SequenceClassifier(nn.Module):
    """A transformers model for sequence classification that gives plain logits.

    Args:
        model: A `PreTrainedModel` whose output has `logits`.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """(n, classes) logits of (n, length) tokens."""
        extra = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        logits: Tensor = self.model(
            input_ids=input_ids, attention_mask=attention_mask, **extra
        ).logits
        return logits


class EncoderClassifier(nn.Module):
    """An encoder, pooled over its tokens, with a linear head.

    Args:
        encoder: A `PreTrainedModel` whose output has `last_hidden_state`.
        head: From pooled features to logits.
        pooling: The mean over the tokens that are not padding, or the first token.
    """

    def __init__(self, encoder: Any, head: nn.Linear, pooling: Pooling) -> None:
        super().__init__()
        self.encoder, self.head, self.pooling = encoder, head, pooling

    def features(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """(n, width) pooled features of (n, length) tokens."""
        extra = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        states: Tensor = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, **extra
        ).last_hidden_state
        if self.pooling == "cls":
            return states[:, 0]
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        return (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """(n, classes) logits of (n, length) tokens."""
        logits: Tensor = self.head(self.features(input_ids, attention_mask, token_type_ids))
        return logits


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer with the given weights."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer
