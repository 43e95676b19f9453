/* SPDX-License-Identifier: GPL-2.0 */
/* What both directions of the wire format adapter share: formats, maps, counters, verdicts. */
#ifndef WIRE_H
#define WIRE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in6.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Next Header values: RFC 8200 section 4, RFC 4302, RFC 4303, RFC 2784, RFC 2473 section 3.3, RFC 4443, RFC 6275 */
enum {
	NEXT_HOP_BY_HOP = 0,
	NEXT_IPV6 = 41,
	NEXT_ROUTING = 43,
	NEXT_FRAGMENT = 44,
	NEXT_GRE = 47,
	NEXT_ESP = 50,
	NEXT_AUTHENTICATION = 51,
	NEXT_ICMPV6 = 58,
	NEXT_DESTINATION_OPTIONS = 60,
	NEXT_MOBILITY = 135,
};

/* Destination options: RFC 8200 section 4.2, RFC 2473 section 4.1.1, RFC 6275 section 6.3 */
enum {
	OPTION_PAD1 = 0,
	OPTION_PADN = 1,
	OPTION_TUNNEL_ENCAPSULATION_LIMIT = 4,
	OPTION_HOME_ADDRESS = 0xc9,
};
#define OPTION_ACTION 0xc0 /* these bits of a type say what becomes of an unknown option's packet; 0: skip the option */

#define GRE_KEY_PRESENT bpf_htons(0x2000) /* RFC 2890 section 2 */
/* The GRE key names the wire format. */
enum { KEY_TUNNEL = 0, KEY_ROUTE_OPTIMIZATION = 1 };
#define IPV6_HEADER ((__u32)sizeof(struct ipv6hdr))
#define FRAGMENT_HEADER 8u

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

/* Type 2 Routing Header, RFC 6275 section 6.4. */
struct routing_header {
	__u8 next;
	__u8 length; /* 2, in units of 8 bytes less 1 */
	__u8 type;
	__u8 segments_left;
	__be32 reserved;
	struct in6_addr home_address;
};
#define ROUTING_TYPE_2 2

/* Destination Options header with a Home Address option, which begins at 8n + 6: RFC 6275 section 6.3. */
struct home_address_header {
	__u8 next;
	__u8 length; /* 2, in units of 8 bytes less 1 */
	__u8 padding[4];
	__u8 option;
	__u8 option_length;
	struct in6_addr home_address;
};

/* Both are what route optimisation adds to a packet. */
#define HOME_ADDRESS_HEADER ((__u32)sizeof(struct home_address_header))
#define ROUTE_OVERHEAD ((__u32)sizeof(struct routing_header))
#define ROUTE_LENGTH (ROUTE_OVERHEAD / 8 - 1)

/* Longest Destination Options header that is taken off. */
#define MAX_OPTIONS_HEADER 72u

/* Longest hop-by-hop options that are moved out of the way of what comes and goes behind them. */
#define MAX_HOP_BY_HOP 64u

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

/* Addresses of tunnel ports served on this device, and which of them are home agents'. */
enum { END_POINT = 0, END_POINT_HOME_AGENT = 1 };
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct in6_addr);
	__type(value, __u8);
} end_points SEC(".maps");

/*
 * Whom the tunnel port's GRE comes from. OVS picks the outer source by its own routing (3.1 ignores local_ip): the tunnel
 * end point's address, another address of the bridge, or a link-local one when the next hop is link-local. The value is
 * the home agent's address that the wire must show in tunnel mode, unspecified for a bridge without home agent. The entry
 * with the unspecified address stands for every link-local source, so that it holds whatever interface identifier the
 * bridge has; every bridge has that entry.
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

/*
 * Whom the bridges answer for as correspondent nodes: the tunnel port, and the bridge that has it. The longest prefix
 * counts, so that a home agent's own address may be one thing and its link's prefix another.
 */
struct correspondent_prefix {
	__u32 length;
	struct in6_addr prefix;
};
struct correspondent {
	struct in6_addr end_point;
	__u8 bridge_mac[ETH_ALEN];
	__u8 esp_is_signalling; /* a home agent: ESP protects its mobile nodes' Binding Updates */
	__u8 zero;
};
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct correspondent_prefix);
	__type(value, struct correspondent);
} correspondents SEC(".maps");

static __always_inline struct correspondent *correspondent_of(const struct in6_addr *address)
{
	struct correspondent_prefix key = {.length = 128, .prefix = *address};

	return bpf_map_lookup_elem(&correspondents, &key);
}

/* Which object the attached programs came from: its SHA-256. For the loader only. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8[32]);
} build SEC(".maps");

/*
 * Names and order are userspace.COUNTERS, and are published: new ones go to the end. The map has room for more, so that
 * a later version keeps an old map's counts.
 */
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
	INGRESS_HOME_ADDRESS,
	INGRESS_SIGNALLING_PASSED,
	INGRESS_HOME_ADDRESS_PASSED,
	INGRESS_ICMP_ERROR,
	INGRESS_ICMP_ERROR_PASSED,
	EGRESS_ROUTE_OPTIMIZATION,
	EGRESS_PLAIN,
	EGRESS_CORRESPONDENT_DROPPED,
	INGRESS_SIGNALLING_DROPPED,
	INGRESS_NEWCOMER_DROPPED,
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

static __always_inline int is_vlan(__be16 protocol)
{
	return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD);
}

static __always_inline int is_unspecified(const struct in6_addr *address)
{
	return !(address->s6_addr32[0] | address->s6_addr32[1] | address->s6_addr32[2] | address->s6_addr32[3]);
}

static __always_inline int is_same_address(const struct in6_addr *one, const struct in6_addr *other)
{
	return one->s6_addr32[0] == other->s6_addr32[0] && one->s6_addr32[1] == other->s6_addr32[1] &&
	       one->s6_addr32[2] == other->s6_addr32[2] && one->s6_addr32[3] == other->s6_addr32[3];
}

static __always_inline int is_same_mac(const __u8 *one, const __u8 *other)
{
	__u8 different = 0;

#pragma unroll
	for (int i = 0; i < ETH_ALEN; i++)
		different |= one[i] ^ other[i];
	return !different;
}

#endif
