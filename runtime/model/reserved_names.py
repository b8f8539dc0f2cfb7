"""Names of variables that decide how programs load code, whom they trust and which way they go out. Pure.

In a sandbox they are the runner's and the image's: an agent's manifest that declares one as a secret, or a
caller that sets one, would put another proxy, another root of trust or code of its own in their place.
"""

from __future__ import annotations

_EXACT = frozenset(
    """
    PATH HOME IFS ENV BASH_ENV SHELLOPTS BASHOPTS PS4
    PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONINSPECT PYTHONHTTPSVERIFY PYTHONUSERBASE PYTHONPLATLIBDIR
    NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED NODE_USE_ENV_PROXY
    JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS _JAVA_OPTIONS CLASSPATH
    PERL5LIB PERL5OPT PERLLIB RUBYLIB RUBYOPT GEM_PATH GEM_HOME
    GCONV_PATH LOCPATH NLSPATH HOSTALIASES GLIBC_TUNABLES RES_OPTIONS LOCALDOMAIN RESOLV_HOST_CONF
    AWS_CA_BUNDLE CARGO_HTTP_CAINFO CURL_CA_BUNDLE CURL_HOME DENO_CERT DENO_TLS_CA_STORE PIP_CERT PIP_PROXY
    PIP_CONFIG_FILE REQUESTS_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR SSLKEYLOGFILE OPENSSL_CONF OPENSSL_MODULES
    OPENSSL_ENGINES GRPC_DEFAULT_SSL_ROOTS_FILE_PATH UV_SYSTEM_CERTS UV_NATIVE_TLS
    GIT_SSL_NO_VERIFY GIT_SSL_CAINFO GIT_SSL_CAPATH GIT_PROXY_COMMAND GIT_SSH GIT_SSH_COMMAND GIT_EXEC_PATH
    HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY FTP_PROXY SOCKS_PROXY SOCKS5_SERVER CARGO_HTTP_PROXY GRPC_PROXY
    """.split()  # noqa: SIM905 - a table to be read
)
_PREFIXES = ("LD_", "DYLD_", "ORCHBOX_", "GIT_CONFIG", "BASH_FUNC_")
_NPM = frozenset(
    {
        "CAFILE",
        "CA",
        "PROXY",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NOPROXY",
        "STRICT_SSL",
        "USERCONFIG",
        "GLOBALCONFIG",
    }
)
_NPM_PREFIX = "NPM_CONFIG_"


def is_reserved(name: str) -> bool:
    """Whether a run may not set it, in whichever case: clients read both spellings of some."""
    upper = name.upper()
    if upper.startswith(_NPM_PREFIX):
        return upper.removeprefix(_NPM_PREFIX) in _NPM
    return upper in _EXACT or upper.startswith(_PREFIXES)
