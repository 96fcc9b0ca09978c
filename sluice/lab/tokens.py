"""Service-account tokens, as a kubelet puts them into pods and renews them."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from controlplane.tokens import AUDIENCE, LIFETIME_S, Subject, load_token_key, mint
from mesh.errors import MeshError
from mesh.model.fields import Part
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from sluice.lab.home import PROXY_ACCOUNT, SYSTEM_NAMESPACE, Home, proxy_pod_name
from sluice.lab.objects import Objects, node_of
from sluice.lab.store import Store

SHORTEST_S: Final = 600
"""The shortest life of a token, as the API server has it."""


def _subject(store: Store, node: str) -> Subject:
    name = proxy_pod_name(node)
    pod = store.objects.get(ObjectKey("Pod", SYSTEM_NAMESPACE, name))
    account = store.objects.get(ObjectKey("ServiceAccount", SYSTEM_NAMESPACE, PROXY_ACCOUNT))
    return Subject(
        namespace=SYSTEM_NAMESPACE,
        service_account=PROXY_ACCOUNT,
        account_uid=_uid(account),
        pod=name,
        pod_uid=_uid(pod),
        node=node,
    )


def pod_token(home: Home, pod: KubernetesObject, objects: Objects, wanted: Part) -> str:
    """A new token for a pod's own account, bound to the pod.

    Args:
        home: of the lab.
        pod: placed on a node.
        objects: where the account is.
        wanted: a `serviceAccountToken` of a projected volume.

    Raises:
        StateUnusableError: the control plane's key cannot be read or made.
    """
    account = pod.at("spec").text("serviceAccountName") or "default"
    namespace = pod.key.namespace
    subject = Subject(
        namespace=namespace,
        service_account=account,
        account_uid=_uid(objects.find("ServiceAccount", namespace, account)),
        pod=pod.key.name,
        pod_uid=pod.uid,
        node=node_of(pod),
    )
    return mint(
        load_token_key(home.state),
        subject,
        time.time(),
        lifetime_s=max(wanted.number("expirationSeconds", 3600), SHORTEST_S),
        audience=wanted.text("audience", AUDIENCE),
    )


def _uid(found: KubernetesObject | None) -> str:
    return "" if found is None else found.uid


async def write_token(home: Home, store: Store, node: str) -> None:
    """Give a node's proxy a new token, bound to the pod that it is.

    Raises:
        StateUnusableError: the control plane's key cannot be read or made.
        OSError: a full disk; the old token stays.

    Cancellation: none.
    """
    subject = _subject(store, node)

    def write() -> None:
        write_private(home.node(node).token, mint(load_token_key(home.state), subject, time.time()))

    await trio.to_thread.run_sync(write)


def write_private(path: Path, text: str) -> None:
    """Put a file into place that only its owner may read.

    Raises:
        OSError: a full disk; the old file stays.
    """
    fresh = path.with_name(f".{path.name}")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123 - a descriptor, for the rights
        file.write(text)
    fresh.rename(path)


async def renew_token(home: Home, store: Store, node: str, complain: Callable[[str], None]) -> None:
    """Give a node's proxy a new token in good time, for ever.

    Args:
        home: of the lab.
        store: where the pod is.
        node: whose proxy.
        complain: told when there is none to be had; the old one has half its life left.

    Cancellation: the last token stays.
    """
    while True:
        await trio.sleep(LIFETIME_S / 2)
        try:
            await write_token(home, store, node)
        except (OSError, MeshError) as error:
            complain(f"token of {node}: {error}")
