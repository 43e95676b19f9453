/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who gets through to OVS when too many send: sources that are known, and a limited number of strangers.
 *
 * OVS has one queue for each device, and what is lost there is lost for everybody. Signalling beyond what its meters let
 * through fills it for nothing; and for each new source of a tunnel packet OVS decides anew, whatever its flows ask for, and
 * has no time for anything else when each packet has another one. So both are limited here, where a packet costs little.
 *
 * Known is whom the home agent has told that it is registered, and to whom OVS's flows send packets in the tunnel or with a
 * Type 2 Routing Header: what goes out says so, and nobody gets into these tables by what he sends. A network (/64) is known
 * with its sources, since a mobile node's next care-of address is often in a network where others are.
 *
 * Strangers of each kind share what is for them in two ways. Half is for packets of any source; half is for sources that
 * were turned away a moment ago and try again, as every mobile node does (RFC 6275 section 11.8) and as a flood with
 * invented sources does not. Of each half, one half is divided among groups of networks, so that one network cannot have
 * it all. Who is turned away is noted in a table that newer notes overwrite.
 */
#ifndef SOURCES_H
#define SOURCES_H

#include "wire.h"

/* What is limited, each kind by itself. The first three are punted through meters; the last makes OVS decide. */
enum kind { KIND_SIGNALLING, KIND_CORRESPONDENT_SIGNALLING, KIND_ESP, KIND_TUNNEL, KINDS };

/* Nanoseconds between two packets, and how much of that may be made up for. Zero: no limit. */
struct rate {
	__u64 interval;
	__u64 window;
};
struct limits {
	struct rate source; /* one that is known; of tunnel packets: one that is not, once it was let through */
	struct rate network; /* one that is known */
	struct rate networks; /* all that are known; of tunnel packets: all sources that are not, once they were let through */
	struct rate group; /* strangers of a group of networks */
	struct rate strangers; /* in common, when a group has used up its own */
	__u64 seed; /* of the hash below, so that nobody can choose whose note he overwrites */
	__u64 configured; /* packets a second that the rates are made of; for the loader only */
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KINDS);
	__type(key, __u32);
	__type(value, struct limits);
} limits SEC(".maps");

/* How many are known is configured. In the values: when the last packet would have come if they came evenly. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct in6_addr);
	__type(value, __u64);
} known_sources SEC(".maps");

struct network {
	__u64 last[KINDS];
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, __u64); /* the first half of the source */
	__type(value, struct network);
} known_networks SEC(".maps");

/* Strangers whose tunnel packets have been let through: OVS has decided about them. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, struct in6_addr);
	__type(value, __u64);
} admitted_sources SEC(".maps");

/* Buckets of each kind, as in the values above. */
#define NETWORK_GROUPS 64u
enum bucket {
	BUCKET_NETWORKS,
	BUCKET_FIRST, /* one for each group, and the common one */
	BUCKET_AGAIN = BUCKET_FIRST + NETWORK_GROUPS + 1,
	BUCKETS = BUCKET_AGAIN + NETWORK_GROUPS + 1,
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KINDS * BUCKETS);
	__type(key, __u32);
	__type(value, __u64);
} buckets SEC(".maps");

/* Who was turned away, in the upper half what tells sources apart, and when, in the lower, in units of 2^20 ns. */
#define NOTES (1u << 20)
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NOTES);
	__type(key, __u32);
	__type(value, __u64);
} turned_away SEC(".maps");

/* Retransmission is after 1 s or more, and then twice as late each time. */
#define AGAIN_AFTER (400000000ull >> 20)
#define AGAIN_BEFORE (10000000000ull >> 20)

/* Two processors may let one more through between them. */
static __always_inline int in_time(__u64 *last, __u64 now, const struct rate *rate)
{
	__u64 since = now - rate->window;

	if (*last > since)
		since = *last;
	if (since + rate->interval > now)
		return 0;
	*last = since + rate->interval;
	return 1;
}

static __always_inline int has_room(__u32 kind, __u32 bucket, __u64 now, const struct rate *rate)
{
	__u32 index = kind * BUCKETS + bucket;
	__u64 *last = bpf_map_lookup_elem(&buckets, &index);

	return last && in_time(last, now, rate);
}

/* The lowest bit of six hexadecimal digits: numbers of networks in a row differ in one. */
static __always_inline __u32 group_of(const struct in6_addr *address)
{
	const __u8 *octets = address->s6_addr;

	return (octets[5] >> 4 & 1) | (octets[5] & 1) << 1 | (octets[6] >> 4 & 1) << 2 | (octets[6] & 1) << 3 |
	       (octets[7] >> 4 & 1) << 4 | (octets[7] & 1) << 5;
}

static __always_inline __u64 hash_of(const struct in6_addr *address, __u32 kind, __u64 seed)
{
	__u64 hash = ((__u64)address->s6_addr32[0] << 32 | address->s6_addr32[1]) ^ seed;

	hash = (hash ^ hash >> 32) * 0x9e3779b97f4a7c15ull;
	hash ^= hash >> 29 ^ ((__u64)address->s6_addr32[2] << 32 | address->s6_addr32[3]) ^ kind;
	hash = (hash ^ hash >> 32) * 0xbf58476d1ce4e5b9ull;
	return hash ^ hash >> 31;
}

/* Whether the source was turned away long enough ago to be one that tries again. Else it is noted, unless it is already. */
static __always_inline int comes_again(const struct in6_addr *source, __u32 kind, __u64 now, __u64 seed)
{
	__u64 hash = hash_of(source, kind, seed), age;
	__u32 index = hash & (NOTES - 1), moment = now >> 20;
	__u64 *note = bpf_map_lookup_elem(&turned_away, &index);
	int again = 0;

	if (!note)
		return 0;
	if ((*note ^ hash) >> 32 == 0) {
		age = moment - (__u32)*note;
		if (age < AGAIN_AFTER)
			return 0;
		again = age <= AGAIN_BEFORE;
	}
	*note = (hash & ~0xffffffffull) | moment;
	return again;
}

static __noinline int may_come_in(const struct in6_addr *source, __u32 kind)
{
	struct limits *rates = bpf_map_lookup_elem(&limits, &kind);
	struct network *network;
	__u64 *last, now;
	__u64 index = kind, begin = 0;
	__u32 group;

	if (!rates)
		return 1;
	now = bpf_ktime_get_ns();
	last = bpf_map_lookup_elem(&known_sources, source);
	if (last && (kind == KIND_TUNNEL || in_time(last, now, &rates->source)))
		return 1;
	if (kind == KIND_TUNNEL) {
		last = bpf_map_lookup_elem(&admitted_sources, source);
		if (last)
			return in_time(last, now, &rates->source) &&
			       has_room(kind, BUCKET_NETWORKS, now, &rates->networks);
	} else {
		network = bpf_map_lookup_elem(&known_networks, source);
		asm volatile("" : "+r"(index)); /* so that the verifier sees what is compared being used */
		if (network && index < KINDS && in_time(&network->last[index], now, &rates->network) &&
		    has_room(kind, BUCKET_NETWORKS, now, &rates->networks))
			return 1;
	}
	group = group_of(source);
	if (!has_room(kind, BUCKET_FIRST + group, now, &rates->group) &&
	    !has_room(kind, BUCKET_FIRST + NETWORK_GROUPS, now, &rates->strangers)) {
		if (!comes_again(source, kind, now, rates->seed))
			return 0;
		if (!has_room(kind, BUCKET_AGAIN + group, now, &rates->group) &&
		    !has_room(kind, BUCKET_AGAIN + NETWORK_GROUPS, now, &rates->strangers))
			return 0;
	}
	if (kind == KIND_TUNNEL)
		bpf_map_update_elem(&admitted_sources, source, &begin, BPF_ANY);
	return 1;
}

/* To have looked makes an entry one that was used lately. */
static __always_inline void remember_network(const struct in6_addr *source)
{
	struct network network = {};

	if (!bpf_map_lookup_elem(&known_networks, source))
		bpf_map_update_elem(&known_networks, source, &network, BPF_NOEXIST);
}

/* For each packet to a mobile node: its network is only looked at when the source is new. */
static __noinline void remember(const struct in6_addr *source)
{
	__u64 last = 0;

	if (bpf_map_lookup_elem(&known_sources, source))
		return;
	bpf_map_update_elem(&known_sources, source, &last, BPF_NOEXIST);
	remember_network(source);
}

/*
 * A packet with a routing header that leaves. Who gets a Binding Acknowledgement of the home agent with a status of success
 * is known from now on, or who gets ESP behind a Type 2 Routing Header, which the home agent sends to those with keys only.
 */
#define BINDING_ACKNOWLEDGEMENT 6
#define FIRST_REFUSAL 128

static __noinline void routed_out(struct __sk_buff *skb)
{
	struct {
		struct ethhdr ethernet;
		struct ipv6hdr ip;
		struct routing_header routing;
		struct {
			__u8 next, length, type, reserved;
			__sum16 checksum;
			__u8 status, flags;
		} message;
	} __attribute__((packed)) headers;
	struct tunnel_source key;
	struct in6_addr *home_agent, address;

	if (bpf_skb_load_bytes(skb, 0, &headers, sizeof(headers)) || headers.routing.type != ROUTING_TYPE_2 ||
	    headers.routing.length != ROUTE_LENGTH)
		return;
	if (headers.routing.next != NEXT_ESP &&
	    (headers.routing.next != NEXT_MOBILITY || headers.message.type != BINDING_ACKNOWLEDGEMENT ||
	     headers.message.status >= FIRST_REFUSAL))
		return;
	__builtin_memset(&key, 0, sizeof(key));
	__builtin_memcpy(key.bridge_mac, headers.ethernet.h_source, ETH_ALEN);
	key.address = headers.ip.saddr;
	home_agent = bpf_map_lookup_elem(&tunnel_sources, &key);
	if (!home_agent || !is_same_address(home_agent, &key.address))
		return;
	address = headers.ip.daddr;
	remember(&address);
	remember_network(&address);
}

#endif
