"""Feature vectors on which the SOD head is taught to be uncertain."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamsed.config import require
from streamsed.errors import StateError
from training.eow.config import EowConfig
from training.eow.places import Tail, untouched

# Weight of a new batch in the running mean and variance.
_MOMENTUM = 0.01


class FeatureSampler(nn.Module):
    """Draws from p(x) ~ exp(-E(x)) with E(x) = log u(x), or from one of the two simpler choices.

    Everything that later draws depend on is in ``state_dict``: chains, range and moments of the features, and the
    number of draws, which together with the seed decides what is random about the next one.

    Parameters
    ----------
    features : int
        D, the width of the features.
    config : EowConfig
        Samples are vectors (D,) at its place ``head_input``, else sequences (L, D).
    """

    def __init__(self, features: int, config: EowConfig) -> None:
        super().__init__()
        require(features >= 1, "features", "at least 1", features)
        self.config = config
        # Finite from the start: averaged weights (EMA) average buffers too, and of an infinity they make nan.
        self.register_buffer("low", torch.zeros(features))
        self.register_buffer("high", torch.zeros(features))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("variance", torch.zeros(features))
        self.register_buffer("observations", torch.zeros((), dtype=torch.int64))
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))
        self._shape = (features,) if config.place == "head_input" else (config.frames, features)
        kept = config.buffer_size if config.sampler == "sgld" else 0
        start = torch.rand((kept, *self._shape), generator=torch.Generator().manual_seed(config.seed))
        self.register_buffer("chains", config.restart_range * (2 * start - 1))

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        """Take note of range and moments of features (..., D)."""
        x = x.detach().float().flatten(0, -2)
        expected = f"{self.low.shape[0]} in the last axis"
        require(x.shape[-1] == self.low.shape[0], "features", expected, tuple(x.shape))
        first = bool(self.observations == 0)
        self.low.copy_(x.amin(0) if first else torch.minimum(self.low, x.amin(0)))
        self.high.copy_(x.amax(0) if first else torch.maximum(self.high, x.amax(0)))
        momentum = 1.0 if first else _MOMENTUM
        self.mean.lerp_(x.mean(0), momentum)
        self.variance.lerp_(x.var(0, correction=0), momentum)
        self.observations += 1

    def draw(self, head: nn.Module | Tail) -> Tensor:
        """Return ``config.samples`` vectors (n, D) or sequences (n, L, D), detached.

        Parameters
        ----------
        head : nn.Module or Tail
            Samples to logits (..., P + 1), the last being the open-world uncertainty. In eval mode meanwhile;
            its parameters get no gradient.

        Raises
        ------
        StateError
            Before the first :meth:`observe`.
        """
        if self.observations == 0:
            raise StateError("draw: expected features to have been observed, got none yet")
        config, device = self.config, self.low.device
        # Large odd factor: seeds of neighbouring draws and of neighbouring trainings must not coincide.
        seed = config.seed * 1_000_003 + int(self.draws)
        self.draws += 1
        generator = torch.Generator(device).manual_seed(seed)
        if config.sampler == "sgld":
            return self._chains(head, generator)
        shape = (config.samples, *self._shape)
        if config.sampler == "gaussian":
            normal = torch.randn(shape, generator=generator, device=device)
            return self._clamped(self.mean + self.variance.sqrt() * normal)
        return self.low + (self.high - self.low) * torch.rand(shape, generator=generator, device=device)

    def _chains(self, head: nn.Module, generator: torch.Generator) -> Tensor:
        config, device = self.config, self.low.device
        # Distinct ones: of a chain continued twice only one end could be kept.
        chosen = torch.randperm(config.buffer_size, generator=generator, device=device)[: config.samples]
        x = self.chains[chosen]
        fresh = config.restart_range * (2 * torch.rand(x.shape, generator=generator, device=device) - 1)
        restart = torch.rand((len(x), 1), generator=generator, device=device) < config.restart_probability
        restart = restart.reshape(-1, *(1 for _ in self._shape))
        x = self._clamped(torch.where(restart, fresh, x))
        with untouched(head):
            for _ in range(config.steps):
                noise = torch.randn(x.shape, generator=generator, device=device)
                x = x - config.step_size * _gradient_of_energy(head, x) + config.noise * noise
                x = self._clamped(x)
        self.chains[chosen] = x
        return x

    def _clamped(self, x: Tensor) -> Tensor:
        return x.clamp(self.low, self.high) if self.config.clamp else x


def _gradient_of_energy(head: nn.Module | Tail, x: Tensor) -> Tensor:
    """Gradient of E(x) = log u(x), summed over the frames of a sequence, with respect to x."""
    # The training step may run under inference of another precision, or no gradient at all.
    with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
        x = x.detach().requires_grad_()
        log_u = functional.log_softmax(head(x).float(), dim=-1)[..., -1]
        (gradient,) = torch.autograd.grad(log_u.sum(), x)
    return gradient
