/*
 * Sends Ethernet frames, in turn and over and over again, as fast as a device takes them or at most at a rate.
 *
 *   packet_generator DEVICE SECONDS [FRAMES_PER_SECOND [FROM]] <FRAMES
 *
 * FRAMES: each frame behind its length, two octets in network order. Prints how many frames were sent in how many seconds.
 * FROM: the IPv6 source differs from octet FROM on (even, at most 12) each time that a frame is sent. What is added to one
 * word is taken from the next, so that checksums stay right.
 */
#define _GNU_SOURCE /* sendmmsg, usleep */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, MAX_FRAME = 9018, SOURCE_AT = ETH_HLEN + 8 };

struct frame {
	size_t length;
	unsigned char *octets;
};

static struct frame *frames;
static size_t frame_count;

static void read_frames(void)
{
	uint16_t length;

	while (fread(&length, sizeof(length), 1, stdin) == 1) {
		struct frame frame = { .length = ntohs(length) };

		if (frame.length < ETH_HLEN || frame.length > MAX_FRAME)
			errx(1, "frame %zu: %zu octets", frame_count, frame.length);
		frame.octets = malloc(frame.length);
		frames = realloc(frames, (frame_count + 1) * sizeof(*frames));
		if (!frame.octets || !frames)
			err(1, "frame %zu", frame_count);
		if (fread(frame.octets, frame.length, 1, stdin) != 1)
			errx(1, "frame %zu is cut short", frame_count);
		frames[frame_count++] = frame;
	}
	if (!frame_count)
		errx(1, "no frames on standard input");
}

/* Another source address; the checksums that cover it stay as they are. */
static void vary(unsigned char *frame, int from)
{
	static uint32_t state = 6275;

	for (int i = SOURCE_AT + from; i + 4 <= SOURCE_AT + 16; i += 4) {
		uint32_t up, down;

		state ^= state << 13;
		state ^= state >> 17;
		state ^= state << 5;
		up = (frame[i] << 8 | frame[i + 1]) + (state & 0xffff);
		down = (frame[i + 2] << 8 | frame[i + 3]) + (~state & 0xffff);
		up = (up & 0xffff) + (up >> 16);
		down = (down & 0xffff) + (down >> 16);
		frame[i] = up >> 8;
		frame[i + 1] = up;
		frame[i + 2] = down >> 8;
		frame[i + 3] = down;
	}
}

static int open_device(const char *name)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(name) };
	int on = 1;
	int fd;

	if (!address.sll_ifindex)
		err(1, "%s", name);
	/* Protocol 0: this socket receives nothing. */
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		err(1, "%s: packet socket", name);
	if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)))
		err(1, "%s: PACKET_QDISC_BYPASS", name);
	return fd;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
	struct iovec parts[BATCH] = { 0 };
	struct mmsghdr messages[BATCH] = { 0 };
	unsigned long sent = 0;
	double seconds, start, end, rate;
	size_t next = 0;
	int fd, from;

	if (argc < 3 || argc > 5)
		errx(2, "usage: packet_generator DEVICE SECONDS [FRAMES_PER_SECOND [FROM]] <FRAMES");
	seconds = atof(argv[2]);
	rate = argc > 3 ? atof(argv[3]) : 0;
	from = argc > 4 ? atoi(argv[4]) : 16;
	read_frames();
	for (size_t i = 0; i < frame_count; i++)
		if (from < 16 && frames[i].length < SOURCE_AT + 16)
			errx(1, "frame %zu has no IPv6 source", i);
	fd = open_device(argv[1]);
	for (int i = 0; i < BATCH; i++) {
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	start = now();
	do {
		int count;

		for (int i = 0; i < BATCH; i++) {
			vary(frames[next].octets, from);
			parts[i].iov_base = frames[next].octets;
			parts[i].iov_len = frames[next].length;
			next = next + 1 < frame_count ? next + 1 : 0;
		}
		count = sendmmsg(fd, messages, BATCH, 0);
		/* A device that is full just now is what "as fast as it takes them" means. */
		if (count < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
			err(1, "%s", argv[1]);
		if (count > 0)
			sent += count;
		end = now();
		if (rate > 0 && start + sent / rate > end) {
			usleep((start + sent / rate - end) * 1e6);
			end = now();
		}
	} while (end - start < seconds);
	printf("%lu %.6f\n", sent, end - start);
	return 0;
}
