/* SPDX-License-Identifier: GPL-2.0 */
/* The tunnel between home agent and mobile node: GRE key 0 in OVS, RFC 2473 on the wire. */
#ifndef TUNNEL_H
#define TUNNEL_H

#include "extension_headers.h"
#include "sources.h"
#include "wire.h"

/*
 * Bytes of the Destination Options header behind the outer IPv6 header if an IPv6 packet follows it and it can be taken
 * off, else 0. Eight octets of a Tunnel Encapsulation Limit and padding are what Linux ip6tnl sends by default (RFC 2473
 * section 4.1.1). Longer padding, and options that say that a node which does not know them skips them, go as well. The
 * limit itself binds nodes that encapsulate the tunnel packet once more, not the one that unpacks it.
 */
#define LIMIT_HEADER 8u

static __noinline __u32 limit_header_length(struct xdp_md *ctx)
{
	__u8 header[LIMIT_HEADER];
	__u64 length;

	if (bpf_xdp_load_bytes(ctx, HEADERS, header, sizeof(header)) || header[0] != NEXT_IPV6)
		return 0;
	length = header_length(header[1]);
	if (length == LIMIT_HEADER && only_padding(header + 2, LIMIT_HEADER - 2, 1))
		return LIMIT_HEADER;
	return home_address_place(ctx, HEADERS, length) ? 0 : length;
}

/*
 * RFC 2473 section 3.3 the other way round: the tunnel headers stay, and a GRE header goes where the inner packet begins,
 * in place of `extension` bytes of Destination Options. Whatever lies behind the IPv6 payload (Ethernet padding) moves along.
 *
 * Not inline, for the sake of the stack: there are 512 bytes for all functions that call each other.
 */
static __noinline int tunnel_in(struct xdp_md *ctx, __u32 extension)
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
	if (!may_come_in(&outer.ip.saddr, KIND_TUNNEL))
		return count(INGRESS_NEWCOMER_DROPPED, XDP_DROP);

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

/* RFC 2473 section 3.1: the outer header's source is the tunnel entry-point's address; the rest of it is as OVS made it. */
static __always_inline int tunnel_out(struct __sk_buff *skb, struct ipv6hdr *ip, __u32 gre_length, struct in6_addr *home_agent)
{
	struct in6_addr care_of_address = ip->daddr;
	__u32 payload = bpf_ntohs(ip->payload_len);

	if (is_unspecified(home_agent))
		return drop_out(EGRESS_GRE_DROPPED);
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
	remember(&care_of_address);
	return count(EGRESS_TUNNEL, NEXT_PROGRAM);
}

#endif
