"""Fuzzes both servers at the level of connections: corrupted bytes, stalls, and clients that disconnect.

Valid HTTP/1.1, WebSocket and HTTP/2 bytes are corrupted, sent in pieces with pauses, and aborted in every way, 100
times per second, while a caller of each server, new clients and a prober must not be affected. A case depends only on
the seed and its number. Run: `uv run python bench/fuzz_doors.py [--seconds 60] [--seed S] [--case N]`. Exits with 1 if
a rule is violated.

The rules: no other client gets a wrong response, and /livez answers within 250 ms; no 5xx status except 503; no error
and no token in the log; afterwards memory is within 10 MB of that after the first quarter, and as many descriptors are
open; after SIGTERM the process exits with 0, and no task is left.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hostile import wire
from hostile.fuzz import Doors, Found, run_case
from hostile.service import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostile.service import Exit

CASES_PER_S, AT_ONCE, REST_S = 100, 300, 6.0
WARM_UP = 0.25  # of the time: until each kind of connection has been there, and caches of documents are used
# One arena of the allocator more or less, and what the bystanders' connections hold just then; a leak of a single
# kilobyte for each case would show.
MEMORY_MB = 10.0
# Connections of the bystanders, and idle ones to AWS.
DESCRIPTORS = 10
LIVEZ_MS = 250.0


async def fuzz(seed: int, seconds: float, case: int | None, log: Path | None) -> bool:
    """Returns: whether every rule held."""
    print(f"seed {seed}", flush=True)
    found = Found()
    async with serving(GRAPHQL_ANSWERS_MAX_BYTES=str(2**20)) as service:  # full before memory is judged
        await service.warm_up()
        doors = Doors(
            wire.address_of(service.rig.url),
            wire.address_of(service.rig.grpc),
            [service.token(f"fuzz-{number}") for number in range(8)],
            service.keys[0],
        )
        if case is not None:
            await run_case(doors, seed, case, found)
            print(found, await service.end(), service.rig.log.read_text(encoding="utf-8"), sep="\n")
            return not found.bad
        async with service.watched() as bystanders:
            await asyncio.sleep(REST_S / 2)
            since, descriptors = time.monotonic(), service.descriptors()
            cases = await _send(doors, seed, 0, seconds * WARM_UP, found)
            await asyncio.sleep(REST_S)
            warm_mb = service.rig.memory_mb()
            cases = await _send(doors, seed, cases, seconds * (1 - WARM_UP), found)
            await asyncio.sleep(REST_S)
            last_mb, left = service.rig.memory_mb(), service.descriptors() - descriptors
            until = time.monotonic()
        ended = await service.end()
        if log is not None:
            log.write_bytes(service.rig.log.read_bytes())
    print(f"{cases} cases:", ", ".join(f"{times} {what}" for what, times in sorted(found.outcomes.items())))
    wrong, slowest_ms = bystanders.wrong(since, until), bystanders.slowest_probe_ms(since, until)
    rules = [
        (f"wrong answers to others: {dict(wrong.most_common(5))}", not wrong),
        (f"/livez within {slowest_ms:.0f} ms", slowest_ms < LIVEZ_MS),
        (f"statuses that are none: {found.bad[:5]}", not found.bad),
        (f"memory {last_mb:.1f} MB, {warm_mb:.1f} after warm-up", last_mb - warm_mb <= MEMORY_MB),
        (f"{left} descriptors more than at first", left <= DESCRIPTORS),
        *_end_rules(ended),
    ]
    for said, held in rules:
        print(f"{'ok    ' if held else 'BROKEN'} {said}")
    return all(held for _, held in rules)


async def _send(doors: Doors, seed: int, first: int, seconds: float, found: Found) -> int:
    """Cases from that number on, at a steady rate. Returns: the next number."""
    loop, semaphore = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)
    number, since = first, loop.time()

    async def one(number: int) -> None:
        async with semaphore:
            await run_case(doors, seed, number, found)

    async with asyncio.TaskGroup() as tasks:
        while loop.time() < since + seconds:
            tasks.create_task(one(number))
            number += 1
            await asyncio.sleep(since + (number - first) / CASES_PER_S - loop.time())
    return number


def _end_rules(ended: Exit) -> Iterator[tuple[str, bool]]:
    yield f"errors in the log: {dict(ended.errors.most_common(5))}", not ended.errors
    yield f"tokens in the log: {ended.tokens}", not ended.tokens
    yield f"exit code {ended.code} after {ended.took_s:.1f} s", ended.code == 0
    yield f"tasks left: {ended.tasks_left}", ended.tasks_left == []


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--case", type=int, help="only this one; its log is printed")
    parser.add_argument("--log", type=Path, help="where to keep the gateway's log")
    asked = parser.parse_args()
    sys.exit(0 if asyncio.run(fuzz(asked.seed, asked.seconds, asked.case, asked.log)) else 1)


if __name__ == "__main__":
    main()
