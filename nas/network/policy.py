"""The recurrent policy that draws genotypes gene by gene, as in NASNet (1707.07012) and MnasNet (1807.11626)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

_INIT = 0.1  # all weights start uniformly within this of zero (1611.01578, section 4.1)


@final
class GenePolicy(nn.Module):
    """An LSTM that sees the last gene's choice and gives the log-probabilities of the next gene's.

    Computes in float64, so that a search that is replayed on other hardware draws the same choices.
    """

    def __init__(self, choices: Sequence[int], hidden: int, generator: torch.Generator) -> None:
        """`choices[g]` is the number of choices of gene g; `generator` draws the weights."""
        super().__init__()
        genes, widest = len(choices), max(choices)
        offsets = [1 + sum(choices[:gene]) for gene in range(genes)]  # token 0 is the start
        with torch.random.fork_rng(devices=[]):  # torch's constructors draw from the global generator
            self.embed = nn.Embedding(1 + sum(choices), hidden, dtype=torch.float64)
            self.lstm = nn.LSTM(hidden, hidden, batch_first=True, dtype=torch.float64)
        self.weight = nn.Parameter(torch.empty(genes, widest, hidden, dtype=torch.float64))
        self.bias = nn.Parameter(torch.empty(genes, widest, dtype=torch.float64))
        absent = torch.arange(widest) >= torch.tensor(choices)[:, None]  # (G, C)
        self.register_buffer("mask", torch.zeros(genes, widest, dtype=torch.float64).masked_fill(absent, -torch.inf))
        self.register_buffer("offsets", torch.tensor(offsets))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -_INIT, _INIT, generator=generator)
        nn.init.zeros_(self.bias)

    mask: Tensor
    offsets: Tensor

    def forward(self, genotypes: Tensor) -> Tensor:
        """(B, G) choices to (B, G, C) log-probabilities of each gene's choices given the genes before it."""
        tokens = torch.zeros_like(genotypes)
        tokens[:, 1:] = (genotypes + self.offsets)[:, :-1]
        states, _ = self.lstm(self.embed(tokens))  # (B, G, H)
        logits = torch.einsum("bgh,gch->bgc", states, self.weight) + self.bias + self.mask
        return logits.log_softmax(-1)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """(B, G) choices of `count` genotypes."""
        token, state = torch.zeros(count, 1, dtype=torch.long), None
        drawn = []
        for gene in range(len(self.bias)):
            output, state = self.lstm(self.embed(token), state)
            logits = output[:, 0] @ self.weight[gene].T + self.bias[gene] + self.mask[gene]  # (B, C)
            drawn.append(torch.multinomial(logits.softmax(-1), 1, generator=generator))  # (B, 1)
            token = drawn[-1] + self.offsets[gene]
        return torch.cat(drawn, dim=1)


def log_probabilities(policy: GenePolicy, genotypes: Tensor) -> Tensor:
    """(B, G) log-probability of each gene's choice in `genotypes`."""
    chosen: Tensor = policy(genotypes).gather(-1, genotypes[:, :, None]).squeeze(-1)
    return chosen


@dataclass(frozen=True, slots=True)
class Rollout:
    """Genotypes (B, G), their log-probabilities (B, G) when drawn, and how much better than expected they were (B,)."""

    genotypes: Tensor
    log_probabilities: Tensor
    advantages: Tensor


def ppo_loss(policy: GenePolicy, rollout: Rollout, *, clip: float, entropy: float) -> Tensor:
    """The clipped surrogate of PPO (1707.06347, equation 7) with an entropy bonus, averaged over genes and batch."""
    every: Tensor = policy(rollout.genotypes)  # (B, G, C)
    chosen = every.gather(-1, rollout.genotypes[:, :, None]).squeeze(-1)
    ratio = (chosen - rollout.log_probabilities).exp()
    gain = rollout.advantages[:, None]
    surrogate = torch.minimum(ratio * gain, ratio.clamp(1 - clip, 1 + clip) * gain)
    spread = -(every.exp() * every.clamp_min(-1e9)).sum(-1)  # absent choices have p = 0 and log p = -inf
    return -(surrogate + entropy * spread).mean()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, so that sums are added up in the same order on every machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
