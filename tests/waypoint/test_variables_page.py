"""The page of the waypoint's variables names every one that the code reads, and no other."""

import re

from tests.repo.tree import ROOT
from waypoint.config import Config

PAGE = (ROOT / "docs" / "reference" / "waypoint-variables.md").read_text()
OWN = (ROOT / "waypoint" / "config.py").read_text()
SHARED = "".join(
    (ROOT / "mesh" / "runtime" / name).read_text() for name in ("settings.py", "tracing.py")
)
NAMED_BY_KIND = {
    *("XDS_ADDRESS", "CA_ADDRESS", "XDS_ROOT_CA", "CA_ROOT_CA"),
    *("ALT_XDS_HOSTNAME", "ALT_CA_HOSTNAME"),
}
"""The code makes these of `XDS` and `CA`."""


def test_every_variable_of_the_code_is_on_the_page() -> None:
    read = set(re.findall(r'"([A-Z][A-Z0-9_]{3,})"', OWN + SHARED))
    missing = {name for name in read | NAMED_BY_KIND if f"`{name}" not in PAGE}
    assert missing == {"SYSTEM"} & missing


def test_every_variable_of_the_page_is_in_the_code() -> None:
    told = set(re.findall(r"`([A-Z][A-Z0-9_]{3,})(?:\.\.\.)?`", PAGE)) - NAMED_BY_KIND
    unknown = {name for name in told if name not in OWN + SHARED}
    assert unknown == {"SYSTEM", "XDS_HEADER_", "CA_HEADER_"} & unknown


def test_the_defaults_of_the_page_are_those_of_the_code() -> None:
    needed = {"GATEWAY_NAME": "g", "POD_NAMESPACE": "n", "SERVICE_ACCOUNT": "a"}
    config = Config.from_env(needed)
    for default in (config.auth_token, config.xds.root_ca, config.xds.address):
        assert f"`{default}`" in PAGE
