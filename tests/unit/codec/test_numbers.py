"""Numbers of RFC 6275: status values (6.1.8, 6.1.9; RFC 4285 section 8), constants (12), defaults (13)."""

from __future__ import annotations

from mip6core import constants
from mip6core.errors import ConfigError, ParseError
from mip6core.status import BindingAcknowledgementStatus, BindingErrorStatus

ACKNOWLEDGEMENT = {
    0: "Binding Update accepted",
    1: "Accepted but prefix discovery necessary",
    128: "Reason unspecified",
    129: "Administratively prohibited",
    130: "Insufficient resources",
    131: "Home registration not supported",
    132: "Not home subnet",
    133: "Not home agent for this mobile node",
    134: "Duplicate Address Detection failed",
    135: "Sequence number out of window",
    136: "Expired home nonce index",
    137: "Expired care-of nonce index",
    138: "Expired nonces",
    139: "Registration type change disallowed",
    144: "Message identifier mismatch",
    145: "Message identifier required",
    146: "Authentication failed",
    174: "Invalid Care-of Address",
}
ERROR = {1: "Unknown binding for Home Address destination option", 2: "Unrecognized MH Type value"}

SECTION_12_AND_13 = {
    "DHAAD_RETRIES": 4,
    "INITIAL_BINDACK_TIMEOUT": 1,
    "INITIAL_DHAAD_TIMEOUT": 3,
    "INITIAL_SOLICIT_TIMER": 3,
    "MAX_BINDACK_TIMEOUT": 32,
    "MAX_DELETE_BCE_TIMEOUT": 10,
    "MAX_NONCE_LIFETIME": 240,
    "MAX_TOKEN_LIFETIME": 210,
    "MAX_RO_FAILURE": 3,
    "MAX_RR_BINDING_LIFETIME": 420,
    "MAX_UPDATE_RATE": 3,
    "PREFIX_ADV_RETRIES": 3,
    "PREFIX_ADV_TIMEOUT": 3,
    "MAX_MOB_PFX_ADV_INTERVAL": 86400,
    "MIN_DELAY_BETWEEN_RAS": 3,
    "MIN_MOB_PFX_ADV_INTERVAL": 600,
    "INITIAL_BINDACK_TIMEOUT_FIRST_REG": 1.5,
    "LIFETIME_UNIT": 4,
}


def test_status_values_and_texts() -> None:
    assert {int(status): status.text for status in BindingAcknowledgementStatus} == ACKNOWLEDGEMENT
    assert {int(status): status.text for status in BindingErrorStatus} == ERROR


def test_constants() -> None:
    assert {name: getattr(constants, name) for name in SECTION_12_AND_13} == SECTION_12_AND_13


def test_errors_say_where() -> None:
    error = ParseError("bad_payload_proto", 40)
    assert (str(error), error.reason, error.pointer, error.code) == (
        "bad_payload_proto at octet 40",
        "bad_payload_proto",
        40,
        0,
    )
    assert str(ParseError("truncated")) == "truncated"
    config = ConfigError("home_links[0].address", "an IPv6 address")
    assert str(config) == "home_links[0].address: expected an IPv6 address"
    assert (config.path, config.expected) == ("home_links[0].address", "an IPv6 address")
