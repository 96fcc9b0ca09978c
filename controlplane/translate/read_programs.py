"""Filters (`sluice.dev`): Python that changes or answers requests, each by itself."""

import json
from typing import Final

from controlplane.translate.route_facts import ProgramFacts
from controlplane.translate.route_fields import number_at
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.routes import FilterProgram

DEFAULT_BUDGET_MS: Final = 50
MAX_BUDGET_MS: Final = 10_000
MAX_CONFIG_LENGTH: Final = 32 * 1024
DEFAULT_KEY: Final = "filter.py"
_FAILURES: Final = {"Closed": False, "Open": True}


def read_program(found: KubernetesObject) -> ProgramFacts:
    """A Filter.

    Raises:
        FieldInvalidError: a field has a value that it cannot have.
    """
    spec = found.at("spec")
    failure = spec.text("failure", "Closed")
    if failure not in _FAILURES:
        raise spec.invalid("failure", f"{failure!r:.40} is unknown: write Closed or Open")
    source, config_map, name = "", None, ""
    if isinstance(spec.body.get("python"), str):
        source = spec.text("python")
    else:
        ref = spec.at("python", "configMapRef")
        if ref.text("name"):  # without any source it is a filter that fails, and says so
            config_map = ObjectKey("ConfigMap", found.key.namespace, ref.text("name"))
        name = ref.text("key", DEFAULT_KEY)
    config = json.dumps(spec.at("config").body, sort_keys=True)
    if len(config) > MAX_CONFIG_LENGTH:
        raise spec.invalid("config", f"must be at most {MAX_CONFIG_LENGTH} characters as JSON")
    program = FilterProgram(
        namespace=found.key.namespace,
        name=found.key.name,
        source=source,
        config=config,
        budget_s=number_at(spec, "budgetMs", 1, MAX_BUDGET_MS, DEFAULT_BUDGET_MS) / 1000,
        fails_open=_FAILURES[failure],
    )
    return ProgramFacts(key=found.key, program=program, config_map=config_map, config_map_key=name)
