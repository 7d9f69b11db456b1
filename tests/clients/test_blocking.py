"""Calls that may hang hold nobody up."""

import asyncio
import threading

import pytest

from drd.clients.blocking import within


async def test_an_answer_and_an_error_come_through() -> None:
    def fail() -> None:
        raise FileNotFoundError("gone")

    assert await within(10, lambda: 42) == 42
    with pytest.raises(FileNotFoundError):
        await within(10, fail)


async def test_a_hanging_call_is_given_up_and_the_next_one_works() -> None:
    release = threading.Event()

    with pytest.raises(TimeoutError):
        await within(0.05, release.wait)

    assert await within(10, lambda: "next") == "next"
    release.set()


async def test_a_place_that_hangs_takes_one_thread_however_often_it_is_asked_for() -> None:
    release = threading.Event()
    looking: list[threading.Thread] = []

    def hang() -> None:
        looking.append(threading.current_thread())
        release.wait()

    for _ in range(5):
        with pytest.raises(TimeoutError):
            await within(0.05, hang, "/mnt/nas")
    assert len(looking) == 1

    assert await within(10, lambda: "another", "/mnt/disk") == "another"
    waiting = asyncio.create_task(within(10, lambda: "back", "/mnt/nas"))
    release.set()
    assert await waiting == "back"


async def test_those_who_ask_for_one_place_get_their_own_answers_one_after_the_other() -> None:
    at_once, most = 0, 0

    def look() -> str:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        at_once -= 1
        return "seen"

    assert await asyncio.gather(*(within(10, look, "/mnt/nas") for _ in range(50))) == ["seen"] * 50
    assert most == 1


async def test_many_hanging_calls_do_not_block_one_another() -> None:
    release = threading.Event()
    hanging = [asyncio.create_task(within(0.5, release.wait)) for _ in range(50)]

    assert await within(10, lambda: "at once") == "at once"

    assert all(isinstance(each, TimeoutError) for each in await asyncio.gather(*hanging, return_exceptions=True))
    release.set()
