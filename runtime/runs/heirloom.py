"""What a daemon leaves with a run's keeper, so that the next one can go on with the run. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from runtime.engine.protocol import EngineInfo
from runtime.keeper.messages import Adopted
from runtime.model.needs import NOTHING_SPENT, LlmChain, LlmSpent, Needs
from runtime.model.run import RunRequest
from runtime.model.secret import Secret
from runtime.network.slots import Slot
from runtime.sandbox.parcel import Parcel
from runtime.sandbox.sandbox import SandboxOrder, SandboxPlan, plan_from_wire


def left_with(order: SandboxOrder, slot: Slot, asked: frozenset[str]) -> dict[str, Any]:
    """What is left with the keeper, beside the plan; it holds no secret."""
    request = order.request
    llm = request.needs.llm
    return {
        "slot": slot.index,
        "asked": sorted(asked),
        "agent_ref": request.agent_ref,
        "image": request.image,
        "policy_name": request.policy_name,
        "workspace": request.workspace,
        "llm": None if llm is None else {"primary": llm.primary, "fallbacks": list(llm.fallbacks)},
    }


@dataclass(frozen=True, slots=True)
class Heirloom:
    """An earlier daemon's run."""

    plan: SandboxPlan
    order: SandboxOrder
    """As far as it still matters: its bytes have been handed over."""
    slot: int
    """The number of its network."""
    asked: frozenset[str]
    """The secrets that it has from its workspace's vault."""
    spent: LlmSpent = NOTHING_SPENT
    """On LLM calls, under the daemons before."""

    @classmethod
    def out_of(cls, adopted: Adopted) -> Self:
        """What the keeper gives back. Raises ValueError where it is nothing of ours."""
        plan, held = plan_from_wire(adopted.plan), adopted.held
        try:
            llm = held["llm"] and LlmChain(held["llm"]["primary"], tuple(held["llm"]["fallbacks"]))
            request = RunRequest(
                agent_ref=held["agent_ref"],
                image=held["image"],
                argv=plan.head.argv,
                bundle=b"",
                input=b"",
                policy_name=held["policy_name"],
                isolation=plan.isolation,
                limits=plan.limits,
                secrets={name: Secret(value) for name, value in _secrets(plan, adopted).items()},
                needs=Needs(llm=llm),
                workspace=held["workspace"],
            )
            order = SandboxOrder(
                run_id=plan.run_id,
                request=request,
                parcel=Parcel(request),
                policy=plan.grant.policy,
                secrets=plan.grant.secrets,
                engine=EngineInfo("", frozenset()),
            )
            spent = LlmSpent(adopted.llm_tokens, adopted.llm_usd)
            return cls(plan, order, int(held["slot"]), frozenset(held["asked"]), spent)
        except (KeyError, TypeError):
            raise ValueError("not what a daemon leaves with a keeper") from None


def _secrets(plan: SandboxPlan, adopted: Adopted) -> dict[str, str]:
    """The values by name as they are by now, which is what the LLM router calls with."""
    values = {secret.name: secret.value for secret in plan.grant.secrets}
    for name, value in adopted.replaced.items():
        if value is None:
            values.pop(name, None)
        elif name in values:
            values[name] = value
    return values
