"""Threads that share tasks, with results in the order of the tasks.

For a large structure its chunks take about a millisecond each and the stages before them tenths of one, so what counts
is how soon a thread goes on. The caller therefore works as well: with a thread more than there are cores two of them
would take turns. What is waited for is a lock, which costs a tenth of a condition or a future.
"""

from __future__ import annotations

import _thread
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any


class _Job:
    """A task for one item, done by whichever thread takes it first."""

    def __init__(self, task: Callable[[Any], Any], item: Any) -> None:
        self._task, self._item = task, item
        self._result: Any = None
        self.error: BaseException | None = None
        self.unfinished = threading.Lock()  # held until it is done
        self.unfinished.acquire()

    def run(self) -> None:
        try:
            self._result = self._task(self._item)
        except BaseException as error:  # `result` raises it
            self.error = error
        finally:
            self.unfinished.release()

    def result(self) -> Any:
        """After it is done."""
        if self.error is not None:
            raise self.error
        return self._result


class Workers:
    """Some threads that share tasks; the caller is one of them."""

    def __init__(self, threads: int) -> None:
        self.threads = max(1, threads)
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._open: set[_Job] = set()  # nobody has their results yet
        for _ in range(self.threads - 1):
            # `threading.Thread.start` would wait until the thread runs
            _thread.start_new_thread(self._serve, ())

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(Empty):
            while (job := self._jobs.get_nowait()) is not None:
                self._open.discard(job)
        for _ in range(self.threads - 1):
            self._jobs.put(None)
        # Threads without a task end on their own; those that have one still may write into what the caller has.
        for job in self._open:
            job.unfinished.acquire()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()

    def _submit(self, task: Callable[[Any], Any], item: Any) -> _Job:
        job = _Job(task, item)
        self._open.add(job)
        self._jobs.put(job)
        return job

    def _result(self, job: _Job) -> Any:
        """The result of a job. While it is not done, others that nobody has begun are done here."""
        with suppress(Empty):
            while job.unfinished.locked():
                other = self._jobs.get_nowait()
                assert other is not None
                other.run()
                if other.error is not None and not isinstance(other.error, Exception):
                    raise other.error  # an interruption of this thread does not wait for its turn
        with job.unfinished:
            self._open.discard(job)
        return job.result()

    def all(self, task: Callable[[int], Any], shares: int) -> list[Any]:
        """Results of a task for each share, when all have ended."""
        jobs = [self._submit(task, share) for share in range(1, shares)]
        return [task(0), *map(self._result, jobs)]

    def in_order(self, task: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Results of a task for each item, in their order; at most one more than there are threads wait or run."""
        if self.threads == 1:
            yield from map(task, items)
            return
        waiting: deque[_Job] = deque()
        for item in items:
            waiting.append(self._submit(task, item))
            if len(waiting) > self.threads:
                yield self._result(waiting.popleft())
        while waiting:
            yield self._result(waiting.popleft())
