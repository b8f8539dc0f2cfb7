"""The daemon's settings: read once from the environment, then passed as an argument.

Precedence: command-line flag, environment variable, default. Nothing else in the code reads the
environment, but for the caller's keys (`keys.py`).
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from runtime.access.listen import TAKES as TAKES_LISTEN
from runtime.access.listen import Listen, parse_listen
from runtime.errors import InvalidInputError
from runtime.model.retention import KeepRules
from runtime.model.secret import Secret
from runtime.network.slots import PREFIX_LENGTH
from runtime.vault.source import TAKES, FileKey, KeySource, parse_key_source

SHIPPED_POLICIES = Path(__file__).resolve().parents[2] / "policies"
DEFAULT_POOL = "10.231.0.0/16"
DEFAULT_MEMORY_PERCENT = 80
DEFAULT_ADOPT_S = 60
_POOL_RANGES = tuple(
    ipaddress.IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)
"""Where networks of one's own belong (RFC 1918, RFC 6598); loopback and link-local do not."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the daemon keeps and finds things."""

    home: Path
    """ORCHBOX_HOME: state (database, keys, log). /var/lib/orchbox for root, else $XDG_STATE_HOME/orchbox."""
    run_dir: Path
    """ORCHBOX_RUN_DIR: sockets. /run/orchbox for root, else $XDG_RUNTIME_DIR/orchbox."""
    instance: str
    """ORCHBOX_INSTANCE: tells several daemons on one host apart, on every label."""
    pool: ipaddress.IPv4Network
    """ORCHBOX_POOL: addresses for sandbox networks, a /29 each."""
    policy_dirs: tuple[Path, ...]
    """ORCHBOX_POLICY_DIR, then the shipped policies."""
    site_policy: Path | None
    """ORCHBOX_SITE_POLICY: the operator's pins and exceptions, merged into every policy."""
    proxy_dns: tuple[str, ...]
    """ORCHBOX_PROXY_DNS: resolvers of the proxy's container; empty leaves the engine's choice."""
    image_prefix: str
    """ORCHBOX_IMAGE_PREFIX."""
    image_tag: str
    """ORCHBOX_IMAGE_TAG."""
    proxy_mode: Literal["managed", "external"]
    """ORCHBOX_PROXY: `external` when Compose starts the proxy."""
    database: Secret | None = None
    """ORCHBOX_DATABASE_URL, which may hold a password; None is a SQLite file in `home`."""
    vault_key: KeySource | None = None
    """ORCHBOX_VAULT_KEY; None is the file `vault.key` in `home`."""
    old_vault_key: KeySource | None = None
    """ORCHBOX_VAULT_KEY_OLD: tried where the key opens nothing, until a rotation has replaced it."""

    keep: KeepRules = field(default_factory=KeepRules)
    """ORCHBOX_KEEP_DAYS, ORCHBOX_KEEP_MIB, ORCHBOX_KEEP_AUDIT_DAYS: what is kept of finished runs and of the
    vault's audit."""

    memory_percent: int = DEFAULT_MEMORY_PERCENT
    """ORCHBOX_MEMORY_PERCENT: the share of the engine's memory that the limits of all sandboxes may reach."""

    listen: Listen | None = None
    """ORCHBOX_LISTEN: where the API is on TCP, beside its unix socket; None is nowhere."""
    tls: tuple[Path, Path] | None = None
    """ORCHBOX_TLS_CERT (with its chain) and ORCHBOX_TLS_KEY: the API's; None is a certificate of our own."""
    tls_names: tuple[str, ...] = ()
    """ORCHBOX_TLS_NAMES: names and addresses in a certificate of our own, beside those of this host."""

    adopt_s: int = DEFAULT_ADOPT_S
    """ORCHBOX_ADOPT_SECONDS: how long runs go on without a daemon, for the next one to adopt them."""

    stop_s: int = 0
    """ORCHBOX_STOP_SECONDS: how long runs may go on once the daemon is told to stop."""
    has_traces: bool = False
    """Whether OTEL_EXPORTER_OTLP_ENDPOINT (or that of traces) names a collector, and nothing rules it out."""
    notify_socket: str | None = None
    """NOTIFY_SOCKET: where systemd wants to be told that the daemon answers, and that it ends."""

    @property
    def vault_keys(self) -> tuple[KeySource, ...]:
        """Where the vault's key is, then where it was."""
        key = self.vault_key or FileKey(self.home / "vault.key")
        return (key, self.old_vault_key) if self.old_vault_key else (key,)

    @property
    def api_socket(self) -> Path:
        """The path of the API's unix socket."""
        return self.run_dir / "api.sock"

    @property
    def pid_file(self) -> Path:
        """Held by the daemon while it lives."""
        return self.run_dir / "daemon.pid"

    @property
    def log_file(self) -> Path:
        """What a detached daemon writes."""
        return self.home / "daemon.log"

    @property
    def keepers_dir(self) -> Path:
        """The folders of runs whose end is not recorded."""
        return self.home / f"{self.instance}.keepers"

    @property
    def control_dir(self) -> Path:
        """The folder that daemon and proxy share."""
        return self.run_dir / "control"

    @property
    def resolv_dir(self) -> Path:
        """Files that the engine mounts into sandboxes, and nothing but these."""
        return self.run_dir / "resolv"

    def image(self, name: str) -> str:
        """The full reference of one of our images."""
        return f"{self.image_prefix}{name}:{self.image_tag}"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read the settings. Raises InvalidInputError naming the variable and what it takes."""
        is_root = os.geteuid() == 0
        user_home = env.get("HOME") or "/"
        state = env.get("XDG_STATE_HOME") or f"{user_home}/.local/state"
        runtime_dir = env.get("XDG_RUNTIME_DIR") or f"{state}/run"
        policy_dir = env.get("ORCHBOX_POLICY_DIR")
        site = env.get("ORCHBOX_SITE_POLICY")
        return cls(
            home=_absolute(env, "ORCHBOX_HOME", "/var/lib/orchbox" if is_root else f"{state}/orchbox"),
            run_dir=_absolute(
                env, "ORCHBOX_RUN_DIR", "/run/orchbox" if is_root else f"{runtime_dir}/orchbox"
            ),
            instance=_matching(env, "ORCHBOX_INSTANCE", "default", r"[a-z0-9][a-z0-9-]{0,30}"),
            pool=_pool(env.get("ORCHBOX_POOL") or DEFAULT_POOL),
            policy_dirs=(
                *((_folder("ORCHBOX_POLICY_DIR", policy_dir),) if policy_dir else ()),
                SHIPPED_POLICIES,
            ),
            site_policy=_file("ORCHBOX_SITE_POLICY", site) if site else None,
            proxy_dns=_addresses("ORCHBOX_PROXY_DNS", env.get("ORCHBOX_PROXY_DNS", "")),
            image_prefix=_matching(env, "ORCHBOX_IMAGE_PREFIX", "orchbox/", r"[a-z0-9][a-z0-9._/:-]*"),
            image_tag=_matching(env, "ORCHBOX_IMAGE_TAG", "local", r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"),
            proxy_mode="external"
            if _matching(env, "ORCHBOX_PROXY", "managed", "managed|external") == "external"
            else "managed",
            database=_database("ORCHBOX_DATABASE_URL", env),
            vault_key=_key_source("ORCHBOX_VAULT_KEY", env),
            old_vault_key=_key_source("ORCHBOX_VAULT_KEY_OLD", env),
            keep=_keep_rules(env),
            listen=_listen("ORCHBOX_LISTEN", env),
            tls=_tls(env),
            tls_names=_names("ORCHBOX_TLS_NAMES", env.get("ORCHBOX_TLS_NAMES", "")),
            adopt_s=_count(env, "ORCHBOX_ADOPT_SECONDS", DEFAULT_ADOPT_S, most=86400),
            stop_s=_count(env, "ORCHBOX_STOP_SECONDS", 0, least=0, most=86400),
            has_traces=_has_traces(env),
            notify_socket=env.get("NOTIFY_SOCKET") or None,
            memory_percent=_count(env, "ORCHBOX_MEMORY_PERCENT", DEFAULT_MEMORY_PERCENT, most=1000),
        )


def _has_traces(env: Mapping[str, str]) -> bool:
    """As OpenTelemetry's standard variables have it; spoken is OTLP over HTTP only.

    Nothing of them is an error here: they are there for other programs, too.
    """
    prefix = "OTEL_EXPORTER_OTLP_"
    endpoint = env.get(f"{prefix}TRACES_ENDPOINT") or env.get(f"{prefix}ENDPOINT")
    protocol = env.get(f"{prefix}TRACES_PROTOCOL") or env.get(f"{prefix}PROTOCOL") or "http/protobuf"
    exporters = (env.get("OTEL_TRACES_EXPORTER") or "otlp").split(",")
    is_disabled = (env.get("OTEL_SDK_DISABLED") or "").strip().lower() == "true"
    return bool(endpoint) and protocol == "http/protobuf" and "otlp" in exporters and not is_disabled


def _bad(name: str, takes: str) -> InvalidInputError:
    return InvalidInputError(f"environment variable {name}: {takes}", hint=f"set or unset {name}")


def _matching(env: Mapping[str, str], name: str, default: str, pattern: str) -> str:
    value = env.get(name) or default
    if not re.fullmatch(pattern, value):
        raise _bad(name, f"expected a value like {pattern}")
    return value


def _absolute(env: Mapping[str, str], name: str, default: str) -> Path:
    path = Path(env.get(name) or default)
    if not path.is_absolute():
        raise _bad(name, "expected an absolute path")
    return path


def _folder(name: str, value: str) -> Path:
    path = Path(value)
    if not path.is_dir():
        raise _bad(name, f"{value} is no folder")
    return path


def _file(name: str, value: str) -> Path:
    path = Path(value)
    if not path.is_file():
        raise _bad(name, f"{value} is no file")
    return path


def _database(name: str, env: Mapping[str, str]) -> Secret | None:
    """No error repeats the value: it may hold a password."""
    value = env.get(name)
    if not value:
        return None
    if not re.match(r"postgresql://.|sqlite:////.", value):
        raise _bad(name, "expected postgresql://user@host/database or sqlite:////absolute/path")
    return Secret(value)


def _key_source(name: str, env: Mapping[str, str]) -> KeySource | None:
    """No error repeats the value: somebody may have put the key itself there."""
    value = env.get(name)
    if not value:
        return None
    try:
        return parse_key_source(value, env)
    except ValueError:
        raise _bad(name, f"expected {TAKES}") from None


def _listen(name: str, env: Mapping[str, str]) -> Listen | None:
    value = env.get(name)
    if not value:
        return None
    try:
        return parse_listen(value)
    except ValueError:
        raise _bad(name, f"expected {TAKES_LISTEN}") from None


def _tls(env: Mapping[str, str]) -> tuple[Path, Path] | None:
    names = ("ORCHBOX_TLS_CERT", "ORCHBOX_TLS_KEY")
    given = {name: env[name] for name in names if env.get(name)}
    if not given:
        return None
    for name in names:
        if name not in given:
            raise _bad(name, "expected a file, since the other of the two is set")
    certificate, key = (_file(name, given[name]) for name in names)
    return certificate.resolve(), key.resolve()


def _names(name: str, value: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in value.split(",") if part.strip())
    if not all(re.fullmatch(r"[A-Za-z0-9*.:-]{1,253}", part) for part in found):
        raise _bad(name, "expected host names and addresses separated by commas")
    return found


def _pool(value: str) -> ipaddress.IPv4Network:
    try:
        pool = ipaddress.IPv4Network(value)
    except ValueError:
        raise _bad("ORCHBOX_POOL", f"expected an IPv4 network such as {DEFAULT_POOL}") from None
    if pool.prefixlen > PREFIX_LENGTH or not any(pool.subnet_of(known) for known in _POOL_RANGES):
        raise _bad("ORCHBOX_POOL", f"expected a private network of at least a /{PREFIX_LENGTH}")
    return pool


def _keep_rules(env: Mapping[str, str]) -> KeepRules:
    usual = KeepRules()
    return KeepRules(
        days=_count(env, "ORCHBOX_KEEP_DAYS", usual.days),
        runs_bytes=_count(env, "ORCHBOX_KEEP_MIB", usual.runs_bytes >> 20) << 20,
        audit_days=_count(env, "ORCHBOX_KEEP_AUDIT_DAYS", usual.audit_days),
    )


def _count(
    env: Mapping[str, str], name: str, default: int, *, least: int = 1, most: int = 999_999_999
) -> int:
    """At least 1, mostly: 0 might be meant as nothing or as for ever."""
    value = env.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
        raise _bad(name, f"expected a whole number from {least} to {most}")
    return int(value)


def _addresses(name: str, value: str) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.IPv4Address(part.strip())) for part in value.split(",") if part.strip())
    except ValueError:
        raise _bad(name, "expected IPv4 addresses separated by commas") from None
