/*
 * Sends Ethernet frames, in turn and over and over again, as fast as a device takes them or at most at a rate.
 *
 *   packet_generator DEVICE SECONDS [FRAMES_PER_SECOND] <FRAMES
 *
 * FRAMES: each frame behind its length, two octets in network order. Prints how many frames were sent in how many seconds.
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

enum { BATCH = 64, MAX_FRAME = 9018 };

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
	int fd;

	if (argc != 3 && argc != 4)
		errx(2, "usage: packet_generator DEVICE SECONDS [FRAMES_PER_SECOND] <FRAMES");
	seconds = atof(argv[2]);
	rate = argc == 4 ? atof(argv[3]) : 0;
	read_frames();
	fd = open_device(argv[1]);
	for (int i = 0; i < BATCH; i++) {
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	start = now();
	do {
		int count;

		for (int i = 0; i < BATCH; i++) {
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
