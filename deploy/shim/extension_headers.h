/* SPDX-License-Identifier: GPL-2.0 */
/* Walking over extension headers and options of a packet that comes in: RFC 8200 section 4. */
#ifndef EXTENSION_HEADERS_H
#define EXTENSION_HEADERS_H

#include "wire.h"

/* More headers, or options in a header, than anybody sends are refused rather than believed. */
#define MAX_EXTENSION_HEADERS 8
#define MAX_OPTIONS 16

/*
 * Bytes of a header that tells its length in units of 8, less 1. What is compared with a limit later is to be this value
 * and not, as compilers like, `units` or a narrower copy: the verifier would not see that the length is limited.
 */
static __always_inline __u64 header_length(__u8 units)
{
	__u64 length = (units + 1) * 8;

	asm volatile("" : "+r"(length));
	return length;
}

/*
 * A header_length() that is no more than `most`, as it has been checked to be: for use in the call that copies so many
 * bytes. Verifiers before Linux 6.8 forget what the check said when the length has been on the stack in between, and learn
 * nothing from a comparison with zero.
 */
static __always_inline __u64 bounded(__u64 length, const __u64 most)
{
	asm volatile("" : "+r"(length));
	if (length < 8)
		length = 8;
	asm volatile("" : "+r"(length));
	if (length > most)
		length = most;
	return length;
}

/*
 * The first header behind those that OVS walks over in search of a GRE header (its parse_ipv6_ext_hdrs), or NEXT_FRAGMENT
 * for a real fragment, which OVS never takes for a tunnel packet. A fragment header that fragments nothing (RFC 6946) is
 * one more header to walk over.
 */
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
			offset += FRAGMENT_HEADER;
		} else if (next == NEXT_AUTHENTICATION) {
			offset += (header[1] + 2) * 4; /* RFC 4302 section 2.2 */
		} else {
			offset += header_length(header[1]);
		}
		next = header[0];
	}
	return CHAIN_TOO_LONG;
}

/*
 * Whether options are nothing but padding or, if `limits`, a Tunnel Encapsulation Limit. Byte by byte with a constant
 * index: the verifier cannot follow a variable one.
 */
static __always_inline int only_padding(const __u8 *options, const __u32 length, const int limits)
{
	__u32 skip = 0;

#pragma unroll
	for (__u32 i = 0; i < length; i++) {
		if (skip) {
			skip--;
			continue;
		}
		if (options[i] == OPTION_PAD1)
			continue;
		if (i + 1 == length)
			return 0;
		if (options[i] != OPTION_PADN &&
		    !(limits && options[i] == OPTION_TUNNEL_ENCAPSULATION_LIMIT && options[i + 1] == 1))
			return 0;
		skip = 1 + options[i + 1];
	}
	return skip == 0;
}

/*
 * Where in the options header at `offset`, of header_length() `length`, the Home Address option is: 0 if it has none. Else
 * there is nothing in it but options that a node skips if it does not know them (RFC 8200 section 4.2), padding of any
 * length among them: the header can be taken off. UNFIT_OPTIONS if it cannot: an option that asks for something else, a
 * Home Address option twice or not at 8n + 6, an option that is cut off, more than MAX_OPTIONS_HEADER bytes.
 *
 * Not static, like has_home_address: such a function the verifier looks at once, and not once more for every call.
 */
#define UNFIT_OPTIONS (-1)

__noinline int home_address_place(struct xdp_md *ctx, __u32 offset, __u64 length)
{
	__u8 header[MAX_OPTIONS_HEADER + 8] = {}; /* whatever is behind the header is as good as Pad1 */
	__u32 next = 2;
	int place = 0;

	if (length > MAX_OPTIONS_HEADER ||
	    bpf_xdp_load_bytes(ctx, offset, header, bounded(length, MAX_OPTIONS_HEADER)))
		return UNFIT_OPTIONS;
#pragma nounroll
	for (__u32 i = 2; i < MAX_OPTIONS_HEADER; i++) {
		if (i < next || header[i] == OPTION_PAD1)
			continue;
		next = i + 2 + header[i + 1];
		if (next > length)
			return UNFIT_OPTIONS;
		if (header[i] == OPTION_HOME_ADDRESS) {
			if (place || i % 8 != 6 || header[i + 1] != sizeof(struct in6_addr))
				return UNFIT_OPTIONS;
			place = i;
		} else if (header[i] & OPTION_ACTION) {
			return UNFIT_OPTIONS;
		}
	}
	return place;
}

/* Whether an options header, whatever else it holds, has a Home Address option; or more options than can be looked at. */
__noinline int has_home_address(struct xdp_md *ctx, __u32 offset)
{
	__u8 option[2];
	__u32 end;

	if (bpf_xdp_load_bytes(ctx, offset, option, sizeof(option)))
		return 0;
	end = offset + header_length(option[1]);
	offset += sizeof(option);
	for (int i = 0; i < MAX_OPTIONS; i++) {
		if (offset + sizeof(option) > end || bpf_xdp_load_bytes(ctx, offset, option, sizeof(option)))
			return 0;
		if (option[0] == OPTION_HOME_ADDRESS)
			return 1;
		offset += option[0] == OPTION_PAD1 ? 1 : sizeof(option) + option[1];
	}
	return 1;
}

#endif
