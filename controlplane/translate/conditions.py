"""Conditions as statuses hold them, still without time and generation."""

from mesh.model.fields import Json


def condition(kind: str, status: str, reason: str, message: str) -> dict[str, Json]:
    """One condition; `status` is `True`, `False` or `Unknown`."""
    return {"type": kind, "status": status, "reason": reason, "message": message}
