"""Status values of Binding Acknowledgements and Binding Errors, with a text for people."""

from __future__ import annotations

from enum import IntEnum


class BindingAcknowledgementStatus(IntEnum):
    """RFC 6275 section 6.1.8 and RFC 4285; below 128 the Binding Update was accepted."""

    ACCEPTED = 0
    ACCEPTED_PREFIX_DISCOVERY_NECESSARY = 1
    REASON_UNSPECIFIED = 128
    ADMINISTRATIVELY_PROHIBITED = 129
    INSUFFICIENT_RESOURCES = 130
    HOME_REGISTRATION_NOT_SUPPORTED = 131
    NOT_HOME_SUBNET = 132
    NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE = 133
    DUPLICATE_ADDRESS_DETECTION_FAILED = 134
    SEQUENCE_NUMBER_OUT_OF_WINDOW = 135
    EXPIRED_HOME_NONCE_INDEX = 136
    EXPIRED_CARE_OF_NONCE_INDEX = 137
    EXPIRED_NONCES = 138
    REGISTRATION_TYPE_CHANGE_DISALLOWED = 139
    MIPV6_ID_MISMATCH = 144  # RFC 4285 section 6
    MIPV6_MESG_ID_REQD = 145
    MIPV6_AUTH_FAIL = 146
    INVALID_CARE_OF_ADDRESS = 174

    @property
    def text(self) -> str:
        """The RFC's words for this status."""
        return _ACKNOWLEDGEMENT_TEXT[self]


class BindingErrorStatus(IntEnum):
    """RFC 6275 section 6.1.9."""

    UNKNOWN_BINDING = 1
    UNRECOGNIZED_MH_TYPE = 2

    @property
    def text(self) -> str:
        """The RFC's words for this status."""
        return _ERROR_TEXT[self]


_ACKNOWLEDGEMENT_TEXT = {
    BindingAcknowledgementStatus.ACCEPTED: "Binding Update accepted",
    BindingAcknowledgementStatus.ACCEPTED_PREFIX_DISCOVERY_NECESSARY: ("Accepted but prefix discovery necessary"),
    BindingAcknowledgementStatus.REASON_UNSPECIFIED: "Reason unspecified",
    BindingAcknowledgementStatus.ADMINISTRATIVELY_PROHIBITED: "Administratively prohibited",
    BindingAcknowledgementStatus.INSUFFICIENT_RESOURCES: "Insufficient resources",
    BindingAcknowledgementStatus.HOME_REGISTRATION_NOT_SUPPORTED: "Home registration not supported",
    BindingAcknowledgementStatus.NOT_HOME_SUBNET: "Not home subnet",
    BindingAcknowledgementStatus.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE: "Not home agent for this mobile node",
    BindingAcknowledgementStatus.DUPLICATE_ADDRESS_DETECTION_FAILED: "Duplicate Address Detection failed",
    BindingAcknowledgementStatus.SEQUENCE_NUMBER_OUT_OF_WINDOW: "Sequence number out of window",
    BindingAcknowledgementStatus.EXPIRED_HOME_NONCE_INDEX: "Expired home nonce index",
    BindingAcknowledgementStatus.EXPIRED_CARE_OF_NONCE_INDEX: "Expired care-of nonce index",
    BindingAcknowledgementStatus.EXPIRED_NONCES: "Expired nonces",
    BindingAcknowledgementStatus.REGISTRATION_TYPE_CHANGE_DISALLOWED: "Registration type change disallowed",
    BindingAcknowledgementStatus.MIPV6_ID_MISMATCH: "Message identifier mismatch",
    BindingAcknowledgementStatus.MIPV6_MESG_ID_REQD: "Message identifier required",
    BindingAcknowledgementStatus.MIPV6_AUTH_FAIL: "Authentication failed",
    BindingAcknowledgementStatus.INVALID_CARE_OF_ADDRESS: "Invalid Care-of Address",
}

_ERROR_TEXT = {
    BindingErrorStatus.UNKNOWN_BINDING: "Unknown binding for Home Address destination option",
    BindingErrorStatus.UNRECOGNIZED_MH_TYPE: "Unrecognized MH Type value",
}
