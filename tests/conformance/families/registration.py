"""Mobility Header validation, registration, Duplicate Address Detection and sequence numbers."""

from __future__ import annotations

from collections.abc import Callable

from tests.conformance import wire
from tests.conformance.campaign import family
from tests.conformance.links import advertisement, solicitation
from tests.conformance.tester import Tester
from tests.conformance.wire import Seen


@family("init")
def init(tester: Tester) -> None:
    for care_of_address in tester.care_of:
        echo, since = tester.echo(), tester.mark()
        upper = echo.request(care_of_address, tester.site.home_agent)
        tester.send_far(wire.packet(care_of_address, tester.site.home_agent, wire.ICMPV6, upper))
        reply = tester.expect(echo.is_reply, "Echo Reply", since)
        tester.check(reply.routing is None and reply.home_address is None, "the Echo Reply is not a plain one")
        right = (reply.source, reply.destination) == (tester.site.home_agent, care_of_address)
        tester.check(right, f"Echo Reply from {reply.source} to {reply.destination}")


@family("mh-checksum")
def checksum(tester: Tester) -> None:
    since = tester.mark()
    tester.send_far(tester.binding_update(tester.care_of[0], 15, change=lambda upper: upper[:4] + bytes(2) + upper[6:]))
    tester.quiet(to(tester.care_of[0]), "for a wrong checksum", since)
    tester.unbound(tester.care_of[0])


@family("mh-unknown-type")
def unknown_type(tester: Tester) -> None:
    tester.arrive_home()
    since = tester.mark()
    home = tester.home_address
    tester.send_home(tester.binding_update(home, 15, lifetime=0, home_address_option=None, mh_type=0xFF))
    seen = tester.opened(tester.expect(to(home), "answer to an unknown Mobility Header type", since))
    tester.check(seen.is_mobility(wire.BE), f"{seen} instead of a Binding Error")
    tester.check(seen.source == tester.site.home_agent, f"Binding Error from {seen.source}")
    tester.check(seen.mac_destination == tester.mac, "the Binding Error is not sent to the mobile node at home")
    if seen.is_mobility(wire.BE):
        tester.binding_error(seen, 2, wire.UNSPECIFIED)


@family("reg-basic", "reg-a0")
def registration(tester: Tester) -> None:
    tester.reg(tester.care_of[0], 15, acknowledge=tester.case.family != "reg-a0")
    tester.bound(tester.care_of[0])


@family("life-decrease")
def shorter_lifetime(tester: Tester) -> None:
    granted = tester.reg(tester.care_of[0], 15).lifetime
    tester.bound(tester.care_of[0])
    tester.reg(tester.care_of[0], 16, lifetime=granted // 2)
    tester.bound(tester.care_of[0])


@family("bu-hoa-multicast")
def multicast_home_address(tester: Tester) -> None:
    first, second = tester.care_of
    tester.reg(first, 15)
    tester.bound(first)
    since = tester.mark()
    group = wire.solicited_node(tester.home_address)
    tester.send_far(tester.binding_update(second, 16, home_address_option=group))
    tester.quiet(to(second, group), "for a multicast home address", since)
    tester.bound(first)


@family("dad-ok")
def duplicate_address_detection(tester: Tester) -> None:
    link_local = tester.case.parameters["link_local"]
    since = tester.mark()
    flags = "AHL" if link_local else "AH"
    tester.send_far(tester.binding_update(tester.care_of[0], 15, flags=flags))
    targets = [tester.home_address, tester.link_local] if link_local else [tester.home_address]
    probes = [tester.expect(probe_for(target), f"DAD probe for {target}", since) for target in targets]
    for probe, target in zip(probes, targets, strict=True):
        tester.check(probe.destination == wire.solicited_node(target), f"DAD probe to {probe.destination}")
        tester.check(probe.hop_limit == 255, "the DAD probe's hop limit is not 255")
        tester.check(not probe.nd_options, "options in a DAD probe")  # RFC 4862 section 5.4.2
    tester.registered(tester.care_of[0], 15, since)
    answer = tester.expect(to(tester.care_of[0]), "Binding Acknowledgement", since)
    # RFC 4862 section 5.1: RetransTimer, a second
    tester.check(answer.at - max(probe.at for probe in probes) > 0.9, "the acknowledgement does not wait for DAD")
    if not link_local:
        packets = tester.inbox.since(since)
        tester.check(not any(map(probe_for(tester.link_local), packets)), "DAD for the link-local address without L")
    tester.bound(tester.care_of[0])


@family("dad-fail")
def duplicate_address(tester: Tester) -> None:
    parameters = tester.case.parameters
    flags = "H" + "A" * parameters["acknowledge"] + "L" * parameters["link_local"]
    since = tester.mark()
    tester.send_far(tester.binding_update(tester.care_of[0], 15, flags=flags))
    target = tester.link_local if parameters.get("target") == "link-local" else tester.home_address
    tester.expect(probe_for(target), "DAD probe", since)
    mac, owner = tester.neighbour_mac, tester.neighbour_link_local
    if parameters.get("by") == "probe":  # another node tests the address at the same time
        group = wire.solicited_node(target)
        tester.send_home(solicitation(target, wire.UNSPECIFIED, None), mac, wire.multicast_mac(group))
    else:  # another node has it already
        defence = advertisement(target, owner, wire.ALL_NODES, mac, solicited=False, override=True)
        tester.send_home(defence, mac, wire.multicast_mac(wire.ALL_NODES))
    tester.refused(tester.acknowledged_away(tester.care_of[0], since), 134, 15)
    tester.unbound(tester.care_of[0])


@family("seq-valid")
def newer_sequence(tester: Tester) -> None:
    first, second = tester.care_of
    tester.reg(first, tester.case.parameters["first"])
    tester.bound(first)
    tester.reg(second, tester.case.parameters["second"])
    tester.bound(second)


@family("seq-invalid")
def older_sequence(tester: Tester) -> None:
    parameters = tester.case.parameters
    first, second = tester.care_of
    tester.reg(first, parameters["first"])
    tester.bound(first)
    since = tester.mark()
    flags = "AH" if parameters["acknowledge"] else "H"
    tester.send_far(tester.binding_update(second, parameters["second"], flags=flags))
    tester.refused(tester.acknowledged_away(second, since), 135, parameters["first"])
    tester.unbound(second)
    tester.bound(first)


def to(*destinations: str) -> Callable[[Seen], bool]:
    """Packets to one of these addresses."""

    def wanted(seen: Seen) -> bool:
        return seen.destination in destinations

    return wanted


def probe_for(target: str) -> Callable[[Seen], bool]:
    """Duplicate Address Detection for an address (RFC 4862 section 5.4.2)."""

    def wanted(seen: Seen) -> bool:
        probe = seen.is_icmpv6(wire.NEIGHBOR_SOLICITATION) and seen.source == wire.UNSPECIFIED
        return probe and seen.target == target

    return wanted
