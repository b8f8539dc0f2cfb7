"""Properties here run on whatever machine is at hand: few examples, no time limit for each."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unit", deadline=None, max_examples=50)
settings.load_profile("unit")
