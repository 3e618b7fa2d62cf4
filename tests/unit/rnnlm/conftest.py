from __future__ import annotations

import pytest
import torch

from asrkit.rnnlm.network import SPECIAL_WORDS, Sizes, WordLstm


@pytest.fixture
def small() -> WordLstm:
    """Of first weights that make words differ; `rare` is read as `<unk>`."""
    torch.manual_seed(1)
    model = WordLstm((*SPECIAL_WORDS, "the", "cat", "sat", "rare"), Sizes(6, 10, 8, input_words=5))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return model.eval()
