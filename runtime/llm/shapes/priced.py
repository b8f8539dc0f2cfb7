"""Which options of a request the price list covers: those that change only how many tokens there are."""

from __future__ import annotations

from runtime.llm.shapes.openai import CHAT_PARAMETERS, NEUTRAL, RESPONSES_PARAMETERS, Json, LlmRequest

_PRICED = {
    "chat": CHAT_PARAMETERS | NEUTRAL | {"messages", "functions", "function_call"},
    "responses": RESPONSES_PARAMETERS | NEUTRAL | {"input"},
}
_PRICED_TIERS = {"auto", "default", "flex"}
"""At the list's price or below it."""
_PRICED_TOOLS = {"function", "custom"}
"""A provider's own tools are billed by the call or by the hour beside the tokens."""


def unpriced_option(request: LlmRequest) -> str | None:
    """What of the request has a price that the list does not know, as an agent's author would name it."""
    given = {name: value for name, value in request.body.items() if value is not None}
    for name in sorted(given):
        if name not in _PRICED[request.shape]:
            return name if name.isidentifier() and len(name) <= 40 else "an option"
    if str(tier := given.get("service_tier", "auto")) not in _PRICED_TIERS:
        return f"service_tier {tier!r}"[:60]
    for tool in _objects(given.get("tools")):
        if str(tool.get("type")) not in _PRICED_TOOLS:
            return f"the tool {tool.get('type')!r}"[:60]
    asked = given.get("messages" if request.shape == "chat" else "input")
    if any(
        part.get("type") == "input_audio"
        for item in _objects(asked)
        for part in _objects(item.get("content"))
    ):
        return "audio"
    return None


def _objects(value: object) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
