"""Asks a URL without pause, on one connection that is kept and on new ones; tells what came.

`report`: what came since the last report, as JSON. A request that fails is told with the time since
the start; the connection that is kept is then opened anew.
"""

import http.client
import json
import sys
import threading
import time
from dataclasses import asdict, dataclass, field

PAUSE_S = 0.004
SECONDS = 10


@dataclass
class Seen:
    """What came since the last report."""

    answers: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    pods: dict[str, int] = field(default_factory=dict)
    longest_s: float = 0.0


class Asker:
    """One thread."""

    def __init__(self, host: str, *, keeps: bool) -> None:
        self.seen = Seen()
        self.lock = threading.Lock()
        self._host = host
        self._keeps = keeps
        threading.Thread(target=self._run, daemon=True).start()

    def report(self) -> dict[str, object]:
        """What came since the last one."""
        with self.lock:
            seen, self.seen = self.seen, Seen()
        return asdict(seen)

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=SECONDS)
        while True:
            began = time.monotonic()
            try:
                connection.request("GET", "/steady")
                answer = connection.getresponse()
                content = answer.read()
                self._answered(answer, content, time.monotonic() - began)
            except (OSError, http.client.HTTPException) as error:
                with self.lock:
                    self.seen.failures.append(f"{time.time():.3f} {error!r}")
                connection.close()
            if not self._keeps:
                connection.close()
            time.sleep(PAUSE_S)  # noqa: TID251 - a client's pace

    def _answered(self, answer: http.client.HTTPResponse, content: bytes, took: float) -> None:
        with self.lock:
            seen = self.seen
            seen.answers += 1
            seen.statuses[answer.status] = seen.statuses.get(answer.status, 0) + 1
            seen.longest_s = max(seen.longest_s, took)
            version = answer.headers.get("x-version", "")
            if version and (not seen.versions or seen.versions[-1] != version):
                seen.versions.append(version)
            if answer.status == http.HTTPStatus.OK:
                pod = str(json.loads(content)["pod"])
                seen.pods[pod] = seen.pods.get(pod, 0) + 1
            else:
                seen.failures.append(f"{time.time():.3f} {answer.status} {content[:60]!r}")


def main() -> None:
    """Ask until the standard input ends."""
    askers = {"kept": Asker(sys.argv[1], keeps=True), "fresh": Asker(sys.argv[1], keeps=False)}
    for _ in sys.stdin:
        reports = {name: asker.report() for name, asker in askers.items()}
        sys.stdout.write(json.dumps(reports) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
