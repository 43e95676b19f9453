"""The templates against the messages that Ryu builds from the same flows, octet for octet."""

import ipaddress
import random
from dataclasses import replace

import pytest

from ryu_apps import correspondent_pipeline, encode, home_pipeline, templates
from ryu_apps.of_compat import ofproto

ADD, DELETE = ofproto.OFPFC_ADD, ofproto.OFPFC_DELETE_STRICT


def _random_address(rng: random.Random) -> ipaddress.IPv6Address:
    return ipaddress.IPv6Address(rng.getrandbits(128))


@pytest.mark.parametrize("seed", range(50))
def test_flows_of_a_binding(seed: int) -> None:
    rng = random.Random(seed)
    home, care_of = _random_address(rng), _random_address(rng)
    xid, cookie, hard = rng.getrandbits(32), rng.getrandbits(64), rng.getrandbits(16)
    head = (templates.word(xid), templates.long(cookie), templates.short(hard))
    both, one = (home.packed, care_of.packed), (home.packed,)
    tunnel = home_pipeline.tunnel_flow(str(home), str(care_of), cookie, hard)
    reverse = home_pipeline.reverse_tunnel_flow(str(home), str(care_of), cookie, hard)
    proxy = home_pipeline.proxy_flow(str(home), cookie, hard)
    link_local = home_pipeline.link_local_flow(str(home), cookie, hard)
    test = home_pipeline.home_test_flow(str(home), cookie, hard)
    test_init = home_pipeline.home_test_init_flow(str(home), cookie, hard)
    for template, addresses, flow, command in (
        (templates.ADD_TUNNEL, both, tunnel, ADD),
        (templates.ADD_TUNNEL_AFTER_MOVE, both, replace(tunnel, reset_counts=True), ADD),
        (templates.ADD_REVERSE_TUNNEL, both, reverse, ADD),
        (templates.ADD_PROXY, one, proxy, ADD),
        (templates.ADD_LINK_LOCAL, one, link_local, ADD),
        (templates.DELETE_LINK_LOCAL, one, link_local, DELETE),
        (templates.ADD_HOME_TEST, one, test, ADD),
        (templates.ADD_HOME_TEST_INIT, one, test_init, ADD),
        (templates.DELETE_HOME_TEST, one, test, DELETE),
        (templates.DELETE_HOME_TEST_INIT, one, test_init, DELETE),
        (templates.DELETE_TUNNEL, one, tunnel, DELETE),
        (templates.DELETE_REVERSE_TUNNEL, both, reverse, DELETE),
        (templates.DELETE_PROXY, one, proxy, DELETE),
    ):
        assert template % (*head, *addresses) == encode.wire(encode.flow_mod(flow, command), xid)


@pytest.mark.parametrize("seed", range(20))
def test_flows_of_a_route(seed: int) -> None:
    rng = random.Random(seed)
    correspondent, home, care_of = (_random_address(rng) for _ in range(3))
    xid, cookie, hard = rng.getrandbits(32), rng.getrandbits(64), rng.getrandbits(16)
    head = (templates.word(xid), templates.long(cookie), templates.short(hard))
    named = (str(correspondent), str(home), str(care_of), cookie, hard)
    out, way_in = correspondent_pipeline.route_out_flow(*named), correspondent_pipeline.route_in_flow(*named)
    cn, hoa, coa = correspondent.packed, home.packed, care_of.packed
    for template, addresses, flow, command in (
        (templates.ADD_ROUTE_OUT, (hoa, cn, coa), out, ADD),
        (templates.ADD_ROUTE_IN, (cn, hoa, coa), way_in, ADD),
        (templates.DELETE_ROUTE_OUT, (hoa, cn), out, DELETE),
        (templates.DELETE_ROUTE_IN, (cn, hoa, coa), way_in, DELETE),
    ):
        assert template % (*head, *addresses) == encode.wire(encode.flow_mod(flow, command), xid)


def test_packet_out_is_what_ryu_builds() -> None:
    from ryu_apps.flowspec import LOCAL, NORMAL, Output
    from ryu_apps.of_compat import offline_datapath, parser

    frame = bytes(range(90))
    message = parser.OFPPacketOut(
        offline_datapath(), ofproto.OFP_NO_BUFFER, LOCAL, [parser.OFPActionOutput(NORMAL, 0)], frame
    )
    assert templates.PacketOut(Output(NORMAL)).build(frame) == encode.wire(message)


def test_barrier_is_what_ryu_builds() -> None:
    from ryu_apps.of_compat import offline_datapath, parser

    assert templates.barrier_request(77) == encode.wire(parser.OFPBarrierRequest(offline_datapath()), 77)


def test_a_percent_sign_in_the_message_stays_one() -> None:
    assert templates.cut(b"50%\xaa\xbb25%", b"\xaa\xbb") % (b"%b",) == b"50%%b25%"


def test_a_sentinel_that_is_missing_is_an_error() -> None:
    with pytest.raises(ValueError, match="not in the message"):
        templates.cut(b"abc", b"x")
