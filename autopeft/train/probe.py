"""A few training steps before the first trial: the fastest plan, and the memory of a token."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from autopeft.backbone.load import Backbone
from autopeft.methods import METHODS
from autopeft.methods.adapt import adapt, private_copy, with_defaults
from autopeft.methods.packing import PACK_BYTES, pack_key
from autopeft.records import Candidate
from autopeft.train.batches import Batch, collate, evaluation_rows, inputs_of, on_device
from autopeft.train.costs import PeakMemory, free_bytes
from autopeft.train.evaluate import most_tokens
from autopeft.train.module import training_mode
from autopeft.train.padding import Padding
from autopeft.train.precision import Plan, clearly_faster, fastest, plans, step_seconds
from autopeft.train.runner import Runner
from autopeft.train.shortage import release
from autopeft.tuner import Pack

if TYPE_CHECKING:
    from autopeft.tasks.encode import Encoded

PROBE_ROWS = 16

ATTENTIONS = ("eager", "sdpa")

PACKS = (2, 4, 8)
"""Pack sizes worth timing, beside one candidate alone."""

_WORTHWHILE = 1.05
_PART_OF_MEMORY = 0.5
_TOKENS = 1024
_LENGTHS = 8


class Probe:
    """Makes training steps of default LoRA, or of the head where LoRA cannot run.

    Args:
        delivered: the backbone that is evaluated on at the end.
        backbone_for: from a plan, the backbone that it trains on.
        train: the rows to take the batch from.
        loss: of the task.
        padding: makes rows equally long.
        device: where the model lives.

    Attributes:
        seconds: spent on measuring.
    """

    def __init__(
        self,
        delivered: Backbone,
        backbone_for: Callable[[Plan], Backbone],
        train: Encoded,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        *,
        padding: Padding,
        device: torch.device,
    ) -> None:
        self._delivered, self._backbone_for, self._loss = delivered, backbone_for, loss
        self._train, self._padding, self._device = train, padding, device
        self._usual = self._batch(np.linspace(0, len(train.targets) - 1, PROBE_ROWS).astype(int))
        self._most_threads = torch.get_num_threads()
        self.seconds = 0.0

    def fastest(self) -> Plan:
        """Return the plan to train with on this machine."""
        started = time.monotonic()
        plan = fastest(plans(self._device, ATTENTIONS), self._prepared)
        backbone = self._backbone_for(plan)
        plan = self._with_threads(plan, backbone)
        plan = dataclasses.replace(
            plan,
            bytes_per_token=self._bytes_per_token(backbone),
            evaluation_bytes=self._evaluation_bytes(),
            seconds_per_token=self._seconds_per_token(),
        )
        plan = self._with_pack(plan, backbone)
        self.seconds = time.monotonic() - started
        return plan

    def _with_threads(self, plan: Plan, backbone: Backbone) -> Plan:
        """Return the plan with fewer threads than there are cores, as long as they are faster.

        Small products do not fill many cores; and where others keep a core busy, each product waits
        for the thread that shares it with them.
        """
        if self._device.type != "cpu":
            return plan
        threads = self._most_threads
        step = self._step([self._adapted(backbone)], backbone, self._usual)
        quickest = plan.seconds_per_step or step_seconds(step)
        while threads > 1:
            torch.set_num_threads(threads // 2)
            seconds = clearly_faster(step, quickest)
            if seconds is None:
                break
            threads, quickest = threads // 2, seconds
        torch.set_num_threads(threads)
        if threads == self._most_threads:
            return plan
        return dataclasses.replace(plan, threads=threads, seconds_per_step=quickest)

    def _with_pack(self, plan: Plan, backbone: Backbone) -> Plan:
        """Return the plan with how many candidates to train in one pass: more only if it pays.

        Each size is twice the last one and has to gain by itself; what would not be let train for
        its memory is not timed. What has too few rows for all threads alone may have enough of them
        in a pack.
        """
        if pack_key(self._candidate(backbone), backbone.shape) is None:
            return plan
        models = [self._adapted(backbone)]
        best = 1
        quickest = plan.seconds_per_step or step_seconds(self._step(models, backbone, self._usual))
        for size in PACKS:
            if not self._fits(size, plan.bytes_per_token):
                break
            models += [self._adapted(backbone) for _ in range(size - len(models))]
            enough = size * quickest / _WORTHWHILE
            step = self._step(models, backbone, self._usual)
            each = step_seconds(step, enough=enough) / size
            if each * _WORTHWHILE >= quickest:
                break
            best, quickest = size, each
        plan = dataclasses.replace(plan, pack=best)
        if plan.threads is None or best == 1:
            return plan
        torch.set_num_threads(self._most_threads)
        if clearly_faster(self._step(models[:best], backbone, self._usual), best * quickest):
            return dataclasses.replace(plan, threads=None)
        torch.set_num_threads(plan.threads)
        return plan

    def _fits(self, size: int, bytes_per_token: float) -> bool:
        """Return whether a pack may be so large: on a processor its longest rows are bounded."""
        if self._device.type == "cpu":
            tokens, room = PROBE_ROWS * int(self._train.lengths.max()), float(PACK_BYTES)
        else:
            tokens = self._usual["input_ids"].numel()
            room = _PART_OF_MEMORY * free_bytes(self._device)
        return size * tokens * bytes_per_token <= room

    def _prepared(self, plan: Plan) -> Callable[[], None]:
        backbone = self._backbone_for(plan)
        return self._step([self._adapted(backbone)], backbone, self._usual)

    def _candidate(self, backbone: Backbone) -> Candidate:
        lora = METHODS.get("lora")
        method = lora if lora.excluded(backbone.shape, 1) is None else METHODS.get("head_only")
        plain = Candidate(
            method=method.name, learning_rate=1e-4, epochs=1, placement=method.placement
        )
        return with_defaults(method, plain)

    def _adapted(self, backbone: Backbone) -> torch.nn.Module:
        candidate = self._candidate(backbone)
        return adapt(backbone, candidate, seed=0, total_steps=1).to(self._device)

    def _step(
        self, models: list[torch.nn.Module], backbone: Backbone, batch: Batch
    ) -> Callable[[], None]:
        """Return a training step of models in one pass."""
        tree = models[0]
        if len(models) > 1:
            tree = Pack(private_copy(backbone).to(self._device), models, backbone.heads)
        training_mode(tree)
        runner, targets = Runner(tree), batch["targets"]

        def step() -> None:
            losses: Any = [self._loss(own.float(), targets) for own in runner(batch)]
            sum(losses).backward()
            self._wait()

        return step

    def _wait(self) -> None:
        """Wait for a GPU, which works on while the program goes on."""
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def _batch(self, rows: np.ndarray) -> Batch:
        return on_device(collate(self._train, rows, self._padding), self._device)

    def _longest(self, tokens: int) -> Batch:
        """Return as many of the longest rows as have so many tokens, at least one."""
        return self._batch(evaluation_rows(self._train.lengths, max_tokens=tokens)[0])

    def _bytes_per_token(self, backbone: Backbone) -> float:
        """Return what steps on batches of many lengths take, per token of the longest.

        On a processor, every new length leaves something behind: holes in the heap that the next
        batch does not fit into, and kernels that oneDNN keeps for its shape. A process that has
        seen one length only is half as large.
        """
        longest = self._longest(_TOKENS)
        rows = len(longest["input_ids"])
        order = np.argsort(self._train.lengths, kind="stable")
        places = np.linspace(0, len(order) - rows, _LENGTHS).astype(int)
        mixed = np.random.default_rng(0).permutation(places)
        batches = [self._batch(order[place : place + rows]) for place in mixed]
        model = self._adapted(backbone)
        steps = [self._step([model], backbone, batch) for batch in (*batches, longest)]
        return self._most(*steps) / longest["input_ids"].numel()

    def _evaluation_bytes(self) -> int:
        model, batch = self._delivered.model, inputs_of(self._longest(most_tokens(self._device)))
        with torch.inference_mode():
            return self._most(lambda: model(**batch))

    def _seconds_per_token(self) -> float:
        """Return what scoring takes on rows of middling length, which are alike in a batch."""
        tokens = _TOKENS if self._device.type == "cpu" else most_tokens(self._device)
        batches = evaluation_rows(self._train.lengths, max_tokens=tokens)
        model, batch = self._delivered.model, self._batch(batches[len(batches) // 2])

        def score() -> None:
            model(**inputs_of(batch))
            self._wait()

        with torch.inference_mode():
            return step_seconds(score) / batch["input_ids"].numel()

    def _most(self, *work: Callable[[], Any]) -> int:
        """Return the most memory that some work takes."""
        release(self._device)  # or what was freed before would hide what is needed now
        with PeakMemory(self._device) as memory:
            for each in work:
                each()
        return memory.extra_bytes
