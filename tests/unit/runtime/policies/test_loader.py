"""Loading policies: good files give the policy as written, bad ones one clear message for each defect."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from proxy.policy.hosts import HostPattern
from proxy.policy.model import AllowRule, Budgets, DenyRule, Policy, TlsMode
from proxy.policy.passes import Passes
from runtime.egress.ca import make_ca
from runtime.model.llm_providers import HOSTED
from runtime.policies.loader import (
    PolicyError,
    PolicyNotFoundError,
    load_placed,
    load_policy,
    load_policy_file,
)

DATA = Path(__file__).parents[3] / "data" / "policies"
GOOD, BAD = DATA / "good", DATA / "bad"
REGISTRIES = {"pip": ("mirror.example", "files.mirror.example:8443"), "apt": ("a/b",)}


def allow(policy: str, index: int, host: str, **more) -> AllowRule:
    """An allow rule, passed through unless told otherwise."""
    return AllowRule(
        id=f"{policy}.allow[{index}]",
        host=HostPattern.parse(host),
        **{"tls": TlsMode.PASSTHROUGH, "is_tls_chosen": "tls" in more, **more},
    )


def test_a_full_policy_loads_as_written() -> None:
    """Parents come first and once, lists add up, the smaller budget counts, tls has its default."""
    narrow = {"tls": TlsMode.INSPECT, "methods": frozenset({"GET", "POST"}), "paths": ("/v1/*",)}
    read = {"tls": TlsMode.INSPECT, "methods": frozenset({"GET", "HEAD"})}
    expected = Policy(
        name="full",
        allow=(
            allow("parent", 0, "parent.test"),
            allow("full", 0, "plain.test"),
            allow("full", 1, "*.wild.test", ports=frozenset({443, 8443})),
            allow("full", 2, "narrow.test", **narrow),
            allow("full", 3, "seen.test", tls=TlsMode.INSPECT),
            allow("full", 4, "unseen.test", is_tls_chosen=True),
            allow("full", 5, "mirror.example", **read),
            allow("full", 5, "files.mirror.example", ports=frozenset({8443}), **read),
            allow("full", 6, "93.184.216.34"),
        ),
        deny=(
            DenyRule("parent.deny[0]", HostPattern.parse("denied.test")),
            DenyRule("other-parent.deny[0]", HostPattern.parse("*.denied.test")),
        ),
        agents=("acme/*", "other/one"),
        budgets=Budgets(
            requests_per_minute=600,
            bytes_out=10**8,
            bytes_in=64 << 20,
            connections=16,
            tunnels_per_minute=500,
            new_names_per_minute=10,
            dns_questions_per_minute=300,
            llm_tokens=2_000_000,
            llm_usd=Decimal("2.50"),
        ),
    )
    assert expected == load_policy("full", [GOOD], registries=REGISTRIES)


@pytest.mark.parametrize("name", ["minimal", "empty-lists"])
def test_what_is_absent_or_empty_allows_nothing(name: str) -> None:
    """No list, or an empty one, is a policy that denies (N-27)."""
    assert Policy(name=name) == load_policy(name, [GOOD], registries={})


def test_any_public_host_takes_two_words() -> None:
    """The star and `allow_any_public` together open public names; named hosts keep their rules."""
    expected = Policy(
        name="any-public",
        allow=(allow("any-public", 1, "named.test", tls=TlsMode.INSPECT, methods=frozenset({"GET"})),),
        allow_any_public=True,
    )
    assert expected == load_policy("any-public", [GOOD], registries={})


BAD_FILES = sorted(BAD.glob("*.yaml"))


@pytest.mark.parametrize("path", BAD_FILES, ids=[path.stem for path in BAD_FILES])
def test_a_bad_file_is_refused_with_line_field_and_remedy(path: Path) -> None:
    """The file's own first lines say which errors it must give, and no others."""
    comments = [line for line in path.read_text().splitlines() if line.startswith("# error: ")]
    expected = [f"{path}:{line.removeprefix('# error: ')}" for line in comments]
    with pytest.raises(PolicyError) as caught:
        load_policy_file(path, registries=REGISTRIES)
    assert expected == str(caught.value).splitlines()


def test_no_bad_file_is_without_its_error() -> None:
    """A table that is empty would pass by accident."""
    assert len(BAD_FILES) > 50
    assert all(path.read_text().startswith("# error: ") for path in BAD_FILES)


def write(folder: Path, name: str, text: str) -> Path:
    """A policy file of that name."""
    path = folder / f"{name}.yaml"
    path.write_text(f"version: 1\nname: {name}\n{text}")
    return path


def test_a_circle_is_refused_with_its_way(tmp_path: Path) -> None:
    """Policies that extend each other are an error, not an endless loop."""
    write(tmp_path, "a", "extends: [b]\n")
    write(tmp_path, "b", "extends: [c]\n")
    write(tmp_path, "c", "extends: [a]\n")
    with pytest.raises(PolicyError) as caught:
        load_policy("a", [tmp_path], registries={})
    where = f"{tmp_path / 'c.yaml'}:3: extends[0]"
    assert str(caught.value) == f"{where}: a circle of policies, a -> b -> c -> a: remove one of them"


def test_an_absent_parent_is_named_with_what_there_is(tmp_path: Path) -> None:
    """The message gives the place, the name, where it was looked for and what is there instead."""
    path = write(tmp_path, "a", "extends: [nowhere]\n")
    with pytest.raises(PolicyNotFoundError) as caught:
        load_policy("a", [tmp_path], registries={})
    assert str(caught.value) == (
        f"{path}:3: extends[0]: there is no policy 'nowhere' in {tmp_path}: use one of a"
    )


@pytest.mark.parametrize("name", ["nowhere", "../good/minimal", "/etc/passwd", "", "a\0b", "minimal\n"])
def test_a_name_is_never_a_path(name: str) -> None:
    """What is asked for by name is a file of the search path, or nothing."""
    with pytest.raises(PolicyNotFoundError, match=r"^policy: there is no policy "):
        load_policy(name, [GOOD], registries={})


def test_no_search_path_finds_nothing() -> None:
    """The message stays readable without a directory to name."""
    with pytest.raises(PolicyNotFoundError, match=r"in no directory: use one of none$"):
        load_policy("base", [], registries={})


def test_the_first_directory_of_the_search_path_counts(tmp_path: Path) -> None:
    """An operator's file stands before the shipped one of the same name."""
    write(tmp_path, "minimal", 'egress: {agents: ["*/*"]}\n')
    assert load_policy("minimal", [tmp_path, GOOD], registries={}).agents == ("*/*",)


def test_a_file_finds_what_it_extends_beside_it_and_in_the_search_path(tmp_path: Path) -> None:
    """`orch policy check` works on a file outside the policy directories."""
    write(tmp_path, "near", 'egress: {agents: ["a/b"]}\n')
    path = write(tmp_path, "mine", "extends: [near, parent]\n")
    policy = load_policy_file(path, [GOOD], registries={})
    assert (policy.name, policy.agents) == ("mine", ("a/b", "acme/*"))


def test_a_brokered_host_is_inspected_and_pinned_unless_told_otherwise(tmp_path: Path) -> None:
    """A rule with a credential sees every request and refuses any other credential."""
    rules = (
        "    - {host: a.test, credential: OPENAI_API_KEY}\n"
        "    - {host: b.test, credential: OPENAI_API_KEY, pin_credential: false}\n"
    )
    write(tmp_path, "keys", f"egress:\n  allow:\n{rules}")
    policy = load_policy("keys", [tmp_path], registries={})
    seen = [(rule.credential, rule.pin_credential, rule.tls) for rule in policy.allow]
    assert seen == [("OPENAI_API_KEY", True, TlsMode.INSPECT), ("OPENAI_API_KEY", False, TlsMode.INSPECT)]


def test_headers_and_open_secrets_load(tmp_path: Path) -> None:
    """Further headers are kept in lower case; a secret may be sent as it is where a rule says so."""
    rules = (
        "    - {host: a.test, credential: KEY_A, credential_headers: [X-Auth-Key, PRIVATE-TOKEN]}\n"
        "    - {host: b.test, secrets: [KEY_B, KEY_C]}\n"
    )
    write(tmp_path, "keys", f"egress:\n  allow:\n{rules}")
    first, second = load_policy("keys", [tmp_path], registries={}).allow
    assert first.credential_headers == {"x-auth-key", "private-token"}
    assert (second.secrets, second.tls, second.is_tls_chosen) == (
        {"KEY_B", "KEY_C"},
        TlsMode.PASSTHROUGH,
        False,
    )


def test_what_passes_is_listed_for_every_provider(tmp_path: Path) -> None:
    """A pinned rule that leads to a provider has the provider's list, whoever wrote it, and its own on top."""
    rules = (
        "    - {host: api.openai.com, credential: KEY_A, passes: {headers: [X-Mine], parameters: [Mine]}}\n"
        "    - {host: '*.anthropic.com', credential: KEY_B}\n"
        "    - {host: a.test, credential: KEY_C, passes: {subprotocols: [chat.v1]}}\n"
        "    - {host: b.test, credential: KEY_C}\n"
        "    - {host: api.openai.com, credential: KEY_D, pin_credential: false}\n"
    )
    write(tmp_path, "keys", f"egress:\n  allow:\n{rules}")
    passes = [rule.passes for rule in load_policy("keys", [tmp_path], registries={}).allow]
    own = Passes(frozenset({"x-mine"}), frozenset({"Mine"}))

    assert passes == [
        HOSTED["openai"].passes | own,
        HOSTED["anthropic"].passes,
        Passes(subprotocols=frozenset({"chat.v1"})),
        None,
        None,
    ]


class TestSite:
    """The operator's file, merged into every policy."""

    def load(self, tmp_path: Path, text: str, name: str = "minimal") -> Policy:
        """A good policy with this site policy."""
        return load_policy(name, [GOOD], registries=REGISTRIES, site=write(tmp_path, "site", text))

    def error(self, tmp_path: Path, text: str) -> str:
        """The message, without the file."""
        with pytest.raises(PolicyError) as caught:
            self.load(tmp_path, text)
        return str(caught.value).removeprefix(f"{tmp_path / 'site.yaml'}:")

    def test_pins_exceptions_and_rules_reach_every_policy(self, tmp_path: Path) -> None:
        """Everything of the site policy is added last."""
        ca = make_ca().cert_pem
        (tmp_path / "ca.pem").write_text(ca)
        policy = self.load(
            tmp_path,
            "egress:\n  allow: [{host: site.test}, {host: 10.1.0.1}]\n  deny: [{host: bad.test}]\n"
            "budgets: {connections: 8}\n"
            "resolve: {parent.test: [10.1.0.5, 93.184.216.34]}\nallow_private: [10.1.0.0/16]\nupstream_ca: ca.pem\n",
            name="other-parent",
        )
        assert [rule.id for rule in policy.allow] == ["parent.allow[0]", "site.allow[0]", "site.allow[1]"]
        assert policy.deny[-1].id == "site.deny[0]"
        assert policy.budgets.connections == 8
        assert dict(policy.resolve) == {"parent.test": ("10.1.0.5", "93.184.216.34")}
        assert [str(network) for network in policy.allow_private] == ["10.1.0.0/16"]
        assert ca == policy.upstream_ca_pem

    def test_a_site_policy_may_be_called_anything(self, tmp_path: Path) -> None:
        """Its file is given by path, so its name need not fit it."""
        path = tmp_path / "site-2026.yaml"
        path.write_text("version: 1\nname: site\n")
        assert Policy(name="minimal") == load_policy("minimal", [GOOD], registries={}, site=path)

    @pytest.mark.parametrize(
        ("text", "message"),
        {
            "a site policy that extends": (
                "extends: [base]\n",
                "3: extends: the site policy extends nothing: remove it",
            ),
            "a pin to a private address that is not allowed": (
                "resolve: {ok.test: [93.184.216.34, 10.0.0.1]}\n",
                "3: resolve.ok.test[1]: ok.test resolves to an address that is not public: "
                "pin another one, or add a private one to allow_private",
            ),
            "a pin to metadata": (
                "resolve: {ok.test: [169.254.169.254]}\nallow_private: [169.254.0.0/16]\n",
                "3: resolve.ok.test[0]: ok.test resolves to a cloud metadata address: "
                "pin another one, or add a private one to allow_private",
            ),
            "a pin to a name": (
                "resolve:\n  ok.test: [other.test]\n",
                "4: resolve.ok.test[0]: 'other.test' is no address: write one as 192.0.2.1 or 2001:db8::1",
            ),
            "a pin to nothing": (
                "resolve:\n  ok.test: []\n",
                "4: resolve.ok.test: an empty list here would allow nothing: add an item, or remove the key",
            ),
            "a pin that is no list": (
                "resolve: {ok.test: 93.184.216.34}\n",
                "3: resolve.ok.test: is not a list: write [a, b], or one '- item' a line",
            ),
            "a pin of a name in capitals": (
                "resolve: {OK.test: [93.184.216.34]}\n",
                "3: resolve.OK.test: a pin is for a name, in lower case and without a final dot: rewrite it",
            ),
            "a pin of what is no name": (
                'resolve: {"*.ok.test": [93.184.216.34]}\n',
                "3: resolve.*.ok.test: not a host name (a label that is empty, too long or has a character "
                "outside a-z, 0-9, - and _): write it in lower case",
            ),
            "a network with host bits": (
                "allow_private: [10.1.0.1/16]\n",
                "3: allow_private[0]: '10.1.0.1/16' is no network: write its first address and prefix, 10.1.0.0/16",
            ),
            "metadata as an exception": (
                "allow_private: [168.63.129.16]\n",
                "3: allow_private[0]: a cloud metadata address, which is never reachable: remove it",
            ),
        }.values(),
        ids=lambda value: value.splitlines()[0] if "\n" in value else "",
    )
    def test_a_site_policy_that_could_not_work_is_refused(
        self, tmp_path: Path, text: str, message: str
    ) -> None:
        """What the proxy would refuse to dial is refused when it is written."""
        assert message == self.error(tmp_path, text)

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (None, "cannot be read (No such file or directory): name a file of PEM certificates"),
            ("", "is no PEM certificate: name a file of PEM certificates"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is no PEM certificate"),
            ("schlüssel", "is no PEM certificate"),
        ],
        ids=["an absent file", "an empty file", "a broken certificate", "no ASCII"],
    )
    def test_an_upstream_ca_that_is_no_certificate_is_refused(
        self, tmp_path: Path, content: str | None, why: str
    ) -> None:
        """A broken CA is found when it is loaded, not at the first connection."""
        if content is not None:
            (tmp_path / "ca.pem").write_text(content)
        assert self.error(tmp_path, "upstream_ca: ca.pem\n").startswith(
            f"3: upstream_ca: {tmp_path / 'ca.pem'} {why}"
        )

    def test_a_private_key_never_travels_with_the_certificates(self, tmp_path: Path) -> None:
        """A file that also holds a key is refused, and the key is in no message."""
        ca = make_ca()
        (tmp_path / "ca.pem").write_text(ca.cert_pem + ca.key_pem)
        message = self.error(tmp_path, "upstream_ca: ca.pem\n")
        assert message == (
            f"3: upstream_ca: {tmp_path / 'ca.pem'} holds a private key: name a file of certificates only"
        )

    def test_an_absent_site_policy_is_an_error(self, tmp_path: Path) -> None:
        """A site policy that cannot be read stops the load: its deny rules would be missing."""
        path = tmp_path / "site.yaml"
        with pytest.raises(PolicyError) as caught:
            load_policy("minimal", [GOOD], registries={}, site=path)
        assert str(caught.value) == (
            f"{path}: cannot be read (No such file or directory): check the path and its rights"
        )


def test_each_rule_is_placed_in_its_file(tmp_path: Path) -> None:
    """Whatever file of the policy it came from, a rule of many hosts and the one for any host included."""
    parent = write(tmp_path, "parent", "egress:\n  deny:\n    - host: a.test\n    - host: b.test\n")
    child = write(
        tmp_path,
        "child",
        "extends: [parent]\nallow_any_public: true\negress:\n  allow:\n"
        '    - host: "*"\n    - registry: pip\n    - host: c.test\n',
    )
    loaded = load_placed("child", [tmp_path], registries={"pip": ["p.test", "q.test"]})
    assert {rule: (place.path, place.line) for rule, place in loaded.places.items()} == {
        "parent.deny[0]": (parent, 5),
        "parent.deny[1]": (parent, 6),
        "child.allow[0]": (child, 7),
        "child.allow[1]": (child, 8),
        "child.allow[2]": (child, 9),
        "child.allow_any_public": (child, 7),
    }
    assert {rule.id for rule in loaded.policy.allow} <= {*loaded.places}
