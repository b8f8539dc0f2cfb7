"""Policies by name, read anew for each run, so that an edit takes effect without a restart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from proxy.policy.model import Policy
from runtime.errors import InvalidInputError, NotFoundError
from runtime.policies.loader import PolicyError, PolicyNotFoundError, load_placed
from runtime.policies.places import LoadedPolicy
from runtime.policies.registries import LocalRegistries


class PolicyCatalogue:
    """The policies that this daemon's operator has, shipped and own."""

    def __init__(self, folders: Sequence[Path], *, site: Path | None) -> None:
        """`folders` are searched in order; `site` is the operator's additions to every policy."""
        self._folders = folders
        self._site = site
        self._registries = LocalRegistries()

    def __call__(self, name: str) -> Policy:
        """Load a policy. Raises NotFoundError (no such policy) and InvalidInputError (a broken one)."""
        return self.placed(name).policy

    def placed(self, name: str) -> LoadedPolicy:
        """The same, with the places of its rules."""
        try:
            return load_placed(name, self._folders, registries=self._registries, site=self._site)
        except PolicyNotFoundError as exc:
            raise NotFoundError(str(exc), hint="see policies/, or set ORCHBOX_POLICY_DIR") from exc
        except PolicyError as exc:
            raise InvalidInputError(str(exc), hint=f"orch policy check {name}.yaml") from exc
