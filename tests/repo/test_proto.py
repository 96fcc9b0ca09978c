"""The generated code is what the .proto files give."""

from importlib.resources import files
from pathlib import Path

import pytest
from grpc_tools import protoc

from tests.repo.tree import GENERATED, ROOT

SOURCES = sorted(
    path.relative_to(ROOT) for folder in GENERATED for path in (ROOT / folder).glob("*.proto")
)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the compiler makes now."""
    made = tmp_path_factory.mktemp("proto")
    well_known = files("grpc_tools") / "_proto"
    words = [f"-I{ROOT}", f"-I{well_known}", f"--python_out={made}", f"--pyi_out={made}"]
    assert protoc.main(["protoc", *words, *(str(ROOT / source) for source in SOURCES)]) == 0
    return made


@pytest.mark.parametrize("source", SOURCES, ids=str)
@pytest.mark.parametrize("suffix", ["_pb2.py", "_pb2.pyi"])
def test_the_generated_code_is_fresh(fresh: Path, source: Path, suffix: str) -> None:
    generated = source.with_name(source.stem + suffix)
    assert (ROOT / generated).read_text() == (fresh / generated).read_text(), "run `make proto`"
