"""Looks again and again whether enrolled pods are really captured, and mends what has drifted."""

import logging
from typing import Final

import trio

from cni.agent import Agent
from cni.pods import Phase, Pod
from mesh.errors import MeshError
from mesh.runtime.netns import NetnsGoneError

SHARE: Final = 0.02
"""Looking at all pods takes about this share of a processor at most: with many, it is rarer."""

log = logging.getLogger(__name__)


async def attest_all(agent: Agent, interval_s: float) -> None:
    """Look at every pod, again and again, at most once in each interval.

    Cancellation: stops between two pods.
    """
    while True:
        began = trio.current_time()
        for pod in agent.pods:
            async with agent.lock(pod.uid):
                found = agent.pods.get(pod.uid)
                if found is not None:
                    await _attest(agent, found)
        agent.drop_locks()
        agent.show()
        took = trio.current_time() - began
        await trio.sleep(max(interval_s, took / SHARE))


async def _attest(agent: Agent, pod: Pod) -> None:
    try:
        if pod.is_gone():
            await agent.failed(pod, NetnsGoneError(pod.netns, "it has gone"))
        elif pod.phase is Phase.ENROLLED:
            await _capture(agent, pod)
    except MeshError as error:
        agent.unattested.add(pod.uid)
        await agent.failed(pod, error)


async def _capture(agent: Agent, pod: Pod) -> None:
    if await agent.enrolment.attest(pod):
        log.warning("%s was not captured any more: mended", pod.key)
        agent.status.count_step("healed")
    await agent.end_earlier(pod)
    agent.unattested.discard(pod.uid)
