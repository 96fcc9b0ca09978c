"""Whatever code a line of the log carries, a reader finds it on the page of codes."""

import ast
import re
from collections.abc import Iterator

from mesh.observe.log_codes import LOG_CODES
from tests.repo.tree import ROOT, dotted, modules, parsed

PAGE = (ROOT / "docs" / "reference" / "codes.md").read_text()
TOLD = set(re.findall(r"^\| `([a-z0-9_]+)` \|", PAGE, re.MULTILINE))
TABLE = "mesh.observe.log_codes"


def literal_codes() -> Iterator[tuple[str, str]]:
    """(module, code) of every `"code": "..."` in the sources, and of every `"...code"] = "..."`."""
    for path in modules():
        for node in ast.walk(parsed(path)):
            match node:
                case ast.Dict(keys=keys, values=values):
                    for key, value in zip(keys, values, strict=True):
                        match key, value:
                            case ast.Constant(value="code"), ast.Constant(value=str(code)):
                                yield dotted(path), code
                            case _:
                                pass
                case ast.Assign(
                    targets=[ast.Subscript(slice=ast.Constant(value="code"))],
                    value=ast.Constant(value=str(code)),
                ):
                    yield dotted(path), code
                case _:
                    pass


def test_every_code_of_a_log_line_is_on_the_page() -> None:
    unknown = {(module, code) for module, code in literal_codes() if code not in TOLD}
    assert unknown == set(), "add it to mesh/observe/log_codes.py, then run `make docs`"


def test_every_code_of_the_table_is_used() -> None:
    sources = [(ROOT / path).read_text() for path in modules() if dotted(path) != TABLE]
    unused = {code for code in LOG_CODES if not any(f'"{code}"' in text for text in sources)}
    assert unused == set()
