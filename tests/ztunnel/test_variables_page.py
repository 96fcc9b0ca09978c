"""The page of the node proxy's variables names every one that the code reads, and no other."""

import re

from tests.repo.tree import ROOT
from ztunnel.config import Config

PAGE = (ROOT / "docs" / "reference" / "ztunnel-variables.md").read_text()
SOURCES = [
    ROOT / name
    for name in ("ztunnel/config.py", "ztunnel/proxy_config.py", "mesh/runtime/settings.py")
]
NAMED_BY_KIND = {"XDS_ROOT_CA", "CA_ROOT_CA", "ALT_XDS_HOSTNAME", "ALT_CA_HOSTNAME", "CA_ADDRESS"}
"""The code makes these of `XDS` and `CA`."""


def test_every_variable_of_the_code_is_on_the_page() -> None:
    text = "".join(path.read_text() for path in SOURCES)
    read = set(re.findall(r'"([A-Z][A-Z0-9_]{3,})"', text))
    missing = {name for name in read | NAMED_BY_KIND if f"`{name}" not in PAGE}
    assert missing == set()


def test_every_variable_of_the_page_is_in_the_code() -> None:
    text = "".join(path.read_text() for path in SOURCES)
    told = set(re.findall(r"`([A-Z][A-Z0-9_]{3,})(?:\.\.\.)?`", PAGE)) - NAMED_BY_KIND
    unknown = {name for name in told if name not in text}
    assert unknown == {"SYSTEM", "XDS_HEADER_", "CA_HEADER_"} & unknown


def test_the_defaults_of_the_page_are_those_of_the_code() -> None:
    config = Config.from_env({})
    for default in (config.inpod_uds, config.auth_token, config.xds.root_ca, config.xds.address):
        assert f"`{default}`" in PAGE
