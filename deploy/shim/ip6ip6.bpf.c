// SPDX-License-Identifier: GPL-2.0
/*
 * Wire format adapter for Open vSwitch's userspace datapath: IPv6-in-IPv6 (RFC 2473) and route optimisation (RFC 6275) on
 * the wire, GRE over IPv6 in OVS.
 *
 * OVS cannot put IPv6 into IPv6, nor add or take off a Home Address option or a Type 2 Routing Header. It can put IPv6 into
 * GRE with the tunnel's destination chosen by a flow, and it shows the tunnel's source to flows. So the two programs here,
 * on the device where mobile nodes' packets leave and arrive, do nothing but change headers (TEP: the tunnel port's address,
 * on a home link the home agent's; CN: a correspondent):
 *
 *   mip6_ingress (XDP)          IPv6 CoA -> HA | IPv6 ...               =>  IPv6 CoA -> HA | GRE key 0 | IPv6 ...
 *                               IPv6 CoA -> CN | option HoA | ...       =>  IPv6 CoA -> TEP | GRE key 1 | IPv6 HoA -> CN | ...
 *   mip6_egress  (tcx, clsact)  IPv6 ?? -> CoA | GRE | IPv6 ...         =>  IPv6 HA -> CoA | IPv6 ...
 *                               IPv6 ?? -> CoA | GRE key 1 |
 *                                            IPv6 CN -> HoA | ...       =>  IPv6 CN -> CoA | routing header HoA | ...
 *
 * They know no binding, and keep no state but what limits floods (sources.h). Upper-layer checksums cover the inner header
 * only, home addresses and not care-of addresses, so nothing is recomputed; ICMPv6 errors, which quote what was on the wire,
 * are the exception. The GRE key names the wire format: no key and key 0 are the tunnel, key 1 is route optimisation, every
 * other key is refused.
 *
 * OVS trusts what its tunnel port receives as far as flows check it against the tunnel's source. Two things keep that
 * check honest, and both fail closed: real GRE addressed to a tunnel port never reaches it, and only GRE that the port
 * itself made is turned into a packet of the home agent, or of a correspondent on that bridge.
 *
 * No CO-RE: nothing here depends on the running kernel's types. Needs Linux 5.18 (bpf_xdp_load_bytes, xdp.frags).
 */
#include "extension_headers.h"
#include "icmp_errors.h"
#include "route_optimization.h"
#include "sources.h"
#include "tunnel.h"
#include "wire.h"

/* ---- ingress ---------------------------------------------------------------------------------------------------- */

/* A packet that may be for a correspondent: `next` is Destination Options or Hop-by-Hop Options. */
static __always_inline int correspondent_in(struct xdp_md *ctx, __u32 next)
{
	__u8 header[2];

	if (next == NEXT_DESTINATION_OPTIONS && !bpf_xdp_load_bytes(ctx, HEADERS, header, sizeof(header)) &&
	    header[0] == NEXT_ICMPV6 && error_in(ctx, header_length(header[1])) != XDP_PASS)
		return XDP_DROP;
	return route_in(ctx);
}

/* A packet to a tunnel port's address whose outer header is followed by anything but an IPv6 header. */
static __always_inline int extended_in(struct xdp_md *ctx, const struct in6_addr *source, __u32 next, int is_home_agent)
{
	int final = final_header(ctx, HEADERS, next);
	__u32 length;
	int verdict;

	switch (final) {
	case NEXT_GRE:
		return count(INGRESS_GRE_DROPPED, XDP_DROP);
	case CHAIN_TRUNCATED:
		return count(INGRESS_TRUNCATED_DROPPED, XDP_DROP);
	case CHAIN_TOO_LONG:
		return count(INGRESS_CHAIN_DROPPED, XDP_DROP);
	}
	if (is_home_agent && (final == NEXT_MOBILITY || final == NEXT_ESP) &&
	    !may_come_in(source, final == NEXT_ESP ? KIND_ESP : KIND_SIGNALLING))
		return count(INGRESS_SIGNALLING_DROPPED, XDP_DROP);
	if (is_home_agent && final == NEXT_IPV6 && next == NEXT_DESTINATION_OPTIONS) {
		length = limit_header_length(ctx);
		if (length)
			return tunnel_in(ctx, length);
	}
	if (next == NEXT_DESTINATION_OPTIONS || next == NEXT_HOP_BY_HOP) {
		verdict = correspondent_in(ctx, next);
		if (verdict != NO_CORRESPONDENT)
			return verdict;
	}
	/* The kernel puts fragments together (RFC 2473 section 7); by themselves they are of no use to OVS. */
	if (is_home_agent && final == NEXT_FRAGMENT)
		return count(INGRESS_FRAGMENT_PASSED, XDP_PASS);
	if (is_home_agent && final == NEXT_IPV6)
		return count(INGRESS_OPTIONS_PASSED, XDP_PASS);
	return XDP_PASS;
}

/*
 * Tagged frames are not converted. But OVS looks for its tunnels behind tags too, so GRE must not hide there; two tags is
 * as deep as OVS looks.
 */
static __noinline int tagged_in(struct xdp_md *ctx)
{
	__u32 offset = ETH_HLEN;
	struct ipv6hdr ip;
	__be16 type;

	for (int i = 0; i < 2; i++) {
		if (bpf_xdp_load_bytes(ctx, offset + 2, &type, sizeof(type)))
			return XDP_PASS;
		offset += 4;
		if (!is_vlan(type))
			break;
	}
	if (type != bpf_htons(ETH_P_IPV6) || bpf_xdp_load_bytes(ctx, offset, &ip, sizeof(ip)) ||
	    !bpf_map_lookup_elem(&end_points, &ip.daddr))
		return XDP_PASS;
	switch (final_header(ctx, offset + IPV6_HEADER, ip.nexthdr)) {
	case NEXT_GRE:
		return count(INGRESS_GRE_DROPPED, XDP_DROP);
	case CHAIN_TOO_LONG:
		return count(INGRESS_CHAIN_DROPPED, XDP_DROP);
	default:
		return XDP_PASS;
	}
}

SEC("xdp.frags")
int mip6_ingress(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	union headers *outer = headers_at(data);
	struct in6_addr source;
	__u8 *end_point;
	__u32 next;
	int verdict;

	if (data + HEADERS > end)
		return XDP_PASS;
	if (outer->ethernet.h_proto != bpf_htons(ETH_P_IPV6))
		return is_vlan(outer->ethernet.h_proto) ? tagged_in(ctx) : XDP_PASS;
	next = outer->ip.nexthdr;
	/* Most packets end here, before any map is looked into. */
	switch (next) {
	case NEXT_IPV6:
	case NEXT_GRE:
	case NEXT_HOP_BY_HOP:
	case NEXT_ROUTING:
	case NEXT_FRAGMENT:
	case NEXT_AUTHENTICATION:
	case NEXT_DESTINATION_OPTIONS:
	case NEXT_MOBILITY:
	case NEXT_ESP:
		break;
	case NEXT_ICMPV6:
		if (data + HEADERS + 1 > end || !is_error(*(__u8 *)(data + HEADERS)))
			return XDP_PASS;
		return error_in(ctx, 0);
	default:
		return XDP_PASS;
	}
	source = outer->ip.saddr;
	end_point = bpf_map_lookup_elem(&end_points, &outer->ip.daddr);
	if (end_point) {
		if (next == NEXT_IPV6)
			return *end_point == END_POINT_HOME_AGENT ? tunnel_in(ctx, 0) : XDP_PASS;
		return extended_in(ctx, &source, next, *end_point == END_POINT_HOME_AGENT);
	}
	if (next == NEXT_MOBILITY && correspondent_of(&outer->ip.daddr) &&
	    !may_come_in(&source, KIND_CORRESPONDENT_SIGNALLING))
		return count(INGRESS_SIGNALLING_DROPPED, XDP_DROP);
	if (next != NEXT_DESTINATION_OPTIONS && next != NEXT_HOP_BY_HOP)
		return XDP_PASS;
	verdict = correspondent_in(ctx, next);
	return verdict == NO_CORRESPONDENT ? XDP_PASS : verdict;
}

/* ---- egress ----------------------------------------------------------------------------------------------------- */

/* Bytes of a GRE header that the tunnel port makes for one of the wire formats, 0 for any other. */
static __always_inline __u32 port_gre_length(const struct gre *gre)
{
	if (gre->protocol != bpf_htons(ETH_P_IPV6))
		return 0;
	if (gre->flags == 0)
		return GRE_WITHOUT_KEY;
	if (gre->flags != GRE_KEY_PRESENT)
		return 0;
	return gre->key == bpf_htonl(KEY_TUNNEL) || gre->key == bpf_htonl(KEY_ROUTE_OPTIMIZATION) ? GRE_WITH_KEY : 0;
}

static __always_inline void source_key(struct tunnel_source *key, const struct ethhdr *ethernet, const struct in6_addr *from)
{
	int link_local = from->s6_addr[0] == 0xfe && (from->s6_addr[1] & 0xc0) == 0x80;

	__builtin_memset(key, 0, sizeof(*key));
	__builtin_memcpy(key->bridge_mac, ethernet->h_source, ETH_ALEN);
	if (!link_local)
		key->address = *from;
}

/*
 * GRE with the bridge's MAC but from an address that the tunnel port is not known to use. A packet of a mobile node that
 * is forwarded here may carry GRE of its own: were it converted, any mobile node could send tunnel packets in the home
 * agent's name. So it is left alone, unless it looks like the port's own: then nobody can tell, and raw GRE must not leave.
 */
static __always_inline int foreign_gre(struct tunnel_source *key, const struct gre *gre)
{
	__builtin_memset(&key->address, 0, sizeof(key->address));
	if (!bpf_map_lookup_elem(&tunnel_sources, key))
		return NEXT_PROGRAM;
	if (port_gre_length(gre))
		return drop_out(EGRESS_SOURCE_DROPPED);
	return count(EGRESS_GRE_PASSED, NEXT_PROGRAM);
}

/* The tunnel port's GRE behind a VLAN tag: nothing here converts it, so it must not leave. */
static __noinline int tagged_out(struct __sk_buff *skb)
{
	struct tunnel_source key;
	struct ethhdr ethernet;
	struct ipv6hdr ip;
	__be16 type;
	__u32 offset = ETH_HLEN;

	for (int i = 0; i < 2; i++) {
		if (bpf_skb_load_bytes(skb, offset + 2, &type, sizeof(type)))
			return NEXT_PROGRAM;
		offset += 4;
		if (!is_vlan(type))
			break;
	}
	if (type != bpf_htons(ETH_P_IPV6) || bpf_skb_load_bytes(skb, 0, &ethernet, sizeof(ethernet)) ||
	    bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)) || ip.nexthdr != NEXT_GRE)
		return NEXT_PROGRAM;
	source_key(&key, &ethernet, &ip.saddr);
	return bpf_map_lookup_elem(&tunnel_sources, &key) ? drop_out(EGRESS_GRE_DROPPED) : NEXT_PROGRAM;
}

SEC("tc")
int mip6_egress(struct __sk_buff *skb)
{
	const __u32 needed = HEADERS + sizeof(struct gre);
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct tunnel_source key;
	struct in6_addr *home_agent;
	union headers *outer;
	struct gre *gre;
	__u32 gre_length;

	/* GRE with an IPv6 packet in it is longer than this, so what is shorter is none of the tunnel port's. */
	if (skb->len < needed)
		return NEXT_PROGRAM;
	if (data + needed > end) {
		/* Large frames of a packet socket have nothing but the Ethernet header in the linear part. */
		if (bpf_skb_pull_data(skb, needed))
			return drop_out(EGRESS_ERROR_DROPPED);
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
		if (data + needed > end)
			return drop_out(EGRESS_ERROR_DROPPED);
	}
	outer = headers_at(data);
	if (outer->ethernet.h_proto != bpf_htons(ETH_P_IPV6))
		return is_vlan(outer->ethernet.h_proto) ? tagged_out(skb) : NEXT_PROGRAM;
	if (outer->ip.nexthdr == NEXT_ROUTING)
		routed_out(skb);
	if (outer->ip.nexthdr != NEXT_GRE)
		return NEXT_PROGRAM;
	gre = data + HEADERS;
	source_key(&key, &outer->ethernet, &outer->ip.saddr);
	home_agent = bpf_map_lookup_elem(&tunnel_sources, &key);
	if (!home_agent)
		return foreign_gre(&key, gre);
	gre_length = port_gre_length(gre);
	if (!gre_length)
		return drop_out(EGRESS_GRE_DROPPED);
	if (gre_length == GRE_WITH_KEY && gre->key == bpf_htonl(KEY_ROUTE_OPTIMIZATION))
		return route_out(skb);
	return tunnel_out(skb, &outer->ip, gre_length, home_agent);
}

char _license[] SEC("license") = "GPL";
