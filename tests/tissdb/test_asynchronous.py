"""The asyncio interface: the same database, awaited, on every engine."""

from __future__ import annotations

import asyncio
import inspect
import threading

import pytest

from quanta_tissu import tissdb
from quanta_tissu.errors import ConflictError, DatabaseError, NotFoundError
from quanta_tissu.tissdb.asynchronous import (
    AsyncCollection,
    AsyncDatabase,
    AsyncTransaction,
    AsyncView,
    open_async,
)


def run(work):
    """Run a coroutine function to its end, with a limit."""

    async def limited():
        async with asyncio.timeout(60):
            return await work()

    return asyncio.run(limited())


def public(kind):
    return {
        name: member
        for name, member in inspect.getmembers(kind)
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
    }


class TestParity:
    INTERNAL = {  # noqa: RUF012 - what scopes are made of, which is for TissDB itself
        *(
            "read",
            "write",
            "insert",
            "find",
            "vector_cache",
            "read_connection",
            "end",
            "timeout",
            "writes_waiting",
        ),
    }

    @pytest.mark.parametrize(
        ("blocking", "awaited"),
        [
            (tissdb.Database, AsyncDatabase),
            (tissdb.Transaction, AsyncTransaction),
            (tissdb.View, AsyncView),
        ],
    )
    def test_nothing_is_missing(self, blocking, awaited):
        assert set(public(blocking)) - self.INTERNAL <= set(public(awaited))

    def test_collections_have_the_same_methods_and_parameters(self):
        ours, theirs = public(AsyncCollection), public(tissdb.Collection)
        assert set(ours) == set(theirs) | {"name"}
        for name in set(theirs) - {"indexes"}:
            assert inspect.signature(ours[name]) == inspect.signature(theirs[name])
            assert ours[name].__doc__ == theirs[name].__doc__


class TestDocuments:
    def test_are_written_read_searched_and_queried(self, url):
        async def work():
            async with await open_async(url) as db:
                notes = db["notes"]
                await notes.create_index("words", kind="text", fields="title")
                written = await notes.insert({"title": "first note"}, id="a")
                await notes.insert_many([{"title": "second", "n": n} for n in range(3)])
                assert (await notes.get("a")).revision == written.revision
                assert await notes.count() == 4
                assert (await anext(notes.scan())).id == "a"
                assert [hit.document.id for hit in await notes.search("first")] == ["a"]
                assert len((await db.query("SELECT n FROM notes WHERE n >= ?", [1])).rows) == 2
                await notes.patch("a", {"n": 9})
                await notes.upsert("a", {"title": "other"})
                await notes.delete("a")
                assert await db.collections() == ["notes"]
                assert set(await notes.indexes()) == {"words"}
                assert await db.check() == []

        run(work)

    def test_a_thousand_inserts_at_once(self, url):
        async def work():
            async with await open_async(url) as db:
                before = threading.active_count()
                made = await asyncio.gather(*(db["c"].insert({"n": n}) for n in range(1000)))
                assert threading.active_count() - before <= 32
                assert len({one.id for one in made}) == await db["c"].count() == 1000

        run(work)

    def test_errors_are_those_of_the_blocking_interface(self, url):
        async def work():
            async with await open_async(url) as db:
                await db["c"].insert({}, id="a")
                with pytest.raises(ConflictError):
                    await db["c"].insert({}, id="a")
                with pytest.raises(NotFoundError):
                    await db["c"].delete("b")
            with pytest.raises((DatabaseError, RuntimeError)):
                await db["c"].get("a")

        run(work)

    def test_a_long_scan_is_read_in_parts(self, url):
        async def work():
            async with await open_async(url) as db:
                await db["c"].insert_many({"n": n} for n in range(450))
                assert [one["n"] async for one in db["c"].scan()] == list(range(450))

        run(work)


class TestTransactions:
    def test_commit_and_undo(self, url):
        async def work():
            async with await open_async(url) as db:
                async with db.transaction() as tx:
                    await tx["c"].insert({}, id="a")
                    with pytest.raises(ValueError, match="no"):
                        async with tx.savepoint():
                            await tx["c"].insert({}, id="b")
                            raise ValueError("no")
                    assert await tx["c"].count() == 1
                with pytest.raises(ValueError, match="undo"):
                    async with db.transaction() as tx:
                        await tx["c"].insert({}, id="c")
                        raise ValueError("undo")
                assert [one.id async for one in db["c"].scan()] == ["a"]

        run(work)

    def test_one_that_is_cancelled_is_undone_and_lets_others_write(self, url):
        async def work():
            async with await open_async(url) as db:
                begun = asyncio.Event()

                async def forever():
                    async with db.transaction() as tx:
                        await tx["c"].insert({}, id="a")
                        begun.set()
                        await asyncio.sleep(60)

                task = asyncio.create_task(forever())
                await begun.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await db["c"].insert({}, id="b")
                assert [one.id async for one in db["c"].scan()] == ["b"]

        run(work)

    def test_one_that_is_cancelled_while_it_waits_for_its_turn_does_not_take_it(self, url):
        async def work():
            async with await open_async(url) as db:
                async with db.transaction() as tx:
                    await tx["c"].insert({}, id="a")

                    async def waiting():
                        async with db.transaction():
                            raise AssertionError("entered")

                    task = asyncio.create_task(waiting())
                    await asyncio.sleep(0.1)
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                await db["c"].insert({}, id="b")
                assert await db["c"].count() == 2

        run(work)

    def test_a_view_stays(self, url):
        async def work():
            async with await open_async(url) as db:
                await db["c"].insert({})
                async with db.view() as view:
                    await db["c"].insert({})
                    assert await view["c"].count() == 1
                    assert len((await view.query("SELECT * FROM c")).rows) == 1
                assert await db["c"].count() == 2

        run(work)


class TestWatch:
    def test_gives_changes_as_they_come_and_can_be_left(self, url):
        async def work():
            async with await open_async(url) as db:
                seen = []

                async def watching():
                    async for entry in db.watch(0, collection="c"):
                        seen.append(entry.action)
                        if len(seen) == 3:
                            break

                task = asyncio.create_task(watching())
                await db["c"].insert({}, id="a")
                await db["c"].delete("a")
                await task
                assert seen == ["create collection", "insert", "delete"]
                assert [entry.action async for entry in db.watch(0, timeout=0.01)] == seen
                assert [entry.action async for entry in db.log()] == seen

        run(work)

    def test_ends_when_it_is_cancelled(self, url):
        async def work():
            async with await open_async(url) as db:
                task = asyncio.create_task(anext(db.watch()))
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

        run(work)


class TestDatabase:
    def test_settings_actors_and_names(self, url):
        async def work():
            async with await open_async(url, actor="ada") as db:
                notes = await db.create_collection("notes", ttl=60)
                assert notes.name == "notes"
                await db.alter_collection("notes", ttl=None)
                await db.as_actor("grace")["notes"].insert({})
                assert [entry.actor async for entry in db.log()] == ["ada", "ada", "grace"]
                assert db.url == str(url)
                assert (db.actor, db.as_actor("grace").actor) == ("ada", "grace")
                assert len(await db.uuid()) == 36

        run(work)
