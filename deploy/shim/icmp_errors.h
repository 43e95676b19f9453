/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ICMPv6 errors about packets that left with a Type 2 Routing Header. What they quote is not what the correspondent has
 * sent, so it would ignore them, and a path with a smaller MTU would swallow its packets for good. Here they are made to
 * quote what it did send:
 *
 *   IPv6 ?? -> CN | ICMPv6 error | IPv6 CN -> CoA | RH2 HoA | ...   =>   IPv6 ?? -> CN | ICMPv6 error | IPv6 CN -> HoA | ...
 */
#ifndef ICMP_ERRORS_H
#define ICMP_ERRORS_H

#include "extension_headers.h"
#include "wire.h"

/* RFC 4443 section 3 */
#define FIRST_ERROR 1
#define PACKET_TOO_BIG 2
#define PARAMETER_PROBLEM 4
#define LAST_ERROR PARAMETER_PROBLEM

/* An error up to the IPv6 header that it quotes. */
struct icmp_error {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be32 parameter; /* of Packet Too Big: the MTU; of Parameter Problem: an offset into the quoted packet */
	struct ipv6hdr quoted;
};
#define ICMP_ERROR ((__u32)sizeof(struct icmp_error))

static __always_inline int is_error(__u8 type)
{
	return type >= FIRST_ERROR && type <= LAST_ERROR;
}

/*
 * The MTU as the correspondent has to know it, whose packets grow by the Routing Header. An IPv6 host does not go below
 * 1280 (RFC 8200 section 5); smaller values in a message are for it to judge (RFC 8201 section 4).
 */
static __always_inline __u32 mtu_for_correspondent(__u32 mtu)
{
	if (mtu < IPV6_MIN_MTU)
		return mtu;
	return mtu < IPV6_MIN_MTU + ROUTE_OVERHEAD ? IPV6_MIN_MTU : mtu - ROUTE_OVERHEAD;
}

/*
 * The place in the packet without the Routing Header, which was at `routing`. Its own Next Header field is in the header
 * before it then; what else is in it, the correspondent did not send, and nothing can point there.
 */
#define NO_PLACE 0xffffffffu

static __always_inline __u32 place_for_correspondent(__u32 place, __u32 routing)
{
	if (place < routing)
		return place;
	if (place >= routing + ROUTE_OVERHEAD)
		return place - ROUTE_OVERHEAD;
	if (place > routing)
		return NO_PLACE;
	return routing > IPV6_HEADER ? IPV6_HEADER : __builtin_offsetof(struct ipv6hdr, nexthdr);
}

/* What the checksum covers and the translation changes, Routing Header aside. All of it is in whole words. */
struct checksummed {
	__be32 length; /* of the pseudo header: RFC 8200 section 8.1 */
	__be32 parameter;
	__be16 payload_length;
	__u8 next;
	__u8 hop_limit;
	struct in6_addr destination;
	__u8 hop_by_hop[4];
};

static __always_inline void fill_checksummed(struct checksummed *words, __u32 length, const struct icmp_error *error,
					     const __u8 *hop_by_hop)
{
	words->length = bpf_htonl(length);
	words->parameter = error->parameter;
	words->payload_length = error->quoted.payload_len;
	words->next = error->quoted.nexthdr;
	words->hop_limit = error->quoted.hop_limit;
	words->destination = error->quoted.daddr;
	__builtin_memcpy(words->hop_by_hop, hop_by_hop, sizeof(words->hop_by_hop));
}

/* RFC 1624: the checksum after `before` and the Routing Header have made place for `after`; right if it was right. */
static __always_inline __sum16 updated_checksum(__sum16 checksum, struct checksummed *before, struct checksummed *after,
						struct routing_header *routing)
{
	__u32 sum = (__u16)~checksum;

	sum = bpf_csum_diff((__be32 *)before, sizeof(*before), (__be32 *)after, sizeof(*after), sum);
	sum = bpf_csum_diff((__be32 *)routing, sizeof(*routing), 0, 0, sum);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/*
 * Translates the ICMPv6 error, if it is one about a correspondent's packet of ours; else leaves it as it is.
 * The error is the first header or, a mobile node's own, behind `front` bytes of an options header with a Home Address
 * option. Where the Routing Header has been used up, the destination is the home address already (RFC 6275 section 6.4.3).
 */
static __noinline int error_in(struct xdp_md *ctx, __u64 front)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct checksummed before, after;
	__u8 hop_by_hop[MAX_HOP_BY_HOP] = {};
	__u8 front_header[MAX_OPTIONS_HEADER];
	struct routing_header routing;
	struct icmp_error error;
	union headers outer;
	__u32 offset = HEADERS + front;
	__u32 payload, quoted, parameter;
	__u64 options = 0;
	__u8 next;

	if (front > MAX_OPTIONS_HEADER || data + HEADERS > end ||
	    bpf_xdp_load_bytes(ctx, offset, &error, sizeof(error)) || !is_error(error.type))
		return XDP_PASS;
	copy_headers(&outer, headers_at(data));
	next = error.quoted.nexthdr;
	if (!is_same_address(&error.quoted.saddr, &outer.ip.daddr) || error.quoted.version != 6)
		return XDP_PASS;
	if (next == NEXT_HOP_BY_HOP) {
		if (bpf_xdp_load_bytes(ctx, offset + ICMP_ERROR, hop_by_hop, 2))
			return XDP_PASS;
		next = hop_by_hop[0];
		options = header_length(hop_by_hop[1]);
	}
	if (next != NEXT_ROUTING || !correspondent_of(&outer.ip.daddr))
		return XDP_PASS;

	payload = bpf_ntohs(outer.ip.payload_len);
	quoted = bpf_ntohs(error.quoted.payload_len);
	if (options > MAX_HOP_BY_HOP || HEADERS + payload > bpf_xdp_get_buff_len(ctx) ||
	    HEADERS + payload < offset + ICMP_ERROR + options + ROUTE_OVERHEAD || quoted < options + ROUTE_OVERHEAD ||
	    (options && bpf_xdp_load_bytes(ctx, offset + ICMP_ERROR, hop_by_hop, bounded(options, MAX_HOP_BY_HOP))) ||
	    bpf_xdp_load_bytes(ctx, offset + ICMP_ERROR + options, &routing, sizeof(routing)))
		return count(INGRESS_ICMP_ERROR_PASSED, XDP_PASS);
	if (routing.type != ROUTING_TYPE_2 || routing.length != ROUTE_LENGTH || routing.segments_left > 1)
		return XDP_PASS;
	parameter = bpf_ntohl(error.parameter);
	if (error.type == PACKET_TOO_BIG)
		parameter = mtu_for_correspondent(parameter);
	if (error.type == PARAMETER_PROBLEM) {
		parameter = place_for_correspondent(parameter, IPV6_HEADER + options);
		if (parameter == NO_PLACE)
			return count(INGRESS_ICMP_ERROR_PASSED, XDP_PASS);
	}

	payload -= ROUTE_OVERHEAD;
	fill_checksummed(&before, HEADERS + payload + ROUTE_OVERHEAD - offset, &error, hop_by_hop);
	if (options)
		hop_by_hop[0] = routing.next;
	else
		error.quoted.nexthdr = routing.next;
	error.quoted.payload_len = bpf_htons(quoted - ROUTE_OVERHEAD);
	if (routing.segments_left)
		error.quoted.daddr = routing.home_address;
	error.parameter = bpf_htonl(parameter);
	fill_checksummed(&after, HEADERS + payload - offset, &error, hop_by_hop);
	error.checksum = updated_checksum(error.checksum, &before, &after, &routing);
	outer.ip.payload_len = bpf_htons(payload);

	/* What comes before the Routing Header moves up to what comes behind it. */
	if (front && bpf_xdp_load_bytes(ctx, HEADERS, front_header, bounded(front, MAX_OPTIONS_HEADER)))
		return count(INGRESS_ERROR_DROPPED, XDP_DROP);
	if (bpf_xdp_adjust_head(ctx, ROUTE_OVERHEAD))
		return count(INGRESS_ERROR_DROPPED, XDP_DROP);
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + HEADERS > end)
		return count(INGRESS_ERROR_DROPPED, XDP_DROP);
	copy_headers(headers_at(data), &outer);
	if ((front && bpf_xdp_store_bytes(ctx, HEADERS, front_header, bounded(front, MAX_OPTIONS_HEADER))) ||
	    bpf_xdp_store_bytes(ctx, offset, &error, sizeof(error)) ||
	    (options && bpf_xdp_store_bytes(ctx, offset + ICMP_ERROR, hop_by_hop, bounded(options, MAX_HOP_BY_HOP))))
		return count(INGRESS_ERROR_DROPPED, XDP_DROP);
	return count(INGRESS_ICMP_ERROR, XDP_PASS);
}

#endif
