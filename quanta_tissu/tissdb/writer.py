"""The one writer of a process, which commits the work of many callers together.

A commit waits for the disk, whatever it holds. So a thread takes all work that has come meanwhile, runs it in
one transaction, commits once, and only then tells the callers. If a piece fails, all is undone and run again, each
piece behind a savepoint of its own, so that it fails alone: savepoints are dear, since a full-text index writes
what it has gathered at each. Callers are served in the order in which they came, so nobody starves.

Who finds nobody writing and nobody waiting does his work himself, which saves waking the thread and being woken.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from quanta_tissu.errors import DatabaseError, StorageError, UnknownOutcomeError
from quanta_tissu.tissdb.backend import Backend, Connection
from quanta_tissu.tissdb.log import Log

T = TypeVar("T")

JointWork = Callable[[Connection, Log, Sequence[Any]], Sequence[Any]]
"""Work that does what several callers want at once: a result for each argument, or that it was `Refused`."""


class Refused(NamedTuple):
    """A caller's result where nothing of what he wants was done, which costs the others nothing.

    Attributes:
        error: Is raised there.
    """

    error: Exception


MOST_TOGETHER = 512
"""Pieces of work in one transaction at most, so that the first does not wait long for the last."""

_MAINTENANCE_SECONDS = 0.5


class _Answer:
    """As a Future, for one thread that waits: a fourth of its cost.

    What many threads wait for at once costs the most in what they do with Python's lock: woken together, each only
    goes to sleep again until that lock is free. So each wakes the one behind it before it goes on.
    """

    __slots__ = ("_done", "_error", "_left", "_result", "_told", "_wake", "behind")

    def __init__(self) -> None:
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._told = self._left = self._done = False
        self._result: Any = None
        self._error: BaseException | None = None
        self.behind: _Answer | None = None

    def set_result(self, result: Any) -> None:
        self._result, self._done = result, True

    def set_exception(self, error: BaseException) -> None:
        self._error, self._done = error, True

    def done(self) -> bool:
        return self._done

    def outcome(self) -> Any:
        """The result, or the error is raised."""
        if self._error is not None:
            raise self._error
        return self._result

    def result(self) -> Any:
        """As `outcome`, once it is told."""
        try:
            self._wake.get()
        finally:
            # Also after Ctrl+C. Who leaves before it is told leaves the telling to the one before it, and now and
            # then both do it. No function of Python's stands before `put`: there Ctrl+C would break the chain.
            self._left = True
            answer = self
            while answer._told and answer._left and answer.behind is not None:
                answer = answer.behind
                answer._told = True
                answer._wake.put(None)
        return self.outcome()

    @classmethod
    def tell(cls, answers: Sequence[_Answer]) -> None:
        """Wake all who wait for answers, which are there."""
        first = cls()
        for answer, behind in pairwise([first, *answers]):
            answer.behind = behind
        first._told = True
        first._wake.put(None)
        first.result()


class _Piece:
    """Work for the writer, and who waits for it.

    Args:
        work: Gets the arguments of all pieces next to each other that have the same work, and returns a result for
            each.
        argument: Its own.
        answer: Gets the result.
        alone: Share the transaction with nobody.
        brief: It takes microseconds.
    """

    __slots__ = ("alone", "answer", "argument", "brief", "work")

    def __init__(
        self,
        work: JointWork,
        argument: Any,
        answer: Future[Any] | _Answer,
        *,
        alone: bool = False,
        brief: bool = False,
    ) -> None:
        self.work = work
        self.argument = argument
        self.answer = answer
        self.alone = alone
        self.brief = brief


def _closed_error() -> DatabaseError:
    return DatabaseError("the database is closed", hint="open it again")


class Writer:
    """Runs work in transactions, one after the other.

    Args:
        backend: Where it connects.
        on_commit: Called with the number of the log's last entry after every commit that changed something.

    Attributes:
        last_maintenance_error: Why the files could not be kept in order the last time that they could not.
    """

    def __init__(self, backend: Backend, on_commit: Callable[[int], None] = lambda seq: None) -> None:
        self._backend = backend
        self._on_commit = on_commit
        self._queue: queue.SimpleQueue[_Piece | None] = queue.SimpleQueue()
        self._connection: Connection | None = None if backend.frozen else backend.connect(write=True)
        self._turn = threading.Lock()  # is held by who uses the connection
        self._wanted = False  # the thread has work and waits for its turn
        self._untold: list[_Answer] = []
        self._lent_to: int | None = None
        self.last_maintenance_error: Exception | None = None
        self._closed = False
        self._closing = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="tissdb-writer", daemon=True)
        self._keeper = threading.Thread(target=self._maintain, name="tissdb-maintenance", daemon=True)
        self._thread.start()
        self._keeper.start()

    def run(self, work: Callable[[Connection, Log], T]) -> T:
        """Run work in a transaction and wait until it is committed.

        Args:
            work: Gets the connection and the log. What it raises undoes all it did, and is raised here. It may be
                undone and run again because of work of others, so all it does must be in the transaction.

        Raises:
            BusyError: Another process has been writing for too long; nothing was written.
            StorageError: Nothing was written.
            UnknownOutcomeError: Nobody can tell whether it was.
        """
        result: T = self.run_joint(lambda connection, log, _: [work(connection, log)], None)
        return result

    def run_joint(self, work: JointWork, argument: Any, *, brief: bool = False) -> Any:
        """As `run`, of work that is done at once for all who come together and want it.

        Args:
            work: Gets the arguments of several callers who gave the same work, in their order.
            argument: This caller's.
            brief: It takes microseconds.

        Returns:
            This caller's result.
        """
        if self._idle:
            # `with` cannot be interrupted before it holds the lock for good. Others may have come before it does,
            # which have their turn then.
            with self._turn, self.lent():
                return self._run_here(work, argument)
        answer = _Answer()
        self._put(_Piece(work, argument, answer, brief=brief))
        return answer.result()

    @property
    def _idle(self) -> bool:
        """Whether nobody writes or waits to write, as far as can be seen."""
        return not (self._wanted or self._turn.locked() or self._queue.qsize())

    def _run_here(self, work: JointWork, argument: Any) -> Any:
        """Run work in the calling thread, whose turn it is."""
        if self._closed:
            raise _closed_error()
        answer = _Answer()
        self._commit_together([_Piece(work, argument, answer)])
        return answer.outcome()

    @property
    def waiting(self) -> int:
        """How many callers wait for their turn, about."""
        return self._queue.qsize()

    def submit(self, work: Callable[[Connection, Log], T]) -> Future[T]:
        """As `run`, in a transaction that is shared with nobody, and without waiting."""
        future: Future[T] = Future()
        self._put(_Piece(lambda connection, log, _: [work(connection, log)], None, future, alone=True))
        return future

    def _put(self, piece: _Piece) -> None:
        if self._lent_to == threading.get_ident():
            raise DatabaseError(
                "the database is written inside a transaction of the same thread, which would wait for itself",
                hint="write through the transaction: tx.collection(...)",
            )
        with self._closing:
            if self._closed:
                raise _closed_error()
            self._queue.put(piece)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """While the calling thread holds the transaction that is being run."""
        self._lent_to = threading.get_ident()
        try:
            yield
        finally:
            self._lent_to = None

    def close(self) -> None:
        """Finish the work that was handed in, and end."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._ended.set()
        self._keeper.join()

    def _serve(self) -> None:
        carried: _Piece | None = None
        ending = False
        while not ending or carried is not None:
            if carried is None:
                if not self._queue.qsize():
                    self._tell()
                first = self._queue.get()
                if first is None:
                    break
            else:
                first, carried = carried, None
            self._wanted = True
            with self._turn:
                self._wanted = False
                batch = [first]
                while not first.alone and not ending and len(batch) < MOST_TOGETHER and self._queue.qsize():
                    piece = self._queue.get()
                    if piece is None:
                        ending = True
                    elif piece.alone:
                        carried = piece
                        break
                    else:
                        batch.append(piece)
                self._commit_together(batch)
                self._untold += [piece.answer for piece in batch if isinstance(piece.answer, _Answer)]
        self._tell()
        with self._turn:
            if self._connection is not None:
                self._connection.close()

    def _tell(self) -> None:
        """Wake all whose work is done."""
        answers, self._untold = self._untold, []
        _Answer.tell(answers)

    def _maintain(self) -> None:
        """Keep the files in order, beside the writer: it need not wait, and never stops for long enough."""
        while not self._ended.wait(_MAINTENANCE_SECONDS):
            # What fails here is no caller's error; the next write or check will meet it.
            try:
                self._backend.maintain()
            except Exception as error:
                self.last_maintenance_error = error

    def _commit_together(self, batch: list[_Piece]) -> None:
        """Run work, commit it, and note its results; who waits for them is woken by `_tell`.

        That is when the next commit waits for the disk, if there are more, since who is woken wants Python's lock,
        for which the writer would have to wait at each of its statements.
        """
        done: list[tuple[_Piece, Any]] = []
        if not all(piece.brief for piece in batch):
            self._tell()
        try:
            connection = self._begin()
            log = Log(connection)
            try:
                for work, same in groupby(batch, key=attrgetter("work")):
                    pieces = list(same)
                    results = work(connection, log, [piece.argument for piece in pieces])
                    done += zip(pieces, results, strict=True)
            except Exception:
                if len(batch) == 1 or not connection.in_transaction:
                    raise
                connection.rollback()
                connection.begin_write()
                log, done = Log(connection), []
                for piece in batch:
                    self._run_alone(piece, connection, log, done)
            changed = log.store_head()
            self._tell()
            connection.commit()
        except BaseException as error:
            self._abandon(error)
            for piece in batch:
                if not piece.answer.done():
                    piece.answer.set_exception(error)
            return
        for piece, result in done:
            if isinstance(result, Refused):
                piece.answer.set_exception(result.error)
            else:
                piece.answer.set_result(result)
        if changed:
            self._on_commit(log.seq)

    def _begin(self) -> Connection:
        """A connection in a new transaction; one that was lost while nobody wrote is replaced."""
        if self._connection is not None:
            try:
                self._connection.begin_write()
                return self._connection
            except StorageError:
                if not self._connection.lost:
                    raise
                self._connection.close()
                self._connection = None
        self._connection = self._backend.connect(write=True)
        self._connection.begin_write()
        return self._connection

    def _run_alone(self, piece: _Piece, connection: Connection, log: Log, done: list[tuple[_Piece, Any]]) -> None:
        """Run one piece; if it fails, undo and report it alone.

        Raises:
            Exception: The engine has ended the whole transaction.
        """
        mark = log.mark()
        connection.rows("SAVEPOINT piece")
        try:
            [result] = piece.work(connection, log, [piece.argument])
        except BaseException as error:
            if not connection.in_transaction:
                raise
            connection.rows("ROLLBACK TO piece")
            connection.rows("RELEASE piece")
            log.reset(mark)
            piece.answer.set_exception(error)
            return
        connection.rows("RELEASE piece")
        done.append((piece, result))

    def _abandon(self, error: BaseException) -> None:
        """Undo the transaction; a connection that may be in any state is given up."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if isinstance(error, UnknownOutcomeError):
                connection.close()
                return
            connection.rollback()
            self._connection = connection
        except Exception:
            connection.close()
