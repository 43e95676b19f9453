// SPDX-License-Identifier: GPL-2.0
/*
 * Wire format adapter for Open vSwitch's userspace datapath: IPv6-in-IPv6 (RFC 2473) on the wire, GRE over IPv6 in OVS.
 *
 * OVS cannot put IPv6 into IPv6. It can put it into GRE with the tunnel's destination chosen by a flow, and it shows the
 * tunnel's source to flows. So the two programs here, on the device where tunnelled packets leave and arrive, do nothing
 * but change the header between the outer and the inner IPv6 header:
 *
 *   mip6_ingress (XDP)          IPv6 CoA -> HA | IPv6 ...          =>  IPv6 CoA -> HA | GRE key 0 | IPv6 ...
 *   mip6_egress  (tcx, clsact)  IPv6 ?? -> CoA | GRE | IPv6 ...    =>  IPv6 HA -> CoA | IPv6 ...
 *
 * They keep no state and know no binding. Upper-layer checksums cover the inner header only, so nothing is recomputed.
 * The GRE key names the wire format: no key and key 0 are the tunnel of this file, every other key is refused.
 *
 * OVS trusts what its tunnel port receives as far as flows check it against the tunnel's source. Two things keep that
 * check honest, and both fail closed: real GRE addressed to a home agent never reaches the port, and only GRE that the
 * port itself made is turned into a tunnel packet of the home agent.
 *
 * No CO-RE: nothing here depends on the running kernel's types. Needs Linux 5.18 (bpf_xdp_load_bytes, xdp.frags).
 */
#include "wire.h"

/* ---- ingress ---------------------------------------------------------------------------------------------------- */

/*
 * The first header behind those that OVS walks over in search of a GRE header (its parse_ipv6_ext_hdrs), or NEXT_FRAGMENT
 * for a real fragment, which OVS never takes for a tunnel packet. A fragment header that fragments nothing (RFC 6946) is
 * one more header to walk over. More headers than anybody sends are refused rather than believed.
 */
#define MAX_EXTENSION_HEADERS 8
enum { CHAIN_TRUNCATED = -1, CHAIN_TOO_LONG = -2 };

static __noinline int final_header(struct xdp_md *ctx, __u32 offset, __u32 next)
{
	for (int i = 0; i < MAX_EXTENSION_HEADERS; i++) {
		__u8 header[4];

		if (next != NEXT_HOP_BY_HOP && next != NEXT_ROUTING && next != NEXT_DESTINATION_OPTIONS &&
		    next != NEXT_AUTHENTICATION && next != NEXT_FRAGMENT)
			return next;
		if (bpf_xdp_load_bytes(ctx, offset, header, sizeof(header)))
			return CHAIN_TRUNCATED;
		if (next == NEXT_FRAGMENT) {
			if (header[2] || header[3])
				return NEXT_FRAGMENT;
			offset += 8;
		} else if (next == NEXT_AUTHENTICATION) {
			offset += (header[1] + 2) * 4; /* RFC 4302 section 2.2 */
		} else {
			offset += (header[1] + 1) * 8;
		}
		next = header[0];
	}
	return CHAIN_TOO_LONG;
}

/*
 * Whether the Destination Options header behind the outer IPv6 header holds nothing but a Tunnel Encapsulation Limit and
 * padding, and is followed by an IPv6 packet (RFC 2473 section 4.1.1: what Linux ip6tnl sends by default). Nobody has
 * reason to pad those three octets of option beyond the eight of the shortest header, so longer ones are not looked at.
 * The limit itself binds nodes that encapsulate the tunnel packet once more, not the one that unpacks it.
 */
#define LIMIT_HEADER 8u

static __noinline int is_limit_header(struct xdp_md *ctx)
{
	__u8 header[LIMIT_HEADER];
	__u32 skip = 0;

	if (bpf_xdp_load_bytes(ctx, HEADERS, header, sizeof(header)))
		return 0;
	if (header[0] != NEXT_IPV6 || header[1] != 0)
		return 0;
	/* Byte by byte with a constant index: the verifier cannot follow a variable one. */
#pragma unroll
	for (__u32 i = 2; i < LIMIT_HEADER; i++) {
		if (skip) {
			skip--;
			continue;
		}
		if (header[i] == OPTION_PAD1)
			continue;
		if (i + 1 == LIMIT_HEADER)
			return 0;
		if (header[i] != OPTION_PADN && !(header[i] == OPTION_TUNNEL_ENCAPSULATION_LIMIT && header[i + 1] == 1))
			return 0;
		skip = 1 + header[i + 1];
	}
	return skip == 0;
}

/*
 * RFC 2473 section 3.3 the other way round: the tunnel headers stay, and a GRE header goes where the inner packet begins,
 * in place of `extension` bytes of Destination Options. Whatever lies behind the IPv6 payload (Ethernet padding) moves along.
 */
static __always_inline int tunnel_in(struct xdp_md *ctx, __u32 extension)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	union headers outer;
	struct gre *gre;
	__u8 inner[6];
	__u32 payload, room;

	if (data + HEADERS > end)
		return count(INGRESS_ERROR_DROPPED, XDP_DROP);
	copy_headers(&outer, headers_at(data));
	payload = bpf_ntohs(outer.ip.payload_len);
	if (HEADERS + payload > bpf_xdp_get_buff_len(ctx))
		return count(INGRESS_LENGTH_DROPPED, XDP_DROP);
	if (payload < extension + IPV6_HEADER || bpf_xdp_load_bytes(ctx, HEADERS + extension, inner, sizeof(inner)))
		return count(INGRESS_TRUNCATED_DROPPED, XDP_DROP);
	if (inner[0] >> 4 != 6)
		return count(INGRESS_VERSION_DROPPED, XDP_DROP);
	room = payload - extension;
	if (IPV6_HEADER + (inner[4] << 8 | inner[5]) > room || room + GRE_WITH_KEY > 0xffff)
		return count(INGRESS_LENGTH_DROPPED, XDP_DROP);

	if (extension != GRE_WITH_KEY && bpf_xdp_adjust_head(ctx, (int)extension - (int)GRE_WITH_KEY))
		return count(INGRESS_ERROR_DROPPED, XDP_DROP);
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	gre = data + HEADERS;
	if ((void *)(gre + 1) > end)
		return count(INGRESS_ERROR_DROPPED, XDP_DROP);
	outer.ip.nexthdr = NEXT_GRE;
	outer.ip.payload_len = bpf_htons(room + GRE_WITH_KEY);
	copy_headers(headers_at(data), &outer);
	gre->flags = GRE_KEY_PRESENT;
	gre->protocol = bpf_htons(ETH_P_IPV6);
	gre->key = bpf_htonl(KEY_TUNNEL);
	return count(extension ? INGRESS_TUNNEL_LIMIT : INGRESS_TUNNEL, XDP_PASS);
}

/* A packet to a home agent whose outer header is followed by an extension header, or by GRE. */
static __always_inline int extended_in(struct xdp_md *ctx, __u32 next)
{
	switch (final_header(ctx, HEADERS, next)) {
	case NEXT_GRE:
		return count(INGRESS_GRE_DROPPED, XDP_DROP);
	case NEXT_FRAGMENT:
		/* The kernel puts it together again (RFC 2473 section 7); the fragments themselves are of no use to OVS. */
		return count(INGRESS_FRAGMENT_PASSED, XDP_PASS);
	case NEXT_IPV6:
		if (next == NEXT_DESTINATION_OPTIONS && is_limit_header(ctx))
			return tunnel_in(ctx, LIMIT_HEADER);
		return count(INGRESS_OPTIONS_PASSED, XDP_PASS);
	case CHAIN_TRUNCATED:
		return count(INGRESS_TRUNCATED_DROPPED, XDP_DROP);
	case CHAIN_TOO_LONG:
		return count(INGRESS_CHAIN_DROPPED, XDP_DROP);
	default:
		return XDP_PASS;
	}
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
	    !bpf_map_lookup_elem(&home_agents, &ip.daddr))
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

	if (data + HEADERS > end)
		return XDP_PASS;
	if (outer->ethernet.h_proto != bpf_htons(ETH_P_IPV6))
		return is_vlan(outer->ethernet.h_proto) ? tagged_in(ctx) : XDP_PASS;
	/* Most packets end here, before any map is looked into. */
	switch (outer->ip.nexthdr) {
	case NEXT_IPV6:
	case NEXT_GRE:
	case NEXT_HOP_BY_HOP:
	case NEXT_ROUTING:
	case NEXT_FRAGMENT:
	case NEXT_AUTHENTICATION:
	case NEXT_DESTINATION_OPTIONS:
		break;
	default:
		return XDP_PASS;
	}
	if (!bpf_map_lookup_elem(&home_agents, &outer->ip.daddr))
		return XDP_PASS;
	if (outer->ip.nexthdr == NEXT_IPV6)
		return tunnel_in(ctx, 0);
	return extended_in(ctx, outer->ip.nexthdr);
}

/* ---- egress ----------------------------------------------------------------------------------------------------- */

/*
 * TCX_NEXT and TC_ACT_UNSPEC are the same number and mean the same: other programs of the device get their turn, on the
 * packet as it is now.
 */
#define NEXT_PROGRAM TC_ACT_UNSPEC

/*
 * Drops a frame that a packet socket sends. TC_ACT_SHOT would make the sender see an error, and OVS then gives up the rest
 * of its batch: packets of others. Redirected to a device that cannot exist, the frame is freed and counts as sent.
 */
static __always_inline int drop_out(enum counter counter)
{
	return count(counter, (int)bpf_redirect(0, 0));
}

/* Bytes of a GRE header that the tunnel port makes for the tunnel, 0 for any other. */
static __always_inline __u32 tunnel_gre_length(const struct gre *gre)
{
	if (gre->protocol != bpf_htons(ETH_P_IPV6))
		return 0;
	if (gre->flags == 0)
		return GRE_WITHOUT_KEY;
	return gre->flags == GRE_KEY_PRESENT && gre->key == bpf_htonl(KEY_TUNNEL) ? GRE_WITH_KEY : 0;
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
	if (tunnel_gre_length(gre))
		return drop_out(EGRESS_SOURCE_DROPPED);
	return count(EGRESS_GRE_PASSED, NEXT_PROGRAM);
}

/* RFC 2473 section 3.1: the outer header's source is the tunnel entry-point's address; the rest of it is as OVS made it. */
static __always_inline int tunnel_out(struct __sk_buff *skb, struct ipv6hdr *ip, __u32 gre_length, struct in6_addr *home_agent)
{
	__u32 payload = bpf_ntohs(ip->payload_len);

	if (payload < gre_length + IPV6_HEADER || HEADERS + payload > skb->len)
		return drop_out(EGRESS_TRUNCATED_DROPPED);
	/* A packet still to be cut into segments has its lengths in more places than this header. */
	if (skb->gso_size)
		return drop_out(EGRESS_OFFLOAD_DROPPED);
	ip->nexthdr = NEXT_IPV6;
	ip->payload_len = bpf_htons(payload - gre_length);
	ip->saddr = *home_agent;
	/* Takes the bytes behind the outer IPv6 header away. On failure the frame is half done: it must not leave. */
	if (bpf_skb_adjust_room(skb, -(int)gre_length, BPF_ADJ_ROOM_NET, 0))
		return drop_out(EGRESS_ERROR_DROPPED);
	return count(EGRESS_TUNNEL, NEXT_PROGRAM);
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
	if (outer->ip.nexthdr != NEXT_GRE)
		return NEXT_PROGRAM;
	gre = data + HEADERS;
	source_key(&key, &outer->ethernet, &outer->ip.saddr);
	home_agent = bpf_map_lookup_elem(&tunnel_sources, &key);
	if (!home_agent)
		return foreign_gre(&key, gre);
	gre_length = tunnel_gre_length(gre);
	if (!gre_length)
		return drop_out(EGRESS_GRE_DROPPED);
	return tunnel_out(skb, &outer->ip, gre_length, home_agent);
}

char _license[] SEC("license") = "GPL";
