"""Numbers of the protocol, named as in the RFCs. Times are in seconds."""

from __future__ import annotations

from typing import Final

# RFC 6275 section 12, protocol constants
DHAAD_RETRIES: Final = 4  # retransmissions
INITIAL_BINDACK_TIMEOUT: Final = 1
INITIAL_DHAAD_TIMEOUT: Final = 3
INITIAL_SOLICIT_TIMER: Final = 3
MAX_BINDACK_TIMEOUT: Final = 32
MAX_DELETE_BCE_TIMEOUT: Final = 10
MAX_NONCE_LIFETIME: Final = 240
MAX_TOKEN_LIFETIME: Final = 210
MAX_RO_FAILURE: Final = 3  # retries
MAX_RR_BINDING_LIFETIME: Final = 420
MAX_UPDATE_RATE: Final = 3  # Binding Updates a second to one peer
PREFIX_ADV_RETRIES: Final = 3  # retransmissions
PREFIX_ADV_TIMEOUT: Final = 3

# RFC 6275 section 13, defaults of the configuration variables
MAX_MOB_PFX_ADV_INTERVAL: Final = 86_400  # MaxMobPfxAdvInterval
MIN_DELAY_BETWEEN_RAS: Final = 3  # MinDelayBetweenRAs; at least 0.03
MIN_MOB_PFX_ADV_INTERVAL: Final = 600  # MinMobPfxAdvInterval
INITIAL_BINDACK_TIMEOUT_FIRST_REG: Final = 1.5  # InitialBindackTimeoutFirstReg

LIFETIME_UNIT: Final = 4  # one unit of a Lifetime or Refresh Interval field, sections 6.1.7, 6.1.8 and 6.2.4

# RFC 6275 leaves these to the correspondent node
REFRESH_REQUEST_LEAD: Final = 30  # before the end of a binding in use, section 9.5.5
ACTIVE_USE: Final = 60  # a binding used no longer ago is in active use, section 9.5.5
UNREACHABLE_TIME: Final = 10  # for so long Destination Unreachable has to come to be persistent, section 9.3.4
UNREACHABLE_GAP: Final = 30  # without it between two for as long, they are not one row
UNREACHABLE_COUNT: Final = 3

# RFC 4861 section 10 and RFC 4862 section 5.1, as far as the home agent needs them
MAX_INITIAL_RTR_ADVERT_INTERVAL: Final = 16
MAX_INITIAL_RTR_ADVERTISEMENTS: Final = 3  # transmissions
MAX_RA_DELAY_TIME: Final = 0.5
MAX_ANYCAST_DELAY_TIME: Final = 1
MAX_NEIGHBOR_ADVERTISEMENT: Final = 3  # transmissions
RETRANS_TIMER: Final = 1
DUP_ADDR_DETECT_TRANSMITS: Final = 1
ND_HOP_LIMIT: Final = 255  # a smaller one shows that a router has forwarded the packet

MINIMUM_MTU: Final = 1280  # octets, RFC 8200 section 5

# Next Header values (RFC 8200 section 4; section 6.1.1 for the Mobility Header)
HOP_BY_HOP: Final = 0
IPV6: Final = 41
ROUTING: Final = 43
FRAGMENT: Final = 44
ESP: Final = 50
AH: Final = 51
ICMPV6: Final = 58
NO_NEXT_HEADER: Final = 59
DESTINATION_OPTIONS: Final = 60
MOBILITY_HEADER: Final = 135
