"""The contract that every method keeps on every backbone that it is not excluded from.

Third parties run it on a method of theirs:

    contract = MethodContract(backbone, "my_method")
    for check in CHECKS:
        getattr(contract, check)(tmp_path)

Each check raises AssertionError with a sentence. `backbone` should be small and in float32. That
others can load what was trained is for `autopeft.testing.peft_loads` to check.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopeft.backbone.load import Backbone
from autopeft.backbone.precision import cast_weights
from autopeft.backbone.share import checksum, share
from autopeft.methods import METHODS
from autopeft.methods.adapt import adapt, private_copy, with_defaults
from autopeft.methods.artifact import load_artifact, merge, save_artifact
from autopeft.methods.packing import ALONE, pack_key
from autopeft.methods.trained import load_trainable_state, trainable, trainable_state
from autopeft.records import Candidate, Scalar
from autopeft.testing.toy import LONGEST, toy_for

if TYPE_CHECKING:
    import torch
    from torch import nn

STEPS = 30
LEAST_STEPS = 6
FALL = 0.95
ENOUGH = 0.8
"""Training ends early at this share of the first loss, far enough from where it began."""

CLOSE = 1e-5
SHUT = -1e9
"""A gate's bias that makes its sigmoid exactly 0."""

COARSE = 0.1
"""Largest difference of logits between a 16-bit and a 32-bit backbone of a tiny model, as a share
of the largest logit; of the head alone, where all of it is the backbone's, it is 0.03. Processors
round differently: prompt tuning of ModernBERT has 0.055 with AVX-512, 0.078 with AVX2, 0.091 with
AMX. An adapter that was not loaded is off by as much as it has learnt."""


class MethodContract:
    """One method on one backbone, trained on a toy with the head kept still.

    Args:
        backbone: in float32.
        method: a registered name.
        learning_rate: of the toy, which is far smaller than what the method's prior is for.
        knobs: of the method; what is left out keeps its default.
    """

    def __init__(
        self,
        backbone: Backbone,
        method: str,
        *,
        learning_rate: float = 1e-2,
        knobs: Mapping[str, Scalar] | None = None,
    ) -> None:
        self.backbone, self.info = backbone, METHODS.get(method)
        self.candidate = with_defaults(
            self.info,
            Candidate(method=method, learning_rate=learning_rate, epochs=1, knobs=knobs or {}),
        )
        self.toy = toy_for(backbone)
        self.sum_before = checksum(backbone.model)
        self.start = self.logits(self._adapt())
        self.model = self._adapt()
        self.frozen_before = {
            name: p.clone() for name, p in self.model.named_parameters() if not p.requires_grad
        }
        self.touched: set[str] = set()
        self.losses = self._train(self.model)

    def check_runs_here(self, folder: Path) -> None:
        """It is not excluded from this backbone, so the other checks mean something."""
        del folder
        assert self.info.excluded(self.backbone.shape, LONGEST) is None

    def check_loss_falls(self, folder: Path) -> None:
        """The adapter alone learns a separable toy."""
        del folder
        first, last = self.losses[0], self.losses[-1]
        assert last < FALL * first, f"loss went from {first:.3f} to {last:.3f}"

    def check_every_trained_tensor_gets_a_gradient(self, folder: Path) -> None:
        """Within two steps."""
        del folder
        trained = {name for name, p in self.model.named_parameters() if p.requires_grad}
        assert trained == self.touched, f"no gradient: {sorted(trained - self.touched)}"

    def check_base_is_untouched(self, folder: Path) -> None:
        """Frozen weights keep their values, the shared backbone its bytes."""
        import torch

        del folder
        for name, parameter in self.model.named_parameters():
            if name in self.frozen_before:
                same = torch.equal(parameter, self.frozen_before[name])
                assert same, f"{name} is frozen and has changed"
        assert checksum(self.backbone.model) == self.sum_before, "the shared backbone has changed"

    def check_trains_what_it_declares(self, folder: Path) -> None:
        """Only a method that says so trains weights of the backbone, or copies of them."""
        del folder
        inside = [
            name.removeprefix("base_model.model.").replace(".modules_to_save.default.", ".")
            for name, p in self.model.named_parameters()
            if p.requires_grad
        ]
        own = dict(self.backbone.model.named_parameters())
        heads = tuple(f"{head}." for head in self.backbone.heads)
        base = [name for name in inside if name in own and not name.startswith(heads)]
        declared = self.info.trains_base
        assert bool(base) == (declared != "none"), f"declares {declared!r}, trains {base[:3]}"

    def check_padding_does_not_matter(self, folder: Path) -> None:
        """More padding gives the same logits; of images, which have none, a smaller batch."""
        del folder
        if self.toy.padded is not None:
            padded = self.logits(inputs=self.toy.padded)
            self._assert_close(self.logits(), padded, "with more padding")
        else:
            assert self.backbone.shape.vocabulary == 0, "a toy of texts must be padded"
            few = {name: values[:3] for name, values in self.toy.inputs.items()}
            self._assert_close(self.logits()[:3], self.logits(inputs=few), "in a smaller batch")

    def check_count_is_exact(self, folder: Path) -> None:
        """Formula and independent count agree, the head apart."""
        del folder
        shape, candidate = self.backbone.shape, self.candidate
        formula = self.info.count(shape, candidate.placement, candidate.knobs)
        assert trainable(self.model) == (formula, shape.head_params), (
            f"the model trains {trainable(self.model)}, the formula says "
            f"{(formula, shape.head_params)}"
        )

    def check_save_then_load_gives_equal_logits(self, folder: Path) -> None:
        """On the shared backbone, with bytes counted as they lie on the disk."""
        size = save_artifact(self.model, folder, self.candidate)
        assert size == sum(f.stat().st_size for f in folder.glob("*.safetensors")) > 0
        pickled = [f.name for f in folder.iterdir() if f.suffix in (".bin", ".pt", ".pkl")]
        assert not pickled, pickled
        loaded = load_artifact(self.backbone, folder)
        self._assert_close(self.logits(), self.logits(loaded), "after save and load")

    def check_saving_changes_nothing(self, folder: Path) -> None:
        """The model that was saved goes on as before, and saves the same again."""
        before = self.logits()
        first = save_artifact(self.model, folder / "1", self.candidate)
        second = save_artifact(self.model, folder / "2", self.candidate)
        assert first == second
        self._assert_close(before, self.logits(), "after saving")

    def check_merge_gives_equal_logits(self, folder: Path) -> None:
        """A merged model is a plain one that computes the same; the adapted one stays."""
        del folder
        if not self.info.mergeable:
            return
        before = self.logits()
        merged = merge(self.model)
        assert type(merged) is type(self.backbone.model), type(merged)
        names = {name for name, _ in merged.named_parameters()}
        assert names == {name for name, _ in self.backbone.model.named_parameters()}
        self._assert_close(before, self.logits(merged), "after merging")
        self._assert_close(before, self.logits(), "of the unmerged model after merging")
        assert checksum(self.backbone.model) == self.sum_before, "merging changed the backbone"

    def check_next_candidate_is_unaffected(self, folder: Path) -> None:
        """One built after this training starts as one built before it."""
        import torch

        del folder
        again = self.logits(self._adapt())
        assert torch.equal(again, self.start), "a trace of the last candidate is left"

    def check_seed_decides(self, folder: Path) -> None:
        """Another seed gives another head."""
        import torch

        del folder
        other = self.logits(self._adapt(seed=1))
        assert not torch.equal(other, self.start), "two seeds gave the same model"

    def check_state_can_be_put_back(self, folder: Path) -> None:
        """The slim state holds all that training changes."""
        import torch

        del folder
        state = trainable_state(self.model)
        fresh = self._adapt()
        load_trainable_state(fresh, state)
        assert torch.equal(self.logits(fresh), self.logits())

    def check_low_precision_backbone(self, folder: Path) -> None:
        """Over 16 bit it trains in 32, and its artifact serves a 32-bit backbone."""
        import torch

        narrow = replace(
            self.backbone, model=cast_weights(share(self.backbone.model), torch.bfloat16)
        )
        if not self.info.low_precision:
            assert self._adapt(narrow).dtype == torch.float32
            return
        model = self._adapt(narrow)
        trained = {p.dtype for p in model.parameters() if p.requires_grad}
        assert trained == {torch.float32}, trained
        losses = self._train(model)
        assert losses[-1] < FALL * losses[0], f"loss went from {losses[0]} to {losses[-1]}"
        save_artifact(model, folder, self.candidate)
        wide = self.logits(load_artifact(self.backbone, folder))
        apart = ((wide - self.logits(model)).abs().max() / wide.abs().max()).item()
        assert apart < COARSE, f"logits differ by {apart:.0%} over a 32-bit backbone"

    def check_gradient_checkpointing_gives_equal_logits_and_gradients(self, folder: Path) -> None:
        """Layers that run again on the way back give the same, dropout included."""
        del folder
        if not self.backbone.model.supports_gradient_checkpointing:
            return
        model = self._trained_copy().train()
        logits, gradients = self._step(model)
        with warnings.catch_warnings():  # transformers is about to rename it
            warnings.simplefilter("ignore", FutureWarning)
            model.gradient_checkpointing_enable({"use_reentrant": False})
        assert any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
        again, checkpointed = self._step(model)
        self._assert_close(logits, again, "with gradient checkpointing")
        assert gradients.keys() == checkpointed.keys(), "other tensors get a gradient"
        for name, gradient in gradients.items():
            apart = (gradient - checkpointed[name]).abs().max().item()
            allowed = CLOSE * max(1.0, gradient.abs().max().item())
            assert apart <= allowed, f"the gradient of {name} differs by {apart:.1e}"

    def check_shut_gates_give_the_backbones_logits(self, folder: Path) -> None:
        """Where every part has a gate, all of them at 0 leave the backbone and the head."""
        import torch

        from autopeft.deltas.gate import Gate
        from autopeft.tuner import parts_of

        del folder
        if self.info.recipe is None:
            return
        model = self._trained_copy()
        if not all(part.gate for part in parts_of(model)):
            return
        for module in model.modules():
            if isinstance(module, Gate):
                torch.nn.init.constant_(module.linear.bias, SHUT)
        head = Candidate(method="head_only", learning_rate=1.0, epochs=1)
        plain = self.logits(adapt(self.backbone, head, seed=0))
        self._assert_close(self.logits(model), plain, "with every gate shut")

    def check_pack_gives_what_each_gives_alone(self, folder: Path) -> None:
        """In one pass with others: equal logits and gradients; what cannot be packed is refused."""
        import torch

        del folder
        if self.backbone.shape.architecture in ALONE:
            return
        members = [self._trained_copy(), self._adapt(seed=1)]
        key = pack_key(self.candidate, self.backbone.shape)
        if key is None:
            try:
                self._pack(members)(**self.toy.inputs)
            except ValueError:
                return
            raise AssertionError("it goes alone, but a pack of it is not refused")
        if not key.prompt_tokens:
            head = Candidate(method="head_only", learning_rate=1.0, epochs=1)
            members.insert(1, adapt(self.backbone, head, seed=2))
        alone = [self._step(member) for member in members]
        for member in members:
            member.zero_grad()
        logits = self._pack(members)(**self.toy.inputs)
        losses = [torch.nn.functional.cross_entropy(own, self.toy.labels) for own in logits]
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        for own, member, (expected, gradients) in zip(logits, members, alone, strict=True):
            self._assert_close(own, expected, "in a pack")
            packed = {n: p.grad for n, p in member.named_parameters() if p.grad is not None}
            assert packed.keys() == gradients.keys(), "in a pack, other tensors get a gradient"
            for name, gradient in gradients.items():
                apart = (gradient - packed[name]).abs().max().item()
                allowed = CLOSE * max(1.0, gradient.abs().max().item())
                assert apart <= allowed, f"in a pack, the gradient of {name} differs by {apart:.1e}"

    def _pack(self, members: list[Any]) -> nn.Module:
        from autopeft.tuner import Pack

        return Pack(private_copy(self.backbone), members, self.backbone.heads).eval()

    def _adapt(self, backbone: Backbone | None = None, seed: int = 0) -> Any:
        return adapt(backbone or self.backbone, self.candidate, seed=seed, total_steps=STEPS)

    def logits(
        self, model: nn.Module | None = None, *, inputs: dict[str, torch.Tensor] | None = None
    ) -> torch.Tensor:
        import torch

        with torch.no_grad():
            logits: torch.Tensor = (model or self.model)(**(inputs or self.toy.inputs)).logits
        return logits

    def _trained_copy(self) -> Any:
        model = self._adapt()
        load_trainable_state(model, trainable_state(self.model))
        return model

    def _step(self, model: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return logits and gradients of one step of training, whose dropout is always the same."""
        import torch

        model.zero_grad()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            logits = model(**self.toy.inputs).logits
            loss = torch.nn.functional.cross_entropy(logits, self.toy.labels)
            loss.backward()  # type: ignore[no-untyped-call]
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        return logits.detach(), gradients

    def _train(self, model: Any) -> list[float]:
        """Train in eval mode, so that nothing is random; the head too if there is no adapter.

        What follows a schedule goes through all of it; others end once they have learned enough.
        """
        import torch

        own = {name: p for name, p in model.named_parameters() if p.requires_grad}
        heads = tuple(f".{head}." for head in self.backbone.heads)
        alone = {n: p for n, p in own.items() if not any(head in f".{n}." for head in heads)}
        optimizer = torch.optim.AdamW(
            (alone or own).values(), lr=self.candidate.learning_rate, weight_decay=0.0
        )
        losses = []
        for step in range(STEPS):
            logits = model(**self.toy.inputs).logits
            loss = torch.nn.functional.cross_entropy(logits.float(), self.toy.labels)
            losses.append(loss.item())
            learned = step >= LEAST_STEPS and losses[-1] < ENOUGH * losses[0]
            if learned and self.info.after_step is None:
                break
            extra = self.info.penalty(model) if self.info.penalty else 0.0
            (loss + extra).backward()  # type: ignore[no-untyped-call]
            if step < 2 and model is self.model:
                self.touched |= {n for n, p in own.items() if p.grad is not None and p.grad.any()}
            optimizer.step()
            if self.info.after_step is not None:
                self.info.after_step(model, step + 1)
            model.zero_grad()
        return losses

    def _assert_close(self, one: torch.Tensor, other: torch.Tensor, when: str) -> None:
        apart = (one - other).abs().max().item()
        assert apart <= CLOSE, f"logits differ by {apart:.1e} {when}"


CHECKS = tuple(name for name in vars(MethodContract) if name.startswith("check_"))
"""Names of all checks of the contract, in the order of the file."""
