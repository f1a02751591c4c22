"""What is kept comes back as it was, within bounds, and nothing on disk can do harm."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from autopeft.backbone.load import Backbone
from autopeft.backbone.replay import Replay
from autopeft.backbone.share import checksum
from autopeft.train import recycle
from autopeft.train.batches import collate
from autopeft.train.frozen import FrozenStates
from autopeft.train.padding import Padding
from autopeft.train.recycle import Compute, Key, Recycled, computing, digest
from tests.train.toy import encoded

WIDTH = 6
LENGTHS = np.random.default_rng(0).integers(1, 40, 300)
SIZE = 16 * len(LENGTHS) + 4 * WIDTH * (int(LENGTHS.sum()) + 1)


def key(number: int = 0) -> Key:
    return Key(backbone="b", data=str(number), layers=3, dtype="float32", attention="eager")


def row(number: int) -> Tensor:
    """Return the states (T, H) of a row: its number and its places."""
    length = int(LENGTHS[number])
    return torch.full((length, WIDTH), float(number)) + torch.arange(length)[:, None] / 64


def states_of(rows: np.ndarray) -> Tensor:
    """Return states with something else than zeros in the padding."""
    found = torch.full((len(rows), int(LENGTHS[rows].max()), WIDTH), -7.0)
    for place, number in enumerate(rows):
        found[place, : LENGTHS[number]] = row(number)
    return found


class Counted:
    """Computes, and counts how often it is asked."""

    def __init__(self, compute: Compute = states_of) -> None:
        self.compute, self.calls = compute, 0

    def __call__(self, rows: np.ndarray) -> Tensor:
        self.calls += 1
        return self.compute(rows)


def never(rows: np.ndarray) -> Tensor:
    raise AssertionError("computed although it is there")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def path_of(folder: Path, which: Key) -> Path:
    return folder / f"{which.name}.safetensors"


def assert_right(found: FrozenStates | None) -> None:
    assert found is not None
    rows = np.array([5, 0, 299, 17, 5])
    longest = int(LENGTHS[rows].max())
    batch = found.batch(rows, longest + 2)
    assert batch.shape == (5, longest + 2, WIDTH)
    for place, number in enumerate(rows):
        assert torch.equal(batch[place, : LENGTHS[number]], row(number))
        assert not batch[place, LENGTHS[number] :].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_states_come_back_as_they_were_in_their_own_dtype(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    def compute(rows: np.ndarray) -> Tensor:
        return states_of(rows).to(dtype)

    made = Recycled(tmp_path).states(key(), LENGTHS, compute)
    again = Recycled(tmp_path).states(key(), LENGTHS, never)
    assert made is not None and again is not None
    for start in range(0, 300, 16):
        rows = np.arange(start, min(300, start + 16))
        longest = int(LENGTHS[rows].max())
        real = torch.arange(longest) < torch.from_numpy(LENGTHS[rows, None])
        expected = (compute(rows) * real[..., None]).to(dtype)
        for found in (made, again):
            assert found.batch(rows, longest).dtype == dtype
            assert torch.equal(found.batch(rows, longest), expected)


def test_file_holds_every_token_once_and_nothing_else(tmp_path: Path) -> None:
    Recycled(tmp_path).states(key(), LENGTHS, states_of)
    (file,) = tmp_path.iterdir()
    assert SIZE < file.stat().st_size < SIZE + 1000
    values = load_file(file)
    assert values["states"].shape == (int(LENGTHS.sum()) + 1, WIDTH)
    assert not values["states"][-1].any()


def test_every_row_is_computed_once_and_then_never_again(tmp_path: Path) -> None:
    asked: list[int] = []

    def compute(rows: np.ndarray) -> Tensor:
        asked.extend(rows.tolist())
        return states_of(rows)

    kept = Recycled(tmp_path)
    assert kept.states(key(), LENGTHS, compute) is kept.states(key(), LENGTHS, never)
    assert sorted(asked) == list(range(300))


def test_it_tells_what_it_has_without_reading_it(tmp_path: Path) -> None:
    kept = Recycled(tmp_path)
    assert not kept.has(key())
    kept.states(key(), LENGTHS, states_of)
    assert kept.has(key())
    assert Recycled(tmp_path).has(key())
    assert not kept.has(key(1))


def test_row_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    found = Recycled(tmp_path).states(key(), LENGTHS, states_of)
    assert found is not None
    longest = int(LENGTHS.max())
    with pytest.raises(ValueError, match=f"{longest} tokens does not fit in {longest - 1}"):
        found.batch(np.arange(300), longest - 1)


def test_each_thing_that_states_depend_on_is_in_the_key() -> None:
    one = Key(backbone="b", data="d", layers=3, dtype="float32", attention="eager")
    others = [
        Key(backbone="x", data="d", layers=3, dtype="float32", attention="eager"),
        Key(backbone="b", data="x", layers=3, dtype="float32", attention="eager"),
        Key(backbone="b", data="d", layers=2, dtype="float32", attention="eager"),
        Key(backbone="b", data="d", layers=3, dtype="bfloat16", attention="eager"),
        Key(backbone="b", data="d", layers=3, dtype="float32", attention="sdpa"),
        Key(backbone="b", data="d", layers=3, dtype="float32", attention="eager", device="cuda"),
    ]
    assert len({made.name for made in (one, *others)}) == 7
    assert one.name == Key(**{f: getattr(one, f) for f in one.__dataclass_fields__}).name


def test_digest_tells_tokens_segments_and_order_apart() -> None:
    rows = encoded(20)
    found = {digest(rows), digest(encoded(20, seed=1)), digest(encoded(19))}
    rows.input_ids[0], rows.input_ids[1] = rows.input_ids[1], rows.input_ids[0]
    found.add(digest(rows))
    assert rows.token_type_ids is not None
    rows.token_type_ids[0][-1] += 1
    found.add(digest(rows))
    assert len(found) == 5
    assert digest(encoded(20)) in found


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    kept = Recycled(tmp_path, 3 * SIZE + 4000)
    for number in range(3):
        assert kept.states(key(number), LENGTHS, states_of)
        os.utime(path_of(tmp_path, key(number)), (number, number))
    assert kept.states(key(0), LENGTHS, never)
    assert kept.states(key(3), LENGTHS, states_of)
    expected = sorted(path_of(tmp_path, key(number)).name for number in (0, 2, 3))
    assert files(tmp_path) == expected


def test_folder_stays_within_its_limit_whatever_comes(tmp_path: Path) -> None:
    limit = int(2.5 * SIZE)
    for number in range(6):
        assert Recycled(tmp_path, limit).states(key(number), LENGTHS, states_of)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= limit


def test_what_this_process_holds_never_goes(tmp_path: Path) -> None:
    kept = Recycled(tmp_path, int(1.5 * SIZE))
    held = kept.states(key(0), LENGTHS, states_of)
    asked = Counted()
    assert kept.states(key(1), LENGTHS, asked) is None
    assert "beyond the limit of 0 MB" in kept.refused
    assert asked.calls == 1
    assert_right(held)
    del held
    assert_right(kept.states(key(1), LENGTHS, states_of))
    assert kept.refused == ""
    assert files(tmp_path) == [path_of(tmp_path, key(1)).name]


def test_states_larger_than_the_limit_push_nothing_out(tmp_path: Path) -> None:
    kept = Recycled(tmp_path, SIZE + 2000)
    kept.states(key(0), LENGTHS, states_of)
    asked = Counted(lambda rows: states_of(rows).repeat(1, 1, 9))
    assert kept.states(key(1), LENGTHS, asked) is None
    assert asked.calls == 1
    assert_right(kept.states(key(0), LENGTHS, never))


def test_states_stay_valid_when_another_process_removes_their_file(tmp_path: Path) -> None:
    held = Recycled(tmp_path).states(key(), LENGTHS, states_of)
    path_of(tmp_path, key()).unlink()
    assert_right(held)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:-5000] + bytes([data[-5000] ^ 1]) + data[-4999:],
        lambda data: bytes(len(data)),
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: data.replace(b'"starts"', b'"smarts"'),
    ],
)
def test_damaged_file_is_made_anew(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    Recycled(tmp_path).states(key(), LENGTHS, states_of)
    path = path_of(tmp_path, key())
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    asked = Counted()
    assert_right(Recycled(tmp_path).states(key(), LENGTHS, asked))
    assert asked.calls > 0
    assert path.read_bytes() == whole


class BrokenError(Exception):
    """Something that went wrong elsewhere."""


def breaking(error: Exception) -> Compute:
    """Return what computes one batch and then fails."""
    asked = Counted()

    def compute(rows: np.ndarray) -> Tensor:
        if asked.calls == 1:
            raise error
        return asked(rows)

    return compute


def test_exception_while_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    kept = Recycled(tmp_path)
    with pytest.raises(BrokenError):
        kept.states(key(), LENGTHS, breaking(BrokenError()))
    assert files(tmp_path) == []
    assert_right(kept.states(key(), LENGTHS, states_of))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError()])
def test_what_runs_out_on_the_way_is_not_tried_again(tmp_path: Path, error: Exception) -> None:
    kept = Recycled(tmp_path)
    assert kept.states(key(), LENGTHS, breaking(error)) is None
    assert "ran out" in kept.refused or "No space left" in kept.refused
    assert files(tmp_path) == []
    assert kept.states(key(), LENGTHS, never) is None
    assert kept.refused
    assert_right(kept.states(key(1), LENGTHS, states_of))


def test_nearly_full_disk_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = recycle.FREE_BYTES + SIZE // 2
    monkeypatch.setattr(recycle.shutil, "disk_usage", lambda _: shutil_usage(free))
    kept = Recycled(tmp_path)
    assert kept.states(key(), LENGTHS, states_of) is None
    assert "beyond the disk" in kept.refused
    assert files(tmp_path) == []


def shutil_usage(free: int) -> os.statvfs_result:
    """Return what `shutil.disk_usage` says, as far as it is read."""
    return type("usage", (), {"free": free})  # type: ignore[return-value]


def test_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    kept = Recycled(in_the_way / "states")
    assert kept.states(key(), LENGTHS, never) is None
    assert kept.refused.startswith(f"cannot write {in_the_way / 'states'}")


def test_read_only_folder_still_gives_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    Recycled(tmp_path).states(key(), LENGTHS, states_of)
    monkeypatch.setattr(recycle.os, "utime", refuse)
    monkeypatch.setattr(recycle.Path, "open", refuse)
    kept = Recycled(tmp_path)
    assert_right(kept.states(key(), LENGTHS, never))
    assert kept.states(key(1), LENGTHS, never) is None
    assert "Permission denied" in kept.refused


def test_two_writers_at_once_do_no_harm(tmp_path: Path) -> None:
    one, other = Recycled(tmp_path), Recycled(tmp_path)
    inside: list[FrozenStates | None] = []

    def compute(rows: np.ndarray) -> Tensor:
        if not inside:
            inside.append(other.states(key(), LENGTHS, states_of))
        return states_of(rows)

    assert_right(one.states(key(), LENGTHS, compute))
    assert_right(inside[0])
    assert files(tmp_path) == [path_of(tmp_path, key()).name]
    assert_right(Recycled(tmp_path).states(key(), LENGTHS, never))


def killed_halfway(folder: Path) -> tuple[int, list[str]]:
    """Let another process write half of its states and wait; return its number and its files."""
    told, tell = os.pipe()
    process = os.fork()
    if process == 0:
        signal.alarm(30)
        asked = Counted()

        def compute(rows: np.ndarray) -> Tensor:
            if asked.calls == 2:
                os.write(tell, b"halfway")
                signal.pause()
            return asked(rows)

        try:
            recycle.MAX_TOKENS = 256
            Recycled(folder).states(key(), LENGTHS, compute)
        finally:
            os._exit(1)
    os.close(tell)
    assert os.read(told, 7) == b"halfway"
    os.close(told)
    return process, files(folder)


def test_writer_killed_halfway_does_no_harm(tmp_path: Path) -> None:
    process, (left,) = killed_halfway(tmp_path)
    assert left.endswith(".part")
    assert_right(Recycled(tmp_path).states(key(1), LENGTHS, states_of))
    assert left in files(tmp_path)  # its writer lives
    os.kill(process, signal.SIGKILL)
    assert os.waitpid(process, 0)[1] == signal.SIGKILL
    assert_right(Recycled(tmp_path).states(key(), LENGTHS, states_of))
    assert files(tmp_path) == sorted(path_of(tmp_path, key(n)).name for n in (0, 1))


def test_abandoned_file_is_removed_and_a_locked_one_is_not(tmp_path: Path) -> None:
    abandoned, locked = tmp_path / "a.part", tmp_path / "b.part"
    abandoned.write_bytes(b"half")
    with locked.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        Recycled(tmp_path).states(key(), LENGTHS, states_of)
        assert not abandoned.exists()
        assert locked.exists()


def test_replayed_from_disk_in_other_batches_is_nearly_the_model(
    bert: Backbone, tmp_path: Path
) -> None:
    rows, device = encoded(60), torch.device("cpu")
    which = Key(
        backbone=checksum(bert.model), data=digest(rows), layers=1, dtype="f", attention="eager"
    )
    compute = computing(bert.model, 1, rows, padding=Padding(0), device=device)
    found = Recycled(tmp_path).states(which, rows.lengths, compute)
    assert found is not None
    with Replay(bert.model, 1) as replay, torch.no_grad():
        for some in np.array_split(np.random.default_rng(0).permutation(60), 7):
            batch = collate(rows, some, Padding(0))
            del batch["targets"]
            plain = bert.model(**batch).logits
            replay.states = found.batch(some, batch["input_ids"].shape[1])
            assert (bert.model(**batch).logits - plain).abs().max() < 1e-5


def test_batch_of_a_training_step_is_quick(tmp_path: Path) -> None:
    found = Recycled(tmp_path).states(key(), LENGTHS, states_of)
    assert found is not None
    rows, seconds = np.arange(16), []
    for _ in range(50):
        started = time.perf_counter()
        found.batch(rows, 40)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 2e-3
