/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Packets between a mobile node and a correspondent, past the home agent (RFC 6275 sections 9.3.1 and 9.3.2): GRE key 1 in
 * OVS, a Home Address option or a Type 2 Routing Header on the wire. The correspondent knows nothing of it.
 *
 * What cannot be converted coming in passes as it is: a host that knows no Home Address option says so to the sender.
 */
#ifndef ROUTE_OPTIMIZATION_H
#define ROUTE_OPTIMIZATION_H

#include "extension_headers.h"
#include "sources.h"
#include "wire.h"

/* ICMPv6 types of Neighbor Discovery (RFC 4861 section 4) and of Mobile IPv6 (RFC 6275 sections 6.5 to 6.8) */
#define ROUTER_SOLICITATION 133
#define REDIRECT 137
#define HOME_AGENT_DISCOVERY_REQUEST 144
#define MOBILE_PREFIX_ADVERTISEMENT 147

static __always_inline int is_signalling(__u8 icmp_type)
{
	return (icmp_type >= ROUTER_SOLICITATION && icmp_type <= REDIRECT) ||
	       (icmp_type >= HOME_AGENT_DISCOVERY_REQUEST && icmp_type <= MOBILE_PREFIX_ADVERTISEMENT);
}

/*
 * What becomes of a packet with a Home Address option, by what follows its header (`next`, at `offset`): the counter of the
 * verdict. Messages of Mobile IPv6 itself are the controller's or the host's business (9.3.1; a Mobile Prefix Solicitation
 * has the option, too), AH covers the option, and Neighbor Discovery is between neighbours. All fragments of a packet get
 * the same verdict, from the one header that every fragment header names.
 */
static __noinline int verdict_behind_option(struct xdp_md *ctx, __u32 offset, __u32 next, int esp_is_signalling)
{
	int fragment = 0;

	for (int i = 0; i < MAX_EXTENSION_HEADERS; i++) {
		__u8 header[4];

		if (next == NEXT_MOBILITY || next == NEXT_AUTHENTICATION || (next == NEXT_ESP && esp_is_signalling))
			return INGRESS_SIGNALLING_PASSED;
		/* The option's place is behind both (section 6.3). */
		if (next == NEXT_HOP_BY_HOP || next == NEXT_ROUTING)
			return INGRESS_HOME_ADDRESS_PASSED;
		if (fragment || (next != NEXT_DESTINATION_OPTIONS && next != NEXT_FRAGMENT && next != NEXT_ICMPV6))
			return INGRESS_HOME_ADDRESS;
		if (bpf_xdp_load_bytes(ctx, offset, header, sizeof(header)))
			return INGRESS_HOME_ADDRESS_PASSED;
		if (next == NEXT_ICMPV6)
			return is_signalling(header[0]) ? INGRESS_SIGNALLING_PASSED : INGRESS_HOME_ADDRESS;
		if (next == NEXT_FRAGMENT) {
			fragment = header[2] || header[3];
			offset += FRAGMENT_HEADER;
		} else {
			if (has_home_address(ctx, offset))
				return INGRESS_HOME_ADDRESS_PASSED; /* one is allowed */
			offset += header_length(header[1]);
		}
		next = header[0];
	}
	return INGRESS_HOME_ADDRESS_PASSED;
}

/*
 * Section 9.3.1: the home address in the option is the source of the packet for everybody above, if the flows find a
 * binding to the source on the wire. The option's header is taken off with all that is in it. In the one that mobile nodes
 * send, of 24 octets, that is padding. In any other one up to MAX_OPTIONS_HEADER it may also be options which say that a
 * node that does not know them skips them: the correspondent, which would have skipped them, does not see them. One that
 * asks for anything else is the host's business, and the packet with it. Whatever lies behind the IPv6 payload (Ethernet padding) moves along.
 * A verdict, or NO_CORRESPONDENT if this is none of ours: no Home Address option, or not to a correspondent.
 */
#define NO_CORRESPONDENT (-1)

static __noinline int route_in(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u8 hop_by_hop[MAX_HOP_BY_HOP] = {};
	struct home_address_header option;
	struct correspondent *correspondent;
	union headers outer;
	struct ipv6hdr inner;
	struct gre *gre;
	__u64 options = 0, length;
	__u32 payload;
	int is_usual, place, verdict;

	if (data + HEADERS > end)
		return NO_CORRESPONDENT;
	copy_headers(&outer, headers_at(data));
	if (outer.ip.nexthdr == NEXT_HOP_BY_HOP) {
		if (bpf_xdp_load_bytes(ctx, HEADERS, hop_by_hop, 2) || hop_by_hop[0] != NEXT_DESTINATION_OPTIONS)
			return NO_CORRESPONDENT;
		options = header_length(hop_by_hop[1]);
	}
	if (bpf_xdp_load_bytes(ctx, HEADERS + options, &option, sizeof(option)))
		return NO_CORRESPONDENT;
	is_usual = option.option == OPTION_HOME_ADDRESS && option.length == ROUTE_LENGTH &&
		   option.option_length == sizeof(option.home_address) &&
		   only_padding(option.padding, sizeof(option.padding), 0);
	if (!is_usual && !has_home_address(ctx, HEADERS + options))
		return NO_CORRESPONDENT;
	correspondent = correspondent_of(&outer.ip.daddr);
	if (!correspondent)
		return NO_CORRESPONDENT;

	length = header_length(option.length);
	if (!is_usual) {
		place = home_address_place(ctx, HEADERS + options, length);
		if (place <= 0 || bpf_xdp_load_bytes(ctx, HEADERS + options + place + 2, &option.home_address,
						     sizeof(option.home_address)))
			return count(INGRESS_HOME_ADDRESS_PASSED, XDP_PASS);
	}
	payload = bpf_ntohs(outer.ip.payload_len);
	if (options > MAX_HOP_BY_HOP || HEADERS + payload > bpf_xdp_get_buff_len(ctx) ||
	    payload < options + length || payload + ROUTE_OVERHEAD > 0xffff ||
	    (options && (bpf_xdp_load_bytes(ctx, HEADERS, hop_by_hop, bounded(options, MAX_HOP_BY_HOP)) ||
			 has_home_address(ctx, HEADERS))))
		return count(INGRESS_HOME_ADDRESS_PASSED, XDP_PASS);
	verdict = verdict_behind_option(ctx, HEADERS + options + length, option.next,
					correspondent->esp_is_signalling);
	/* A home agent's have been looked at (extended_in). */
	if (verdict == INGRESS_SIGNALLING_PASSED && !correspondent->esp_is_signalling &&
	    !may_come_in(&outer.ip.saddr, KIND_CORRESPONDENT_SIGNALLING))
		return count(INGRESS_SIGNALLING_DROPPED, XDP_DROP);
	if (verdict != INGRESS_HOME_ADDRESS)
		return count(verdict, XDP_PASS);
	if (!may_come_in(&outer.ip.saddr, KIND_TUNNEL))
		return count(INGRESS_NEWCOMER_DROPPED, XDP_DROP);

	inner = outer.ip;
	inner.saddr = option.home_address;
	inner.nexthdr = options ? NEXT_HOP_BY_HOP : option.next;
	inner.payload_len = bpf_htons(payload - length);
	/* OVS takes tunnel packets only out of frames to the end point's own MAC. */
	__builtin_memcpy(outer.ethernet.h_dest, correspondent->bridge_mac, ETH_ALEN);
	outer.ip.daddr = correspondent->end_point;
	outer.ip.nexthdr = NEXT_GRE;
	outer.ip.payload_len = bpf_htons(payload + GRE_WITH_KEY + IPV6_HEADER - length);

	if (bpf_xdp_adjust_head(ctx, (int)length - (int)(GRE_WITH_KEY + IPV6_HEADER)))
		return count(INGRESS_ERROR_DROPPED, XDP_DROP);
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	gre = data + HEADERS;
	if ((void *)(gre + 1) + IPV6_HEADER > end)
		return count(INGRESS_ERROR_DROPPED, XDP_DROP);
	copy_headers(headers_at(data), &outer);
	gre->flags = GRE_KEY_PRESENT;
	gre->protocol = bpf_htons(ETH_P_IPV6);
	gre->key = bpf_htonl(KEY_ROUTE_OPTIMIZATION);
	*(struct ipv6hdr *)(gre + 1) = inner;
	if (options) {
		hop_by_hop[0] = option.next;
		if (bpf_xdp_store_bytes(ctx, HEADERS + GRE_WITH_KEY + IPV6_HEADER, hop_by_hop,
					bounded(options, MAX_HOP_BY_HOP)))
			return count(INGRESS_ERROR_DROPPED, XDP_DROP);
	}
	return count(INGRESS_HOME_ADDRESS, XDP_PASS);
}

/*
 * Whether the correspondent's packet has a Routing header already, or AH, which would have to cover the one that it does
 * not know of (section 9.3.2). All fragments of a packet get the same answer.
 */
static __noinline int is_unfit_for_route(struct __sk_buff *skb, __u32 offset, __u32 next)
{
	int fragment = 0;

	for (int i = 0; i < MAX_EXTENSION_HEADERS; i++) {
		__u8 header[4];

		if (next == NEXT_ROUTING || next == NEXT_AUTHENTICATION)
			return 1;
		if (fragment || (next != NEXT_DESTINATION_OPTIONS && next != NEXT_FRAGMENT))
			return 0;
		if (bpf_skb_load_bytes(skb, offset, header, sizeof(header)))
			return 1;
		if (next == NEXT_FRAGMENT)
			fragment = header[2] || header[3];
		offset += next == NEXT_FRAGMENT ? FRAGMENT_HEADER : header_length(header[1]);
		next = header[0];
	}
	return 1;
}

/* What lies between Ethernet header and inner IPv6 header, on the way out. */
#define ROUTE_ENVELOPE (IPV6_HEADER + GRE_WITH_KEY)

/* The packet as the correspondent sent it, to where the optimised one would have gone: to the home link, in the end. */
static __always_inline int plain_out(struct __sk_buff *skb, const struct ipv6hdr *inner)
{
	if (bpf_skb_adjust_room(skb, -(int)ROUTE_ENVELOPE, BPF_ADJ_ROOM_NET, 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN, inner, sizeof(*inner), 0))
		return drop_out(EGRESS_ERROR_DROPPED);
	return count(EGRESS_PLAIN, NEXT_PROGRAM);
}

/*
 * Section 9.3.2. A hop-by-hop header stays the first one, as it must; the Routing Header comes before a Fragment header
 * (RFC 8200 section 4.1). Source on the wire is the correspondent, so it has to be one of the bridge that sends: nothing
 * else may leave in its name.
 */
static __noinline int route_out(struct __sk_buff *skb)
{
	const __u32 needed = HEADERS + GRE_WITH_KEY + IPV6_HEADER;
	struct routing_header routing = {.length = ROUTE_LENGTH, .type = ROUTING_TYPE_2, .segments_left = 1};
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u8 hop_by_hop[MAX_HOP_BY_HOP] = {};
	struct correspondent *correspondent;
	struct in6_addr care_of_address;
	struct ipv6hdr ip;
	__u32 payload, inner;
	__u64 options = 0;

	if (data + needed > end) {
		if (skb->len < needed)
			return drop_out(EGRESS_TRUNCATED_DROPPED);
		if (bpf_skb_pull_data(skb, needed))
			return drop_out(EGRESS_ERROR_DROPPED);
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
		if (data + needed > end)
			return drop_out(EGRESS_ERROR_DROPPED);
	}
	payload = bpf_ntohs(headers_at(data)->ip.payload_len);
	care_of_address = headers_at(data)->ip.daddr;
	ip = *(struct ipv6hdr *)(data + HEADERS + GRE_WITH_KEY);
	inner = bpf_ntohs(ip.payload_len);
	if (HEADERS + payload > skb->len || payload < GRE_WITH_KEY + IPV6_HEADER + inner || ip.version != 6 ||
	    inner + ROUTE_OVERHEAD > 0xffff)
		return drop_out(EGRESS_TRUNCATED_DROPPED);
	/* A packet still to be cut into segments has its lengths in more places than this header. */
	if (skb->gso_size)
		return drop_out(EGRESS_OFFLOAD_DROPPED);
	correspondent = correspondent_of(&ip.saddr);
	if (!correspondent || !is_same_mac(correspondent->bridge_mac, headers_at(data)->ethernet.h_source))
		return drop_out(EGRESS_CORRESPONDENT_DROPPED);

	routing.next = ip.nexthdr;
	if (ip.nexthdr == NEXT_HOP_BY_HOP) {
		if (bpf_skb_load_bytes(skb, needed, hop_by_hop, 2))
			return drop_out(EGRESS_TRUNCATED_DROPPED);
		options = header_length(hop_by_hop[1]);
		if (options > inner)
			return drop_out(EGRESS_TRUNCATED_DROPPED);
		if (options > MAX_HOP_BY_HOP)
			return plain_out(skb, &ip);
		if (bpf_skb_load_bytes(skb, needed, hop_by_hop, bounded(options, MAX_HOP_BY_HOP)))
			return drop_out(EGRESS_TRUNCATED_DROPPED);
		routing.next = hop_by_hop[0];
		hop_by_hop[0] = NEXT_ROUTING;
	}
	if (is_unfit_for_route(skb, needed + options, routing.next))
		return plain_out(skb, &ip);

	routing.home_address = ip.daddr;
	ip.daddr = care_of_address;
	ip.payload_len = bpf_htons(inner + ROUTE_OVERHEAD);
	if (!options)
		ip.nexthdr = NEXT_ROUTING;
	/* On failure the frame is half done: it must not leave. */
	if (bpf_skb_adjust_room(skb, (int)ROUTE_OVERHEAD - (int)ROUTE_ENVELOPE, BPF_ADJ_ROOM_NET, 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0) ||
	    (options && bpf_skb_store_bytes(skb, HEADERS, hop_by_hop, bounded(options, MAX_HOP_BY_HOP), 0)) ||
	    bpf_skb_store_bytes(skb, HEADERS + options, &routing, sizeof(routing), 0))
		return drop_out(EGRESS_ERROR_DROPPED);
	remember(&care_of_address);
	return count(EGRESS_ROUTE_OPTIMIZATION, NEXT_PROGRAM);
}

#endif
