"""The orders that change a lab's objects: apply and delete; and the one that only waits."""

from collections.abc import Callable, Sequence
from typing import Final

import trio

from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.runtime.manifests import parse
from sluice.lab.admission import admit
from sluice.lab.base import KEPT_NAMESPACES
from sluice.lab.errors import LabRefusedError
from sluice.lab.home import SYSTEM_NAMESPACE
from sluice.lab.kinds import KINDS, Kind, kind_of_word
from sluice.lab.lab import Lab
from sluice.lab.protocol import DONE, NOT_ACKNOWLEDGED, Request
from sluice.lab.settle import Patience, settle, waiting_pods

Say = Callable[[str], None]
_SHOWN: Final = 12


def read_documents(texts: Sequence[tuple[str, str]]) -> list[KubernetesObject]:
    """The objects in texts of manifests.

    Raises:
        LabRefusedError: a document that is no object: all of these.
    """
    documents: list[KubernetesObject] = []
    problems: list[str] = []
    for origin, text in texts:
        found, slips = parse(text, origin)
        documents += found
        problems += slips
    if problems:
        raise LabRefusedError(tuple(problems))
    return documents


async def apply(lab: Lab, request: Request, say: Say) -> int:
    """Store manifests, and wait until everything and everybody has followed.

    Raises:
        ConfigError: something is wrong with them; nothing is stored.
        ManifestUnwritableError: a full disk; nothing is stored.

    Cancellation: what is stored stays.
    """
    documents = read_documents(request.texts)
    if not documents:
        raise LabRefusedError(("no object in what was given: name a file that has one",))
    admitted = admit(documents, lab.store.objects)
    others = waiting_pods(lab, (each.key for each in admitted))
    known = {each.key for each in admitted if lab.store.objects.get(each.key) is not None}
    changed = {each.key for each in lab.store.put(admitted)}
    lab.controllers.settle()
    say("\n".join(_outcome(each.key, known, changed) for each in admitted))
    patience = Patience(ignored=others)
    code = await _wait(lab, request, say, patience)
    for problem in patience.problems:
        if any(problem.startswith(f"{each.key}:") for each in admitted):
            say(f"warning: {problem}")
    return code


def _outcome(key: ObjectKey, known: set[ObjectKey], changed: set[ObjectKey]) -> str:
    verb = "created" if key not in known else "configured"
    return f"{key} {verb if key in changed else 'unchanged'}"


async def wait(lab: Lab, request: Request, say: Say) -> int:
    """Wait for everything, as long as the request allows; the exit code.

    Cancellation: stops waiting.
    """
    return await _wait(lab, request, say, Patience())


async def _wait(lab: Lab, request: Request, say: Say, patience: Patience) -> int:
    if not request.is_waiting:
        return DONE
    with trio.move_on_after(request.seconds) as scope:
        await settle(lab, patience, say)
    if not scope.cancelled_caught:
        return DONE
    say(f"not done after {request.seconds:g} s; it was waiting for:")
    for line in patience.waits_for[:_SHOWN]:
        say(f"  {line}")
    if len(patience.waits_for) > _SHOWN:
        say(f"  and {len(patience.waits_for) - _SHOWN} more")
    return NOT_ACKNOWLEDGED


async def delete(lab: Lab, request: Request, say: Say) -> int:
    """Remove objects with all that they hold, and wait until they are gone; absent ones are fine.

    Raises:
        LabRefusedError: something that the lab itself needs, or no such kind.

    Cancellation: what has begun to go goes.
    """
    keys = _keys_of_words(request.words)
    keys += [each.key for each in read_documents(request.texts)]
    _check_removable(keys)
    there = [key for key in dict.fromkeys(keys) if lab.store.objects.get(key) is not None]
    others = waiting_pods(lab, keys)
    for key in there:
        lab.controllers.remove(key)
    lab.controllers.settle()
    told = (f"{key} {'deleted' if key in there else 'was not there'}" for key in keys)
    say("\n".join(dict.fromkeys(told)))
    return await _wait(lab, request, say, Patience(frozenset(there), others))


def _keys_of_words(words: Sequence[str]) -> list[ObjectKey]:
    if not words:
        return []
    kind = kind_of_word(words[0])
    if len(words) == 1:
        raise LabRefusedError((f"delete {words[0]}: name the object too",))
    return [key_of_word(kind, word) for word in words[1:]]


def key_of_word(kind: Kind, word: str) -> ObjectKey:
    """The key that `NS/NAME` or `NAME` means.

    Raises:
        LabRefusedError: a namespace for a kind that lives in none.
    """
    namespace, found, name = word.rpartition("/")
    if kind.is_cluster_wide and found:
        raise LabRefusedError((f"{word}: a {kind.name} lives in no namespace: write {name}",))
    return ObjectKey(kind.name, "" if kind.is_cluster_wide else namespace or "default", name)


def _check_removable(keys: Sequence[ObjectKey]) -> None:
    for key in keys:
        if key.kind not in KINDS:
            kind_of_word(key.kind)
        is_base = key.kind == "Namespace" and key.name in KEPT_NAMESPACES
        is_proxy = key.kind == "Pod" and key.namespace == SYSTEM_NAMESPACE
        if is_base or key.kind == "Node" or (is_proxy and key.name.startswith("ztunnel-")):
            raise LabRefusedError((f"{key}: the lab itself needs it",))
