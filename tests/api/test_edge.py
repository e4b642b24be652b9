"""What is decided before a request reaches any route: hosts, proxies, encryption, origins, quotas, headers."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import httpx2
import pytest
from backend_api.http import limits
from backend_api.settings import Environment, Settings

from tests.support.problems import problem
from tests.support.service import ADDRESS, running, sign_in
from tests.support.waiting import eventually

PROXY = "10.0.0.7"
LIVEZ = "/livez"
ME = "/api/v1/auth/me"


@pytest.fixture(autouse=True)
def _one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a test happens in one minute that no other test counts in."""
    minute = random.randrange(10**7) * 60.0
    monkeypatch.setattr(limits, "time", lambda: minute)


@asynccontextmanager
async def edge(settings: Settings, peer: str = "192.0.2.1", **changed: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """The application with other settings, called from an address."""
    async with running(settings.model_copy(update=changed)) as app:
        transport = httpx2.ASGITransport(app, client=(peer, 1234))
        async with httpx2.AsyncClient(transport=transport, base_url=ADDRESS) as client:
            yield client


async def test_every_answer_forbids_what_a_browser_could_do_with_it(anonymous: httpx2.AsyncClient) -> None:
    for path, status in ((LIVEZ, 200), ("/api/v1/clients", 401), ("/nothing", 404), ("/openapi.json", 200)):
        answer = await anonymous.get(path)
        assert answer.status_code == status
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "strict-transport-security" not in answer.headers, "development is not encrypted"


async def test_a_page_keeps_its_own_policy(anonymous: httpx2.AsyncClient) -> None:
    answer = await anonymous.get("/docs")
    assert len(answer.headers.get_list("content-security-policy")) == 1
    assert "script-src 'self'" in answer.headers["content-security-policy"]


async def test_only_the_hosts_of_the_setting_are_served(settings: Settings) -> None:
    async with edge(settings, allowed_hosts=("api.example.com",)) as client:
        for host in ("api.example.com", "API.example.com:443", "api.example.com:8000"):
            assert (await client.get("/", headers={"Host": host})).status_code == 200, host
        for host in ("evil.example", "", "api.example.com.evil.example", "api.example.com@evil.example", "127.0.0.1"):
            problem(await client.get("/", headers={"Host": host}), 421, "host_unknown")
        assert (await client.get("/readyz", headers={"Host": "127.0.0.1:8000"})).status_code == 200, (
            "probes know no name"
        )


async def test_what_a_stranger_says_of_the_caller_is_not_believed(settings: Settings) -> None:
    forged = {"X-Forwarded-For": "198.51.100.9", "X-Forwarded-Proto": "http"}
    limited: dict[str, Any] = {"rate_limit_anonymous": 2, "trusted_proxies": (ip_network("10.0.0.0/8"),)}
    async with edge(settings, **limited) as client:
        answers = [
            await client.get("/api/v1/clients", headers={**forged, "X-Forwarded-For": f"198.51.100.{number}"})
            for number in range(3)
        ]
        assert [answer.status_code for answer in answers] == [401, 401, 429], (
            "the address is the peer's, whatever it says"
        )


@pytest.mark.parametrize(
    ("forwarded", "same"),
    [
        ("198.51.100.9", "198.51.100.9"),
        ("203.0.113.1, 198.51.100.9", "198.51.100.9"),
        ("198.51.100.9, 10.0.0.3", "198.51.100.9"),
        ("2001:DB8::9", "2001:db8::9"),
        ("198.51.100.9, nonsense", PROXY),
        ("", PROXY),
    ],
)
async def test_a_trusted_proxy_says_who_calls(settings: Settings, forwarded: str, same: str) -> None:
    trusted: dict[str, Any] = {"rate_limit_anonymous": 1, "trusted_proxies": (ip_network("10.0.0.0/8"),)}
    async with edge(settings, PROXY, **trusted) as client:
        first = await client.get("/api/v1/clients", headers={"X-Forwarded-For": forwarded})
        assert first.status_code == 401
        second = await client.get("/api/v1/clients", headers={"X-Forwarded-For": "" if same == PROXY else same})
        assert second.status_code == 429, "counted for the same address"


async def test_behind_a_trusted_proxy_production_is_encrypted_only(settings: Settings) -> None:
    production: dict[str, Any] = {"environment": Environment.PRODUCTION, "trusted_proxies": (ip_network("10.0.0.0/8"),)}
    async with edge(settings, PROXY, **production) as client:
        plain = {"X-Forwarded-Proto": "http"}
        answer = await client.get("/api/v1/clients/a b", params={"x": "1"}, headers=plain)
        assert (answer.status_code, answer.headers["location"]) == (308, "https://testserver/api/v1/clients/a%20b?x=1")
        problem(await client.post("/api/v1/auth/token", headers=plain), 403, "https_required")
        assert (await client.get("/readyz", headers=plain)).status_code == 200
        answer = await client.get("/", headers={"X-Forwarded-Proto": "https"})
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    async with edge(settings, **production) as client:
        answer = await client.get("/", headers=plain)
        assert answer.status_code == 200, "whoever reaches us past the proxy is not sent round in a circle"
        assert "strict-transport-security" not in answer.headers


async def test_browsers_may_call_from_the_origins_of_the_setting_only(settings: Settings) -> None:
    async with edge(settings, allowed_origins=("https://app.example.com",)) as client:
        asked = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,idempotency-key",
        }
        good = await client.options("/api/v1/clients", headers={"Origin": "https://app.example.com", **asked})
        assert (good.status_code, good.headers["access-control-allow-origin"]) == (200, "https://app.example.com")
        assert "access-control-allow-credentials" not in good.headers
        for origin in (
            "https://evil.example",
            "http://app.example.com",
            "https://app.example.com.evil.example",
            "null",
        ):
            bad = await client.options("/api/v1/clients", headers={"Origin": origin, **asked})
            assert "access-control-allow-origin" not in bad.headers, origin
        refused = await client.get("/api/v1/clients", headers={"Origin": "https://app.example.com"})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://app.example.com")


async def test_without_the_setting_no_other_origin_may_call(anonymous: httpx2.AsyncClient) -> None:
    answer = await anonymous.get("/", headers={"Origin": "https://app.example.com"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_caller_learns_what_is_left_and_when_to_come_back(settings: Settings) -> None:
    async with edge(settings, rate_limit_reads=3, rate_limit_writes=2) as client:
        token = await sign_in(client, "admin", "string")
        headers = {"Authorization": f"Bearer {token}"}
        answers = [await client.get(ME, headers=headers) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        left = [answer.headers["ratelimit"].partition(";t=")[0] for answer in answers]
        assert left == ['"reads";r=2', '"reads";r=1', '"reads";r=0', '"reads";r=0']
        assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"reads";q=3;w=60'}
        problem(answers[-1], 429, "rate_limited")
        seconds = int(answers[-1].headers["retry-after"])
        assert 1 <= seconds <= 60
        writes = [await client.post("/api/v1/clients", headers=headers, json={}) for _ in range(3)]
        assert [answer.status_code for answer in writes] == [422, 422, 429], "another class, another quota"


async def test_a_made_up_token_does_not_open_a_new_quota(settings: Settings) -> None:
    async with edge(settings, rate_limit_anonymous=2) as client:
        answers = [await client.get(ME, headers={"Authorization": f"Bearer {n}"}) for n in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]


async def test_who_has_a_network_of_addresses_has_one_quota(settings: Settings) -> None:
    async with running(settings.model_copy(update={"rate_limit_anonymous": 2})) as app:
        found = []
        for address in ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:2:3:4:5:6", "2001:db8:1:3::1"):
            transport = httpx2.ASGITransport(app, client=(address, 1))
            async with httpx2.AsyncClient(transport=transport, base_url=ADDRESS) as client:
                found.append((await client.get("/api/v1/clients")).status_code)
        assert found == [401, 401, 429, 401]


async def test_processes_add_up_what_they_counted(settings: Settings) -> None:
    quota: dict[str, Any] = {"rate_limit_anonymous": 1000}
    peer = "198.51.100.77"
    async with edge(settings, peer, **quota) as one, edge(settings, peer, **quota) as other:
        for _ in range(120):
            await one.get("/api/v1/clients")
        asked = 0

        async def is_known() -> bool:
            nonlocal asked
            asked += 1
            answer = await other.get("/api/v1/clients")
            left = int(answer.headers["ratelimit"].partition("r=")[2].partition(";")[0])
            return left == 1000 - asked - 120

        await eventually(is_known)


async def test_without_redis_each_process_counts_for_itself(settings: Settings) -> None:
    async with edge(settings, rate_limit_anonymous=2, redis_port=1) as client:
        answers = [await client.get("/api/v1/clients") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]


async def test_development_has_no_limits(anonymous: httpx2.AsyncClient) -> None:
    assert "ratelimit" not in (await anonymous.get("/api/v1/clients")).headers
