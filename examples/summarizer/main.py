"""Summarise a text with the OpenAI SDK, streaming.

Input (stdin): `{"text": "..."}`, or the document of an uploaded file, `{"files": [{"path": "..."}]}`.
Output (stdout): `{"summary", "model", "words_in", "tokens", "first_token_s", "total_s"}`.
Log (stderr): the tokens as they come. Nothing here knows of a proxy, a CA or an allowlist.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import openai

INSTRUCTION = "Summarise the user's text in at most five sentences. Use only what the text says."
DEFAULT_MODEL = "gpt-5.2"


def main() -> int:
    """Read the input, summarise, print the result."""
    try:
        text = read_text(json.load(sys.stdin))
    except (ValueError, LookupError, TypeError, OSError) as error:
        return fail(f"bad input: {error}")
    try:
        result = summarize(text, model=os.environ.get("LLM_MODEL") or DEFAULT_MODEL)
    except openai.OpenAIError as error:
        return fail(f"the model could not be asked: {error}")
    print(json.dumps(result))
    return 0


def read_text(document: Any) -> str:
    """The text in the input document, or in its first uploaded file. Raises ValueError, OSError."""
    if not isinstance(document, dict):
        raise ValueError("expected a JSON object")
    text = document.get("text")
    files = document.get("files")
    if text is None and isinstance(files, list) and files:
        text = Path(files[0]["path"]).read_text(encoding="utf-8")
    if not isinstance(text, str) or not text.strip():
        raise ValueError("give a `text`, or upload a file that holds one")
    return text


def summarize(text: str, *, model: str) -> dict[str, Any]:
    """Ask the model, passing its tokens to the log as they come. Raises openai.OpenAIError."""
    started = time.monotonic()
    first_token_s = None
    pieces: list[str] = []
    messages = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": text}]
    with openai.OpenAI().chat.completions.create(model=model, messages=messages, stream=True) as stream:
        for chunk in stream:
            piece = chunk.choices[0].delta.content if chunk.choices else None
            if not piece:
                continue
            if first_token_s is None:
                first_token_s = round(time.monotonic() - started, 3)
            pieces.append(piece)
            print(piece, end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {
        "summary": "".join(pieces),
        "model": model,
        "words_in": len(text.split()),
        "tokens": len(pieces),
        "first_token_s": first_token_s,
        "total_s": round(time.monotonic() - started, 3),
    }


def fail(message: str) -> int:
    """Say what went wrong, as orchagent's own agents do."""
    print(json.dumps({"error": message}))
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
