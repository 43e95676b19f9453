/* SPDX-License-Identifier: GPL-2.0 */
/* What both directions of the wire format adapter share: formats, maps, counters. */
#ifndef WIRE_H
#define WIRE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in6.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Next Header values: RFC 8200 section 4, RFC 4302, RFC 2784, RFC 2473 section 3.3 */
enum {
	NEXT_HOP_BY_HOP = 0,
	NEXT_IPV6 = 41,
	NEXT_ROUTING = 43,
	NEXT_FRAGMENT = 44,
	NEXT_GRE = 47,
	NEXT_AUTHENTICATION = 51,
	NEXT_DESTINATION_OPTIONS = 60,
};

/* Destination options: RFC 8200 section 4.2, RFC 2473 section 4.1.1 */
enum {
	OPTION_PAD1 = 0,
	OPTION_PADN = 1,
	OPTION_TUNNEL_ENCAPSULATION_LIMIT = 4,
};

#define GRE_KEY_PRESENT bpf_htons(0x2000) /* RFC 2890 section 2 */
#define KEY_TUNNEL 0
#define IPV6_HEADER ((__u32)sizeof(struct ipv6hdr))

struct gre {
	__be16 flags;
	__be16 protocol;
	__be32 key; /* only with GRE_KEY_PRESENT */
};

/*
 * What ingress inserts is what OVS itself sends with options:key=flow. The form without a key (4 bytes) would do as well,
 * but 8 bytes keep the inner packet's alignment, and take exactly the place of the header with an encapsulation limit.
 */
#define GRE_WITH_KEY ((__u32)sizeof(struct gre))
#define GRE_WITHOUT_KEY 4u

/*
 * The two headers that every packet here begins with. With the two bytes before them the IPv6 header is aligned, in a
 * packet as on the stack, so that they can be copied in words instead of byte by byte.
 */
union headers {
	struct {
		__u16 before;
		struct ethhdr ethernet;
		struct ipv6hdr ip;
	};
	struct {
		__u16 half[4];
		__u64 quad[6];
	} words;
};
#define HEADERS ((__u32)(ETH_HLEN + sizeof(struct ipv6hdr)))

/* Home agents' addresses served on this device. The value only says that the address is there. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct in6_addr);
	__type(value, __u8);
} home_agents SEC(".maps");

/*
 * Whom the tunnel port's GRE comes from. OVS picks the outer source by its own routing (3.1 ignores local_ip): the home
 * agent's address, another address of the bridge, or a link-local one when the next hop is link-local. The value is the
 * home agent's address that the wire must show. The entry with the unspecified address stands for every link-local
 * source, so that it holds whatever interface identifier the bridge has; every bridge has that entry.
 */
struct tunnel_source {
	__u8 bridge_mac[ETH_ALEN];
	__u16 zero;
	struct in6_addr address;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, struct tunnel_source);
	__type(value, struct in6_addr);
} tunnel_sources SEC(".maps");

/* Names and order are userspace.COUNTERS. The map has room for more, so that a later version keeps an old map's counts. */
enum counter {
	INGRESS_TUNNEL,
	INGRESS_TUNNEL_LIMIT,
	INGRESS_FRAGMENT_PASSED,
	INGRESS_OPTIONS_PASSED,
	INGRESS_GRE_DROPPED,
	INGRESS_TRUNCATED_DROPPED,
	INGRESS_LENGTH_DROPPED,
	INGRESS_VERSION_DROPPED,
	INGRESS_CHAIN_DROPPED,
	INGRESS_ERROR_DROPPED,
	EGRESS_TUNNEL,
	EGRESS_GRE_PASSED,
	EGRESS_GRE_DROPPED,
	EGRESS_SOURCE_DROPPED,
	EGRESS_TRUNCATED_DROPPED,
	EGRESS_OFFLOAD_DROPPED,
	EGRESS_ERROR_DROPPED,
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline int count(enum counter counter, int verdict)
{
	__u32 index = counter;
	__u64 *value = bpf_map_lookup_elem(&counters, &index);

	if (value)
		(*value)++;
	return verdict;
}

/* The headers of a packet that begins at `data`. */
static __always_inline union headers *headers_at(void *data)
{
	return data - sizeof(((union headers *)0)->before);
}

static __always_inline void copy_headers(union headers *to, const union headers *from)
{
	to->words.half[1] = from->words.half[1];
	to->words.half[2] = from->words.half[2];
	to->words.half[3] = from->words.half[3];
	to->words.quad[0] = from->words.quad[0];
	to->words.quad[1] = from->words.quad[1];
	to->words.quad[2] = from->words.quad[2];
	to->words.quad[3] = from->words.quad[3];
	to->words.quad[4] = from->words.quad[4];
	to->words.quad[5] = from->words.quad[5];
}

static __always_inline int is_vlan(__be16 protocol)
{
	return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD);
}

#endif
