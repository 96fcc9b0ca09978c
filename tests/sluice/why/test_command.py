"""`sluice why` as it is typed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sluice.__main__ import app
from tests.shared_data import shared
from tests.sluice.why.worlds import SHOP, STRICT


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "shop.yaml").write_text(SHOP)
    (tmp_path / "strict.yaml").write_text(STRICT)
    return str(tmp_path)


def test_what_passes_is_0_and_what_is_refused_1_with_its_line_marked(folder: str) -> None:
    passes = CliRunner().invoke(app, ["why", "shop/front", "stock:80", "-f", folder])
    refused = CliRunner().invoke(app, ["why", "yard/outside", "stock.shop", "-f", folder])

    assert (passes.exit_code, refused.exit_code) == (0, 1)
    assert passes.stdout.startswith("shop/front -> stock:80: passes\n")
    (marked,) = [line for line in refused.stdout.splitlines() if line.startswith("x ")]
    assert marked.endswith("[policy_denied]")
    assert "mend: " in refused.stdout


def test_json_has_the_verdict_the_reason_and_the_hops(folder: str) -> None:
    done = CliRunner().invoke(app, ["why", "yard/outside", "stock.shop", "-f", folder, "--json"])

    found = json.loads(done.stdout)
    assert set(found) == {
        "source", "destination", "request", "verdict", "reason", "outcomes", "problems",
    }  # fmt: skip
    assert (found["verdict"], found["reason"]["code"]) == ("refused", "policy_denied")
    assert found["outcomes"][0]["hops"][-1] == found["reason"]


@pytest.mark.parametrize(
    "words",
    [
        ["shop/nobody", "stock:80", "-f", "FOLDER"],
        ["shop/front", "stock:80", "-f", "FOLDER", "--config-dump", "FOLDER/absent.json"],
        ["shop/front", "stock:80", "-f", "FOLDER/absent.yaml"],
        ["shop/front", "stock:80", "--config-dump", "FOLDER/absent.json"],
        ["shop/front", "stock:80", "--name", "no-such-lab"],
        ["shop/front"],
    ],
)
def test_wrong_use_is_2(words: list[str], folder: str) -> None:
    typed = [word.replace("FOLDER", folder) for word in words]

    assert CliRunner().invoke(app, ["why", *typed]).exit_code == 2


def test_a_dump_is_read() -> None:
    dump = str(shared("ztunnel/config_dump-pair.json"))

    done = CliRunner().invoke(app, ["why", "shop/front", "stock:80", "--config-dump", dump])

    assert done.exit_code == 0, done.output
