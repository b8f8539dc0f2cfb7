"""From what the SDKs raise to the kind of failure, and what of an upstream's text is passed on."""

from __future__ import annotations

import ssl

import pytest

from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import RefusedError, deny
from runtime.llm.plan.chain import FailureKind, Route
from runtime.llm.shapes.errors import all_failed
from runtime.llm.shapes.failure import Failure, UnsupportedRequestError, classify


class AnyLLMError(Exception):
    """As any-llm's own: it holds what the SDK raised."""

    def __init__(self, original: Exception, **fields: object) -> None:
        super().__init__(str(original))
        self.original_exception = original
        vars(self).update(fields)


class AuthenticationError(AnyLLMError): ...


class InvalidRequestError(AnyLLMError): ...


class APIConnectionError(Exception): ...


class APITimeoutError(APIConnectionError): ...


class APIStatusError(Exception):
    def __init__(self, status: int, body: object = None) -> None:
        super().__init__(f"Error code: {status} - {body}")
        self.status_code = status
        self.body = body


def wrapped(cause: Exception) -> Exception:
    """A transport's exception as the SDKs pass it on."""
    error = APIConnectionError("Connection error.")
    error.__cause__ = cause
    return AnyLLMError(error)


REFUSED = RefusedError(deny(ReasonCode.PATH, "this path is not allowed"))
NO_NAME = RefusedError(deny(ReasonCode.DNS_FAILURE, "could not be resolved"))
CASES = [
    (TimeoutError(), FailureKind.TIMEOUT),
    (AnyLLMError(APITimeoutError()), FailureKind.TIMEOUT),
    (AnyLLMError(APIConnectionError()), FailureKind.CONNECTION_ERROR),
    (wrapped(ssl.SSLCertVerificationError("self-signed")), FailureKind.CONNECTION_ERROR),
    (ConnectionResetError(), FailureKind.CONNECTION_ERROR),
    (wrapped(REFUSED), FailureKind.REFUSED_BY_POLICY),
    (wrapped(NO_NAME), FailureKind.CONNECTION_ERROR),
    (AnyLLMError(APIStatusError(429)), FailureKind.RATE_LIMITED),
    (AnyLLMError(APIStatusError(408)), FailureKind.TIMEOUT),
    (AnyLLMError(APIStatusError(529)), FailureKind.SERVER_ERROR),
    (AnyLLMError(APIStatusError(422)), FailureKind.BAD_REQUEST),
    (AuthenticationError(APIStatusError(400)), FailureKind.UNAUTHORIZED),
    (AnyLLMError(APIStatusError(409)), FailureKind.OTHER),
    (AnyLLMError(APIStatusError(200), error_type="overloaded_error"), FailureKind.SERVER_ERROR),
    (AnyLLMError(APIStatusError(200), error_type="rate_limit_error"), FailureKind.RATE_LIMITED),
    (AnyLLMError(APIStatusError(200), error_type="unheard_of"), FailureKind.OTHER),
    (InvalidRequestError(TypeError("got an unexpected keyword argument 'x'")), FailureKind.BAD_REQUEST),
    (UnsupportedRequestError("x is not carried"), FailureKind.BAD_REQUEST),
    (ValueError("a bug"), FailureKind.OTHER),
]


@pytest.mark.parametrize(("error", "kind"), CASES, ids=[f"{n}-{kind}" for n, (_, kind) in enumerate(CASES)])
def test_the_kind_of_a_failure(error: Exception, kind: FailureKind) -> None:
    """Our own refusal and the clock come first, then the status, then what the provider calls it."""
    assert kind is classify(error).kind


@pytest.mark.parametrize(
    "body",
    [{"error": {"message": "too long"}}, {"message": "too long"}, [{"error": {"message": "too long"}}]],
)
def test_a_bad_request_is_explained_by_the_providers_words(body: object) -> None:
    """In the shape of OpenAI, of its SDK, and of Gemini."""
    assert classify(AnyLLMError(APIStatusError(400, body))).text == "too long"


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_of_other_failures_no_upstream_text_is_passed_on(status: int) -> None:
    """OpenAI's 401 quotes half of the key."""
    failure = classify(AnyLLMError(APIStatusError(status, {"error": {"message": "key sk-ab***yz"}})))

    assert failure.text == ""
    assert "sk-ab" not in str(all_failed([(Route("openai", "m"), failure)]).body())


def test_what_looks_like_a_key_is_masked() -> None:
    """Also one that is not this run's."""
    body = {"error": {"message": "bad: sk-proj-abcdefgh, AIzaSyAbcdefgh and Bearer abc.def.ghi"}}

    text = classify(AnyLLMError(APIStatusError(400, body))).text

    assert text == "bad: ***, *** and ***"


def test_the_last_failure_is_the_answer_and_all_are_listed() -> None:
    """Status, code, retry-after and one reason for each."""
    error = all_failed(
        [
            (Route("openai", "a"), Failure(FailureKind.TIMEOUT)),
            (Route("gemini", "b"), Failure(FailureKind.RATE_LIMITED, 429, retry_after="7")),
        ]
    )

    assert (error.status, error.code, error.headers()) == (429, "rate_limited", {"retry-after": "7"})
    assert error.message == "gemini/b did not answer (openai/a: timeout; gemini/b: rate_limited (429))"


@pytest.mark.parametrize("value", ["7\r\nx: y", "é", None])
def test_a_retry_after_that_is_no_header_is_left_out(value: str | None) -> None:
    """It comes from outside."""
    failure = Failure(FailureKind.RATE_LIMITED, 429, retry_after=value)

    assert all_failed([(Route("openai", "a"), failure)]).headers() == {}
