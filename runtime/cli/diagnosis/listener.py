"""The API's TCP port: its certificate, its key, and whether somebody listens."""

from __future__ import annotations

import datetime as dt
import socket
from pathlib import Path

from runtime.access.listen import Listen
from runtime.cli.diagnosis.finding import Finding, check, upcoming
from runtime.daemon.settings import Settings

SOON_DAYS, URGENT_DAYS = 30, 7
CONNECT_TIMEOUT_S = 5.0
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask what listens there


def listener_checks(settings: Settings, *, is_running: bool, now: dt.datetime) -> list[Finding]:
    """Nothing where there is neither a port nor a certificate: nobody has asked for one."""
    own = settings.home / "tls"
    certificate, key = settings.tls or (own / "api.pem", own / "api.key")
    findings = []
    if settings.tls is not None or certificate.exists():
        findings += [_certificate(certificate, key, now, is_own=settings.tls is None), _rights(key)]
    elif settings.listen is not None and settings.listen.is_tls:
        findings.append(check("certificate", f"none yet; the daemon makes {certificate} as it starts"))
    if settings.listen is not None and is_running:
        findings.append(_answers(settings.listen))
    return findings


def _certificate(path: Path, key: Path, now: dt.datetime, *, is_own: bool) -> Finding:
    from cryptography import x509  # noqa: PLC0415 - costs what others need not pay
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    renew = (
        "orch down, then orch up: a new one is made; give its ca.pem to the clients"
        if is_own
        else "renew it, then restart the daemon"
    )
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
        secret = serialization.load_pem_private_key(key.read_bytes(), None)
    except OSError as exc:
        return check("certificate", f"{exc.filename}: {exc.strerror}", remedy=renew)
    except (ValueError, TypeError):
        return check("certificate", f"{path} and {key} are no certificate and its key", remedy=renew)
    if secret.public_key() != found.public_key():
        return check("certificate", f"{key} is not the key of {path}", remedy=renew)
    days = (found.not_valid_after_utc - now).days
    if found.not_valid_before_utc > now:
        return check("certificate", f"{path} is not valid yet", remedy="correct the clock, or renew it")
    detail = f"{path} {f'expires in {days} days' if days >= 0 else f'expired {-days} days ago'}"
    if days < URGENT_DAYS:
        return check("certificate", detail, remedy=renew)
    return upcoming("certificate", detail, remedy=renew) if days < SOON_DAYS else check("certificate", detail)


def _rights(key: Path) -> Finding:
    try:
        mode = key.stat().st_mode & 0o777
    except OSError as exc:
        return check("certificate key", f"{key}: {exc.strerror}", remedy="correct ORCHBOX_TLS_KEY")
    if mode & 0o077:
        remedy = f"chmod 600 {key}, and renew it: others may have read it"
        return check("certificate key", f"{key} is open to other users ({mode:03o})", remedy=remedy)
    return check("certificate key", f"{key} is its owner's alone")


def _answers(listen: Listen) -> Finding:
    host = ANYWHERE.get(listen.host, listen.host)
    try:
        socket.create_connection((host, listen.port), CONNECT_TIMEOUT_S).close()
    except OSError as exc:
        detail = f"nobody answers on {listen.host}:{listen.port} ({exc.strerror or type(exc).__name__})"
        return check("tcp", detail, remedy="restart the daemon with ORCHBOX_LISTEN or --tcp")
    return check("tcp", f"listens on {listen.host}:{listen.port}")
