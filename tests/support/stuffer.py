"""`python -m tests.support.stuffer URL TRIES RATE ADDRESSES`: guesses passwords, RATE a second, and says what it was
answered.

The names stand in the variable NAMES. It talks to a server that takes this machine for a proxy.
"""

import asyncio
import json
import os
import random
import sys
from collections import Counter
from uuid import uuid4

import httpx2


async def sign_in(http: httpx2.AsyncClient, username: str, password: str, address: str) -> httpx2.Response:
    """The answer to an attempt from an address, as the proxy in front tells it."""
    form = {"username": username, "password": password}
    return await http.post("/api/v1/auth/token", data=form, headers={"X-Forwarded-For": address})


async def stuff(base: str, tries: int, rate: float, addresses: int, names: list[str]) -> dict[str, object]:
    """How many answers of each status there were, and the longest wait that was asked for."""
    answers: Counter[str] = Counter()
    waits = [0]
    chance = random.Random(20261121)

    async def once(http: httpx2.AsyncClient) -> None:
        number = chance.randrange(addresses)
        answer = await sign_in(http, chance.choice(names), uuid4().hex, f"10.{number // 250}.{number % 250}.7")
        answers[str(answer.status_code)] += 1
        waits.append(int(answer.headers.get("Retry-After", "0")))

    async with httpx2.AsyncClient(base_url=base, timeout=60) as http, asyncio.TaskGroup() as group:
        for _ in range(tries):
            group.create_task(once(http))
            # As many strangers do: at times that know nothing of each other.
            await asyncio.sleep(chance.expovariate(rate))
    return {"answers": answers, "longest_wait": max(waits)}


if __name__ == "__main__":
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # attackers compute elsewhere
    url, wanted, a_second, places = sys.argv[1:]
    told = stuff(url, int(wanted), float(a_second), int(places), os.environ["NAMES"].split(","))
    print(json.dumps(asyncio.run(told)))
