// SPDX-License-Identifier: GPL-2.0
/*
 * Takes a benchmark's packets off a device before the host's stack sees them, and counts them by IPv6 next header.
 * Only UDP, IPv6-in-IPv6, and UDP behind a routing header: Neighbor Discovery, signalling and all else pass.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define NEXT_UDP 17
#define NEXT_IPV6 41
#define NEXT_ROUTING 43

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

SEC("xdp")
int packet_sink(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = data;
	struct ipv6hdr *ip = (void *)(ethernet + 1);
	__u32 next;
	__u64 *count;

	if ((void *)(ip + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IPV6))
		return XDP_PASS;
	next = ip->nexthdr;
	if (next == NEXT_ROUTING) {
		__u8 *routing = (void *)(ip + 1);

		/* A Binding Acknowledgement has a routing header, too. */
		if (routing + 1 > (__u8 *)end || *routing != NEXT_UDP)
			return XDP_PASS;
	} else if (next != NEXT_UDP && next != NEXT_IPV6) {
		return XDP_PASS;
	}
	count = bpf_map_lookup_elem(&packets, &next);
	if (count)
		(*count)++;
	return XDP_DROP;
}

char _license[] SEC("license") = "GPL";
