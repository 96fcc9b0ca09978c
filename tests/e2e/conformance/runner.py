"""Sends what rows say, and compares what came with what was to come."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.conformance.row import Case, Json, Mirrored, Row, Shares
from tests.e2e.conformance.world import MESH
from tests.e2e.mesh import Lab, LabFailedError, wait_until

CLIENT = Path(__file__).with_name("client.py")
TOLERANCE = 0.05
TRIES = 10
"""As in the suite: a share may be missed by chance."""
DEVIATION = 0.07
"""Of mirrored shares: three standard deviations of 500 requests."""
PATIENCE_S = 5.0


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    echo: Mapping[str, Json]

    @property
    def pod(self) -> str:
        """Whose answer it is; empty when nobody echoed."""
        return str(self.echo.get("pod", ""))

    def seen(self, name: str) -> str | None:
        """A header as the backend saw it."""
        headers = self.echo.get("headers")
        values = headers.get(name) if isinstance(headers, dict) else None
        return ",".join(map(str, values)) if isinstance(values, list) else None


def pods_of(lab: Lab, deployment: str) -> dict[str, str]:
    """The addresses of a deployment's pods by their names."""
    pods = json.loads(lab.must("get", "pods", "-o", "json"))["items"]
    return {
        str(pod["metadata"]["name"]): str(pod["status"]["podIP"])
        for pod in pods
        if pod["metadata"]["namespace"] == MESH
        and str(pod["metadata"]["name"]).startswith(f"{deployment}-")
    }


def address_of(lab: Lab, deployment: str) -> str:
    """The address of a deployment's only pod."""
    (found,) = pods_of(lab, deployment).values()
    return found


def send(lab: Lab, client: str, requests: list[dict[str, Json]]) -> list[list[Answer]]:
    """The answers to each of some requests of one client."""
    said = lab.must(
        "exec", client, "--", sys.executable, str(CLIENT), given=json.dumps(requests), seconds=60
    )
    return [[Answer(**one) for one in answers] for answers in json.loads(said)]


def request_of(lab: Lab, case: Case, count: int = 1) -> dict[str, Json]:
    """A request as the client reads it."""
    url, host = case.url, urlsplit(case.url).netloc
    if host.startswith("{"):
        deployment = host[1:].partition("}")[0]
        url = url.replace(f"{{{deployment}}}", address_of(lab, deployment))
    return {"url": url, "method": case.method, "headers": dict(case.headers), "count": count}


def problems_of_cases(lab: Lab, cases: Iterable[Case]) -> Iterator[str]:
    """What did not come as it was to: a sentence each."""
    by_client: dict[str, list[Case]] = {}
    for case in cases:
        by_client.setdefault(case.client, []).append(case)
    for client, own in by_client.items():
        requests = [request_of(lab, case) for case in own]
        for case, (answer,) in zip(own, send(lab, client, requests), strict=True):
            for problem in problems(case, answer):
                yield f"{case.method} {case.url} {dict(case.headers)} from {client}: {problem}"


def problems(case: Case, answer: Answer) -> Iterator[str]:
    """How one answer differs from what was to come."""
    if answer.status not in (case.status, case.or_status or case.status):
        yield f"status {answer.status}, not {case.status}"
        return
    if not _is_of(answer, case.backend):
        yield f"answered by {answer.pod or 'nobody'}, not by {case.backend or 'nobody'}"
        return
    yield from _seen_problems(case, answer)
    yield from _answer_problems(case, answer)


def _seen_problems(case: Case, answer: Answer) -> Iterator[str]:
    if case.path and answer.echo.get("path") != case.path:
        yield f"the backend saw {answer.echo.get('path')}, not {case.path}"
    for name, value in (("host", case.host), ("proto", case.proto)):
        if value and answer.echo.get(name) != value:
            yield f"the backend saw {name} {answer.echo.get(name)}, not {value}"
    for name, value in case.seen.items():
        if answer.seen(name) != value:
            yield f"the backend saw {name}: {answer.seen(name)}, not {value}"
    for name in case.not_seen:
        if answer.seen(name) is not None:
            yield f"the backend saw {name}"


def _answer_problems(case: Case, answer: Answer) -> Iterator[str]:
    for name, value in (*case.answered.items(), ("location", case.location)):
        if value and answer.headers.get(name) != value:
            yield f"the answer has {name}: {answer.headers.get(name)}, not {value}"
    for name in case.not_answered:
        if name in answer.headers:
            yield f"the answer has {name}"


def _is_of(answer: Answer, backend: str) -> bool:
    return answer.pod.startswith(f"{backend}-") if backend else not answer.pod


def problem_of_shares(lab: Lab, shares: Shares) -> str:
    """How far the shares are from what was to come; empty when they are near enough."""
    found: Mapping[str, float] = {}
    for _ in range(TRIES):
        request = request_of(lab, Case(url=shares.url), shares.count)
        (answers,) = send(lab, f"{MESH}/deploy/echo-v1", [request])
        counted = Counter(answer.pod.rsplit("-", 2)[0] for answer in answers)
        found = {backend: number / shares.count for backend, number in counted.items()}
        if set(found) == set(shares.shares) and all(
            abs(found[backend] - share) <= TOLERANCE for backend, share in shares.shares.items()
        ):
            return ""
    return f"{shares.url}: {found}, not {dict(shares.shares)}"


def problem_of_mirrored(lab: Lab, mirrored: Mirrored) -> str:
    """Which backend has not written down what it should have; empty when all have."""
    case = Case(url=f"http://echo{mirrored.path}")
    send(lab, case.client, [request_of(lab, case, mirrored.count)])
    line = f"Echoing back request made to {mirrored.path} to client"
    found: Mapping[str, int] = {}

    def holds() -> bool:
        nonlocal found
        found = {each: log_of(lab, each).count(line) for each in mirrored.backends}
        return all(abs(n / mirrored.count - mirrored.share) <= DEVIATION for n in found.values())

    try:
        wait_until("mirrored requests", holds, PATIENCE_S)
    except LabFailedError:
        return f"{mirrored.path}: {found} of {mirrored.count}, not {mirrored.share:.0%}"
    return ""


def log_of(lab: Lab, deployment: str) -> str:
    """All that the pods of a deployment have written."""
    return "".join(lab.must("logs", f"{MESH}/{pod}") for pod in pods_of(lab, deployment))


def problems_of(lab: Lab, row: Row) -> list[str]:
    """Everything that did not come as a row says."""
    found = list(problems_of_cases(lab, row.cases))
    found += [problem for each in row.shares if (problem := problem_of_shares(lab, each))]
    found += [problem for each in row.mirrored if (problem := problem_of_mirrored(lab, each))]
    return found
