"""How much the choice of a route costs with many routes on one service, and how much a change does.

    .venv/bin/python bench/routes.py

A request is one of those that a waypoint sees: twelve header fields, a query, a path of four
elements. It is normalised, the service's routes are chosen, and matched. Each route has ten rules,
and the request goes by one of the route in the middle. Three kinds of routes, which differ

- paths: in a prefix of two elements each;
- headers: in the value of a header, all of them for every path;
- patterns: in a regular expression with a beginning of its own.

A change replaces one route of them by another. What is printed is the least of seven series, since
other work on the machine can only add to it. One route against a thousand is to be 1.1 at most
(issue 4), of the whole of a waypoint's request; a change is to take effect within 50 ms.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent.parent))

from mesh.model.routes import (
    Attachment,
    Backend,
    PathMatch,
    PathMatchKind,
    RequestMatch,
    Route,
    RouteKind,
    RouteRule,
    ValueMatch,
    ValueMatchKind,
)
from mesh.routing.http.paths import normalise_path
from mesh.routing.http.routes import RequestRoutes, Routes
from mesh.wire.http.messages import RequestHead

SERVICE: Final = "shop/web.shop.svc.cluster.local"
COUNTS: Final = (1, 10, 1_000)
RULES: Final = 10
SERIES: Final = 7
REQUESTS: Final = 5_000
CHANGES: Final = 50

Matches = Callable[[int, int], RequestMatch]


def paths(number: int, rule: int) -> RequestMatch:
    return RequestMatch(path=PathMatch(PathMatchKind.PREFIX, f"/team-{number}/{rule}"))


def headers(number: int, rule: int) -> RequestMatch:
    wanted = ValueMatch("x-user", ValueMatchKind.EXACT, f"{number}-{rule}")
    return RequestMatch(headers=(wanted,))


def patterns(number: int, rule: int) -> RequestMatch:
    return RequestMatch(path=PathMatch(PathMatchKind.REGEX, f"/team-{number}/{rule}/[a-z0-9/]+"))


def route(number: int, matches: Matches) -> Route:
    return Route(
        kind=RouteKind.HTTP,
        namespace="shop",
        name=f"route-{number}",
        parents=(Attachment(SERVICE),),
        rules=tuple(
            RouteRule(matches=(matches(number, rule),), backends=(Backend(service=SERVICE),))
            for rule in range(RULES)
        ),
    )


def request(number: int) -> RequestHead:
    own = [(f"x-field-{n}".encode(), b"some value") for n in range(8)]
    usual = [(b"user-agent", b"curl/8"), (b"accept", b"*/*"), (b"x-request-id", b"a" * 36)]
    user = (b"x-user", f"{number}-7".encode())
    target = f"/team-{number}/7/items/33?page=2".encode()
    return RequestHead(b"GET", target, b"web.shop", [*usual, *own, user])


def least(work: Callable[[], object], times: int) -> float:
    """Seconds of one piece of work, of the best series."""
    best = float("inf")
    for _ in range(SERIES):
        start = time.perf_counter()
        for _ in range(times):
            work()
        best = min(best, (time.perf_counter() - start) / times)
    return best


def measure(count: int, matches: Matches) -> tuple[float, float, float]:
    """Seconds of a request and of a change, and of all routes at once."""
    routes = Routes()
    start = time.perf_counter()
    for number in range(count):
        routes.put(f"shop/route-{number}", route(number, matches))
    loaded = time.perf_counter() - start
    middle = count // 2
    asked = request(middle)

    def decide() -> None:
        asked.target = normalise_path(asked.target)
        chosen = routes.choose(SERVICE, 80, "client")
        if not isinstance(chosen, RequestRoutes) or chosen.match(asked) is None:
            raise SystemExit("no route matched")

    one, other = route(middle, matches), route(middle, lambda n, rule: matches(n, rule + 1))

    def change() -> None:
        routes.put(f"shop/route-{middle}", other)
        routes.put(f"shop/route-{middle}", one)

    return least(decide, REQUESTS), least(change, CHANGES) / 2, loaded


def main() -> None:
    print("routes    of 10 rules   us a request   to one route   us a change   ms for all")
    for matches in (paths, headers, patterns):
        first = 0.0
        for count in COUNTS:
            decided, changed, loaded = measure(count, matches)
            first = first or decided
            ratio = decided / first
            print(
                f"{matches.__name__:9} {count:11,}   {decided * 1e6:12.1f}   {ratio:12.2f}"
                f"   {changed * 1e6:11.0f}   {loaded * 1e3:10.0f}"
            )


if __name__ == "__main__":
    main()
