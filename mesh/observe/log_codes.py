"""Codes that only lines of the log have: neither an error nor a decision is told by them.

The page of codes is made of this table too, and a test finds every code that a line is given.
"""

from collections.abc import Mapping
from typing import Final

LOG_CODES: Final[Mapping[str, str]] = {
    # A connection.
    "connection_reset": "The other end of a connection was gone when it was to be used.",
    "descriptors_exhausted": "Accepting pauses: raise the limit of open files. What is open lives.",
    # The processes of a proxy.
    "drain_cut": "The drain's deadline has passed: what was still open is cut.",
    "order_lost": "The control process did not take an order; its successor will be told.",
    "process_ended": "A process of the proxy has ended, and is started again.",
    "setting_without_effect": "A variable that is set and does nothing here.",
    "start_refused": "A process cannot start: the lines before it say what to mend.",
    # The control process of a proxy.
    "agent_away": "The node agent is not there: pods that are served stay, no new ones come.",
    "collector_away": "The traces' collector is not reached: spans wait, then they are dropped.",
    "spans_rejected": "The traces' collector does not want some spans; its words say why.",
    "apply_late": "A worker does not decide by the newest state in time.",
    "http_page_failed": "A bug in a page: its traceback is in the log.",
    "last_good_unsaved": "The last good state cannot be written; without a control plane no start.",
    "pod_late": "No worker listens in a pod in time: its agent is told so, and tries again.",
    "resource_rejected": "A resource that cannot be used: the one before it stays in force.",
    "wishes_dropped": "More certificates are awaited than are kept in mind; who waits asks again.",
    # The node agent.
    "plugin_call_failed": "A bug in the answer to the plugin: that pod waits.",
    # The control plane.
    "certificate_signed": "A certificate was issued: for whom, and to whom.",
    "discovery_rejected": "A proxy refuses what it was told; its words say why.",
    "grpc_call_failed": "A bug in a call: its traceback is in the log.",
    "manifest_invalid": "An object that cannot be used; its last good version stays in force.",
    "manifests_taken": "The manifests were read, and are told to the proxies.",
    "mesh_config_ignored": "Fields of the mesh configuration that do nothing here.",
    "serving": "The ports are open.",
    "stopping": "A signal asks to stop.",
    "stream_ended": "A discovery stream has ended.",
    "stream_opened": "A proxy has opened a discovery stream.",
    "translation_failed": "A bug in the translation of manifests: what was told before stays.",
    "writing_failed": "A bug in writing statuses: what is told to proxies goes on.",
}
"""What each code means, by the code."""
