"""`sluice waypoint ...`: the waypoints of a lab, without writing their manifests."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import typer

from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject
from mesh.model.names import GATEWAY_GROUP, HBONE_PORT, WAYPOINT_CLASS
from sluice.lab.client import ask, obey
from sluice.lab.commands import (
    APPLY_SECONDS,
    EXITS,
    EXITS_WAITING,
    Name,
    Output,
    exits,
)
from sluice.lab.errors import LabRefusedError
from sluice.lab.gateways import addresses_of, condition_of, is_met
from sluice.lab.home import Home
from sluice.lab.protocol import DONE, FAILED, Request

DEFAULT_GATEWAY = "waypoint"
FOR_ACCOUNT = "istio.io/for-service-account"
FOR_TRAFFIC = "istio.io/waypoint-for"
USE_WAYPOINT = "istio.io/use-waypoint"
TRAFFIC = ("service", "workload", "all")

app = typer.Typer(
    help="Waypoints: the layer 7 proxies of namespaces and service accounts.",
    no_args_is_help=True,
    add_completion=False,
)


def _checked_traffic(word: str) -> str:
    if word not in ("", *TRAFFIC):
        raise typer.BadParameter(f"must be {', '.join(TRAFFIC)}")
    return word


Namespace = Annotated[str, typer.Option("--namespace", "-n", help="where the waypoint is")]
Account = Annotated[
    str, typer.Option("--service-account", help="the waypoint of this account's workloads")
]
Gateway = Annotated[str, typer.Option("--gateway", help="the name of its Gateway")]
Traffic = Annotated[
    str,
    typer.Option("--for", help="service, workload or all", callback=_checked_traffic),
]

Enroll = Annotated[
    bool, typer.Option("--enroll-namespace", help="label the namespace to use the waypoint")
]
Unenroll = Annotated[
    bool, typer.Option("--unenroll-namespace", help="take the namespace's label away first")
]
Whole = Annotated[bool, typer.Option("--all", help="all waypoints of the namespace")]


def gateway_name(gateway: str, account: str) -> str:
    """The name of a waypoint's Gateway that the command was not told."""
    # Not the account's own name: the waypoint runs as an account of its Gateway's name.
    return gateway or (f"{account}-{DEFAULT_GATEWAY}" if account else DEFAULT_GATEWAY)


def manifest(namespace: str, name: str, traffic: str, account: str) -> dict[str, Json]:
    """The Gateway of a waypoint; empty traffic and account: what it is without saying so."""
    metadata: dict[str, Json] = {"name": name, "namespace": namespace}
    if traffic:
        metadata["labels"] = {FOR_TRAFFIC: traffic}
    if account:
        metadata["annotations"] = {FOR_ACCOUNT: account}
    listener: Json = {"name": "mesh", "port": HBONE_PORT, "protocol": "HBONE"}
    return {
        "apiVersion": f"{GATEWAY_GROUP}/v1",
        "kind": "Gateway",
        "metadata": metadata,
        "spec": {"gatewayClassName": WAYPOINT_CLASS, "listeners": [listener]},
    }


@app.command(epilog=EXITS_WAITING)
@exits
def apply(
    namespace: Namespace = "default",
    service_account: Account = "",
    traffic: Traffic = "",
    gateway: Gateway = "",
    enroll: Enroll = False,  # noqa: FBT002 - typer's way
    name: Name = "default",
) -> int:
    """Make a waypoint, or change it, and wait until it is ready."""
    home = Home.of(name)
    chosen = gateway_name(gateway, service_account)
    objects: list[Json] = [manifest(namespace, chosen, traffic, service_account)]
    if enroll:
        objects.append(_labelled(_namespace(home, namespace), chosen))
    return _apply(home, *objects)


def _apply(home: Home, *objects: Json) -> int:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*objects]})
    request = Request(order="apply", texts=(("waypoint", text),), seconds=APPLY_SECONDS)
    return obey(home, request)


def _namespace(home: Home, name: str) -> KubernetesObject:
    for found in _listed(home, "namespace"):
        if found.key.name == name:
            return found
    raise LabRefusedError((f"there is no namespace {name}: add its manifest",))


def _labelled(namespace: KubernetesObject, gateway: str | None) -> dict[str, Json]:
    return namespace.patched({"metadata": {"labels": {USE_WAYPOINT: gateway}}}).body


def _listed(home: Home, kind: str) -> list[KubernetesObject]:
    reply = ask(home, Request(order="get", words=(kind, "json")))
    body: Json = json.loads(reply.out) if reply.exit_code == DONE else {}
    match body:
        case {"items": list(items)}:
            return [KubernetesObject.of(each) for each in items if isinstance(each, dict)]
        case _:
            raise LabRefusedError((f"the lab does not list its {kind}s",))


def _waypoints(home: Home, namespace: str) -> list[KubernetesObject]:
    return [
        each
        for each in _listed(home, "gateway")
        if namespace in ("", each.key.namespace) and _is_waypoint(each)
    ]


def _is_waypoint(gateway: KubernetesObject) -> bool:
    listeners = gateway.at("spec").parts("listeners")
    return any(each.number("port") == HBONE_PORT for each in listeners)


@app.command("list", epilog=EXITS)
@exits
def list_(
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="of this namespace only")
    ] = "",
    name: Name = "default",
    output: Output = "",
) -> int:
    """Print the waypoints."""
    from sluice.lab.printing import columns  # noqa: PLC0415 - brings YAML: others do without

    rows = [_row(each) for each in _waypoints(Home.of(name), namespace)]
    match output:
        case "json":
            sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        case "":
            head = ("namespace", "name", "for", "service account", "address", "programmed")
            table = [[str(row[word.replace(" ", "_")]) for word in head] for row in rows]
            sys.stdout.write(columns([[word.upper() for word in head], *table]))
        case _:
            raise typer.BadParameter("-o: is json, or left out")
    return DONE


def _row(gateway: KubernetesObject) -> Mapping[str, Json]:
    account = gateway.annotations.get(FOR_ACCOUNT, "")
    return {
        "namespace": gateway.key.namespace,
        "name": gateway.key.name,
        "for": gateway.labels.get(FOR_TRAFFIC) or ("all" if account else "service"),
        "service_account": account,
        "address": next(iter(addresses_of(gateway)), ""),
        "programmed": is_met(gateway, "Programmed"),
    }


@app.command(epilog="Exit code: 0 every one is ready, 1 one is not, or is not there, 2 wrong use.")
@exits
def status(
    namespace: Namespace = "default",
    service_account: Account = "",
    gateway: Gateway = "",
    name: Name = "default",
) -> int:
    """Print what the statuses of a namespace's waypoints say; of one, if it is named."""
    found = _waypoints(Home.of(name), namespace)
    if gateway or service_account:
        chosen = gateway_name(gateway, service_account)
        found = [each for each in found if each.key.name == chosen]
    sys.stdout.writelines(f"{line}\n" for each in found for line in _lines(each))
    if not found:
        print(f"no waypoint of this name in namespace {namespace}", file=sys.stderr)
    is_ready = all(is_met(each, "Programmed") == "True" for each in found)
    return DONE if found and is_ready else FAILED


def _lines(gateway: KubernetesObject) -> Iterator[str]:
    yield f"{gateway.key.namespace}/{gateway.key.name}"
    for kind in ("Accepted", "Programmed"):
        told = condition_of(gateway, kind)
        if told is None:
            yield f"  {kind}: not looked at yet"
        else:
            yield f"  {kind}: {told.get('status')} ({told.get('reason')}) {told.get('message')}"


@app.command(epilog=EXITS_WAITING)
@exits
def delete(
    gateways: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]")] = None,
    namespace: Namespace = "default",
    service_account: Account = "",
    whole: Whole = False,  # noqa: FBT002 - typer's way
    unenroll: Unenroll = False,  # noqa: FBT002 - typer's way
    name: Name = "default",
) -> int:
    """Delete waypoints, and wait until everything that was made for them is gone."""
    home = Home.of(name)
    names: Sequence[str] = gateways or [gateway_name("", service_account)]
    if whole:
        names = [each.key.name for each in _waypoints(home, namespace)]
    if not names:
        return DONE
    held = _namespace(home, namespace)
    if held.labels.get(USE_WAYPOINT) in names:
        # Before the waypoint goes: who asks for one that is not there is not let past it.
        code = _apply(home, _labelled(held, None)) if unenroll else _warn(held)
        if code != DONE:
            return code
    words = ("gateway", *(f"{namespace}/{each}" for each in names))
    return obey(home, Request(order="delete", words=words, seconds=APPLY_SECONDS))


def _warn(namespace: KubernetesObject) -> int:
    label = f"{USE_WAYPOINT}: {namespace.labels[USE_WAYPOINT]}"
    words = f"namespace {namespace.key.name} has the label {label} still, so connections to its"
    print(f"{words} services are refused: see --unenroll-namespace", file=sys.stderr)
    return DONE
