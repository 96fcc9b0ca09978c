"""The README's lab commands do what it says, typed one after the other."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.repo.test_readme import blocks
from tests.repo.tree import ROOT

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def said() -> Iterator[dict[str, str]]:
    """What each command printed."""
    (commands,) = [block for block in blocks() if not block[0].startswith("make ")]
    script = "\n".join(f"echo '@@@ {line}'\n{line}" for line in commands)
    try:
        done = subprocess.run(
            ["/bin/sh", "-euc", script], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        parts = (part.partition("\n") for part in done.stdout.split("@@@ ")[1:])
        yield {f"{number} {head}": text for number, (head, _, text) in enumerate(parts)}
    finally:
        down = [ROOT / ".venv" / "bin" / "sluice", "lab", "down"]
        subprocess.run(down, check=True, capture_output=True)


def output(said: dict[str, str], words: str) -> list[str]:
    """What the commands with these words in them printed."""
    return [text for command, text in said.items() if words in command]


def test_the_pod_in_the_mesh_is_answered(said: dict[str, str]) -> None:
    assert '"path": "/hello"' in output(said, "shop/client")[0]


def test_the_visitor_is_refused_until_the_policy_is_gone(said: dict[str, str]) -> None:
    before, after = output(said, "exec yard/visitor")
    assert "hello" not in before
    assert '"path": "/hello"' in after


def test_the_log_says_who_called_and_who_was_refused(said: dict[str, str]) -> None:
    (log,) = output(said, "logs ztunnel@node-2")
    assert 'src.identity="spiffe://cluster.local/ns/shop/sa/client"' in log
    assert 'code="policy_denied"' in log


def test_why_names_the_policy_that_refuses(said: dict[str, str]) -> None:
    (why,) = output(said, "sluice why")
    assert "policy_denied" in why


def test_who_asks_for_a_preview_gets_the_next_version(said: dict[str, str]) -> None:
    (answer,) = output(said, "x-preview")
    assert '"pod": "echo-next-' in answer
    (route,) = output(said, "get httproutes")
    assert "reason: Accepted" in route


def test_status_and_get_show_the_pods(said: dict[str, str]) -> None:
    for words in ("lab status", "get pods"):
        assert "client" in output(said, words)[0]
