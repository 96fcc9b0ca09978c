"""`sluice-control token`: a token for an account, bound to a pod of the manifests."""

import json
from pathlib import Path
from typing import Final

from controlplane.options import TokenOptions
from controlplane.pods import pods_of
from controlplane.state_files import PUBLIC, read_whole, write_whole
from controlplane.tokens import Subject, load_token_key, mint
from mesh.errors import ConfigError
from mesh.model.kubernetes import ObjectKey
from mesh.runtime.manifests import ManifestFolder, Snapshot

SETTINGS_FILE: Final = "settings.json"


class TokenRefusedError(ConfigError):
    """No token can be made: its pod is not there, or not of that account."""

    code = "token_refused"


def remember_manifests(state: Path, manifests: Path) -> None:
    """Keep in the state folder where the manifests are, for `token`.

    Raises:
        StateUnusableError: it cannot be written.
    """
    content = json.dumps({"manifests": str(manifests.resolve())}).encode()
    if read_whole(state / SETTINGS_FILE) != content:
        write_whole(state / SETTINGS_FILE, content, PUBLIC)


def make_token(options: TokenOptions, now: float) -> str:
    """The token that was asked for.

    Args:
        options: whom it is for.
        now: seconds since the epoch.

    Raises:
        TokenRefusedError: there is no such pod, or it is another account's.
        StateUnusableError: the key cannot be read or made.
    """
    subject = _subject(options)
    return mint(load_token_key(options.state), subject, now, lifetime_s=options.lifetime_s)


def _subject(options: TokenOptions) -> Subject:
    namespace, account = options.namespace, options.service_account
    folder = options.manifests or _remembered(options.state)
    if folder is None:
        if options.pod:
            mend = "give --manifests DIR, or start the control plane of this --state first"
            raise TokenRefusedError((f"nobody knows where the pod {options.pod} is: {mend}",))
        return Subject(namespace=namespace, service_account=account)
    snapshot = ManifestFolder(folder).read()
    uid = _account_uid(snapshot, namespace, account)
    if not options.pod:
        return Subject(namespace=namespace, service_account=account, account_uid=uid)
    pod = pods_of(snapshot.objects).get(namespace, options.pod)
    if pod is None:
        said = f"Pod {namespace}/{options.pod}: is not in {folder}, or has ended: write it first"
        raise TokenRefusedError((said,))
    if pod.service_account != account:
        said = f"Pod {namespace}/{options.pod}: runs as {pod.service_account}, not as {account}"
        raise TokenRefusedError((said,))
    return Subject(
        namespace=namespace,
        service_account=account,
        account_uid=uid,
        pod=pod.name,
        pod_uid=pod.uid,
        node=pod.node,
    )


def _account_uid(snapshot: Snapshot, namespace: str, account: str) -> str:
    found = snapshot.objects.get(ObjectKey("ServiceAccount", namespace, account))
    return "" if found is None else found.uid


def _remembered(state: Path) -> Path | None:
    content = read_whole(state / SETTINGS_FILE)
    try:
        settings: object = json.loads(content or b"null")
    except ValueError:
        return None
    match settings:
        case {"manifests": str(folder)}:
            return Path(folder)
        case _:
            return None
