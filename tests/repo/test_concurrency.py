"""The rules of structured concurrency that no linter knows (CONTRIBUTING.md, rule 3)."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.repo.tree import modules, parsed

WITH_A_DEADLINE = {"move_on_after", "move_on_at", "fail_after", "fail_at"}


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call))


def called_name(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


def test_a_clean_up_is_shielded_only_with_a_deadline() -> None:
    forever = [
        f"{path}:{call.lineno}"
        for path in modules()
        for call in calls(path)
        if any(keyword.arg == "shield" for keyword in call.keywords)
        and called_name(call) not in WITH_A_DEADLINE
    ]
    assert forever == []


def test_no_nursery_is_kept_in_an_attribute() -> None:
    kept = [
        f"{path}:{node.lineno}"
        for path in modules()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and "ursery" in ast.unparse(node)
        and any(
            isinstance(target, ast.Attribute)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        )
    ]
    assert kept == []


def test_no_queue_is_without_bounds() -> None:
    endless = [
        f"{path}:{call.lineno}"
        for path in modules()
        for call in calls(path)
        if called_name(call) == "open_memory_channel"
        and any("inf" in ast.unparse(argument) for argument in call.args)
    ]
    assert endless == []
