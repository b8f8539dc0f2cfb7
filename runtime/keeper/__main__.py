"""`python -m runtime.keeper SETTINGS`: the parent of one daemon's keepers (`keeper.nursery` starts it)."""

from __future__ import annotations

import sys

from runtime.keeper.log import configure_logs
from runtime.keeper.parent import serve
from runtime.keeper.process import KeeperSettings, keep
from runtime.keeper.warm import warm_up


def main() -> None:
    """Read the settings, which are JSON, and serve until standard input ends."""
    settings = KeeperSettings.model_validate_json(sys.argv[1])
    configure_logs()
    warm_up()
    serve(
        sys.stdin.fileno(),
        sys.stdout.fileno(),
        settings.home,
        lambda listener, folder: keep(listener, folder, settings),
    )


if __name__ == "__main__":
    main()
