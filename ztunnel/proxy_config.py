"""PROXY_CONFIG: the part of Istio's ProxyConfig (YAML) that a node proxy obeys, as variables.

Apart from `ztunnel.config`, so that only who sets it pays for a YAML library in each process.
"""

from collections.abc import Mapping
from typing import Final

import yaml

NAMES: Final[Mapping[str, str]] = {
    "discoveryAddress": "XDS_ADDRESS",
    "proxyAdminPort": "SLUICE_ADMIN_PORT",
    "statsPort": "SLUICE_STATS_PORT",
    "concurrency": "ZTUNNEL_WORKER_THREADS",
}


def variables_of(text: str) -> tuple[dict[str, str], list[str]]:
    """The variables that a ProxyConfig stands for, and what is wrong with it."""
    try:
        document: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return {}, [f"PROXY_CONFIG: not YAML ({' '.join(str(error).split())})"]
    if not isinstance(document, dict):
        return {}, ["PROXY_CONFIG: write a mapping, such as {concurrency: 2}"]
    variables: dict[str, str] = {}
    problems: list[str] = []
    for key, value in document.items():
        if key == "proxyMetadata" and isinstance(value, dict):
            variables |= {str(name): str(one) for name, one in value.items()}
        elif key not in NAMES:
            problems.append(
                f"PROXY_CONFIG: {key!r} is not obeyed: use {', '.join(NAMES)} or proxyMetadata"
            )
        elif isinstance(value, dict | list) or value is None:
            problems.append(f"PROXY_CONFIG: {key}: write one word or number")
        else:
            variables[NAMES[key]] = str(value)
    return variables, problems
