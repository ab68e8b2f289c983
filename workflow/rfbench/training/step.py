"""One parameter update: forward, loss, backward, step. Trainings, profiles and plans compute it by this class."""

from functools import partial

import torch
from torch import Tensor, nn

from rfbench.losses import cross_entropy, dice_loss
from rfbench.precision import AUTOCAST
from rfbench.settings import Training
from rfbench.training.compiling import compiled
from rfbench.training.ranks import Ranks


def device_of(model: nn.Module) -> torch.device:
    """Where a network's weights are."""
    return next(model.parameters()).device


class Update:
    """Updates of one network.

    Args:
        model: on the device that computes.
        ranks: the processes that compute an update together.
        recipe: of it `optimizer`, `micro_batches`, `dice`, `cross_entropy`, `positive_weight`, `amp`, `channels_last`
            and `compile` count.
    """

    def __init__(self, model: nn.Module, recipe: Training, ranks: Ranks = Ranks()) -> None:  # noqa: B008 (frozen)
        self.ranks = ranks
        self.parts, self.dtype = recipe.micro_batches, AUTOCAST[recipe.amp]
        self.over_batch, self.cross_entropy = recipe.dice == "batch", recipe.cross_entropy
        self.positive_weight = recipe.positive_weight
        self.own_loss = getattr(model, "own_loss", False)
        self.device = device_of(model)
        self.layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self.model = model.to(memory_format=self.layout)
        shared = ranks.wrapped(self.model, self.device)
        self.forward = compiled(shared) if recipe.compile else shared
        self.alone = partial(ranks.alone, shared)
        options = recipe.optimizer.model_dump() | ({"fused": True} if self.device.type == "cuda" else {})
        self.optimizer = getattr(torch.optim, options.pop("type"))(model.parameters(), **options)
        # Gradients of float16 fall below its smallest number unless the loss is scaled; bfloat16's do not.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)

    def __call__(self, images: Tensor, label: Tensor, rate: float) -> Tensor:
        """Update the parameters once.

        Args:
            images: normalised, (N, 3, H, W), this process's share; N is divisible by the number of micro-batches.
            label: int64 (N, H, W).
            rate: learning rate.

        Returns:
            The loss of each micro-batch before the update, (micro_batches,), on the device: nothing waits for it.
        """
        *first, last = zip(images.chunk(self.parts), label.chunk(self.parts), strict=True)
        with self.alone():  # gradients are averaged over processes once an update
            losses = [self.backward(*part) for part in first]
        losses.append(self.backward(*last))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        return self.ranks.mean(torch.stack(losses))

    def backward(self, images: Tensor, label: Tensor) -> Tensor:
        """Add a micro-batch's share to the gradients; its loss, float32 whatever the network computes in."""
        images = images.contiguous(memory_format=self.layout)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            output = self.forward(images, label) if self.own_loss else self.forward(images)
        loss = output if self.own_loss else self._loss(output, label)
        self.scaler.scale(loss / self.parts).backward()
        return loss.detach()

    def _loss(self, logits: Tensor, label: Tensor) -> Tensor:
        """The recipe's loss."""
        loss = dice_loss(logits, label, over_batch=self.over_batch)
        if self.cross_entropy:
            loss = loss + self.cross_entropy * cross_entropy(logits, label, positive_weight=self.positive_weight)
        return loss

    def state(self) -> dict:
        """What the next update depends on beside the parameters."""
        return {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}

    def load_state(self, state: dict) -> None:
        """Continue from `state`."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
