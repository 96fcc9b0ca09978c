"""Where an answer's knowledge comes from: a lab that runs, or manifests alone."""

from collections.abc import Sequence
from pathlib import Path

from controlplane.mesh_config import MeshConfig, read_mesh_config
from controlplane.translate.settings import Settings
from controlplane.translate.world import Translator
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.runtime.manifests import ManifestFolder, parse
from sluice.lab.client import is_running
from sluice.lab.errors import LabAbsentError
from sluice.lab.home import SYSTEM_NAMESPACE, Home
from sluice.why.config_dump import known_of_dump
from sluice.why.errors import QuestionRefusedError
from sluice.why.known import Known, known_of
from sluice.why.stand_ins import known_of_manifests


def known_of_lab(home: Home) -> Known:
    """What the proxies of a lab are told at this moment.

    Raises:
        LabAbsentError: it does not run.
        LabRefusedError: it is somebody else's.
    """
    if not is_running(home):
        raise LabAbsentError(home.lab)
    snapshot = ManifestFolder(home.manifests).read()
    config = read_mesh_config(home.mesh_config) if home.mesh_config.exists() else MeshConfig()
    # As the lab starts its control plane (sluice/lab/mesh.py, controlplane/options.py).
    settings = Settings(
        trust_domain=config.trust_domain or "cluster.local",
        root_namespace=config.root_namespace or SYSTEM_NAMESPACE,
        goes_direct=config.goes_direct,
        auto_waypoint=config.auto_waypoint,
        providers=config.providers,
        traces=config.traces,
        path_normalisation=config.path_normalisation,
    )
    translation = Translator(settings).update(snapshot.objects)
    return known_of(translation, snapshot.objects, snapshot.problems)


def known_of_texts(texts: Sequence[tuple[str, str]]) -> Known:
    """What a mesh of these manifests would know.

    Args:
        texts: where each is from, and what it says.
    """
    objects: dict[ObjectKey, KubernetesObject] = {}
    problems: list[str] = []
    for origin, text in texts:
        found, slips = parse(text, origin)
        problems += slips
        for each in found:
            if each.key in objects:
                problems.append(f"{origin}: {each.key} stands twice: the first counts")
            objects.setdefault(each.key, each)
    return known_of_manifests(objects.values(), problems)


def known_from(texts: Sequence[tuple[str, str]] | None, dump: Path | None, home: Home) -> Known:
    """What there is to know: of a dump, else of manifests, else of the lab.

    Raises:
        QuestionRefusedError: both are given, or the dump cannot be read.
        LabAbsentError: no lab runs, and nothing else is given.
    """
    if dump is None:
        return known_of_lab(home) if texts is None else known_of_texts(texts)
    if texts is not None:
        raise QuestionRefusedError(("--config-dump stands alone: leave -f out",))
    try:
        written = dump.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise QuestionRefusedError((f"{dump}: cannot be read ({error})",)) from error
    return known_of_dump(written, str(dump))
