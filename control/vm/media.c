/* Media, and the sums by which they are told apart: see media.h. Reads files, and writes none. */
#include "control/vm/media.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "control/vm/json_text.h"
#include "control/vm/secret_file.h"
#include "tunnel/tls_digest.h"

/* A piece takes a millisecond or less: others share the loop. */
enum { PIECE = 256 << 10, SECTOR = 512 };
#define END_BYTES ((uint64_t)4 << 20)

/* ---- which ---- */

/* As its bytes stand in the file: what else there is (a format of its own, a key, an image below)
 * is not in a copy of what the guest sees. */
static bool is_plain(const json_t *disk)
{
	const char *format = json_text(disk, "format");

	return json_is_true(json_object_get(disk, "read_only")) &&
	       !json_is_true(json_object_get(disk, "empty")) && *json_text(disk, "file") &&
	       !json_object_get(disk, "backing") && !json_object_get(disk, "encryption") &&
	       (strcmp(format, "raw") == 0 || strcmp(format, "file") == 0 ||
		strcmp(format, "host_device") == 0 || strcmp(format, "host_cdrom") == 0);
}

void media_select(json_t *disks, enum media_copy how)
{
	json_t *disk, *other;
	size_t i, k;

	json_array_foreach(disks, i, disk)
	{
		const uint64_t size = json_number(disk, "size");
		bool copy = how != MEDIA_COPY_OFF && is_plain(disk) && size &&
			    (how == MEDIA_COPY_ON || size <= MEDIA_SMALL) &&
			    !*json_text(disk, "shared_with");

		json_array_foreach(disks, k, other)
		{
			if (k >= i)
				break;
			copy = copy && strcmp(json_text(other, "file"), json_text(disk, "file"));
		}
		if (copy)
			json_object_set_new(disk, "copy", json_true());
	}
}

/* ---- sums ---- */

struct sum {
	char *path;
	char text[TLS_DIGEST_TEXT];
};

struct media_sums {
	media_sums_on_end *on_end;
	void *ctx;
	pid_t pid; /* whose names of files they are */
	struct event *turn;
	struct sum *at;
	size_t count, next;
	int fd; /* of the one that is read */
	struct tls_digest *digest;
	uint64_t size, offset;
	unsigned char piece[PIECE];
};

static void on_turn(evutil_socket_t fd, short what, void *ctx);

struct media_sums *media_sums_new(struct event_base *base, pid_t pid, media_sums_on_end *on_end,
				  void *ctx)
{
	struct media_sums *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct media_sums){.on_end = on_end, .ctx = ctx, .pid = pid, .fd = -1};
	s->turn = event_new(base, -1, 0, on_turn, s);
	if (s->turn)
		return s;
	free(s);
	return NULL;
}

void media_sums_free(struct media_sums *s)
{
	if (!s)
		return;
	event_free(s->turn);
	fd_close(&s->fd);
	tls_digest_free(s->digest);
	for (size_t i = 0; i < s->count; i++)
		free(s->at[i].path);
	free(s->at);
	free(s);
}

static struct sum *find(const struct media_sums *s, const char *path)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->at[i].path, path) == 0)
			return &s->at[i];
	return NULL;
}

void media_sums_add(struct media_sums *s, const char *path)
{
	struct sum *more = find(s, path) ? NULL : realloc(s->at, (s->count + 1) * sizeof(*more));

	if (!more)
		return;
	s->at = more;
	s->at[s->count] = (struct sum){.path = strdup(path)};
	if (s->at[s->count].path)
		s->count++;
}

static void next_turn(struct media_sums *s)
{
	const struct timeval now = {0};

	event_add(s->turn, &now);
}

void media_sums_start(struct media_sums *s)
{
	next_turn(s);
}

const char *media_sums_of(const struct media_sums *s, const char *path)
{
	const struct sum *sum = s ? find(s, path) : NULL;

	return sum ? sum->text : "";
}

static void close_file(struct media_sums *s)
{
	fd_close(&s->fd);
	tls_digest_free(s->digest);
	s->digest = NULL;
	s->next++;
}

static void open_file(struct media_sums *s)
{
	struct stat st;

	s->fd = secret_file_open_plain(s->pid, s->at[s->next].path);
	s->digest = s->fd < 0 ? NULL : tls_digest_new();
	s->offset = 0;
	if (!s->digest || fstat(s->fd, &st) < 0)
		close_file(s);
	else
		s->size = (uint64_t)st.st_size;
}

static void end_file(struct media_sums *s)
{
	static const char zero[SECTOR];
	const size_t over = s->size % SECTOR;

	if (over)
		tls_digest_add(s->digest, zero, SECTOR - over);
	tls_digest_end(s->digest, s->at[s->next].text);
	close_file(s);
}

static void read_piece(struct media_sums *s)
{
	const bool part = s->size > MEDIA_SMALL;
	uint64_t want;
	ssize_t n;

	if (part && s->offset == END_BYTES)
		s->offset = (s->size - END_BYTES) / SECTOR * SECTOR;
	if (s->offset >= s->size) {
		end_file(s);
		return;
	}
	want = s->size - s->offset;
	if (part && s->offset < END_BYTES && want > END_BYTES - s->offset)
		want = END_BYTES - s->offset;
	n = pread(s->fd, s->piece, want < PIECE ? (size_t)want : PIECE, (off_t)s->offset);
	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0 || !tls_digest_add(s->digest, s->piece, (size_t)n))
		close_file(s); /* it has become shorter, or cannot be read: no sum */
	else
		s->offset += (uint64_t)n;
}

static void on_turn(evutil_socket_t fd, short what, void *ctx)
{
	struct media_sums *s = ctx;

	(void)fd;
	(void)what;
	if (s->next == s->count) {
		s->on_end(s->ctx, s);
		return;
	}
	if (s->fd < 0)
		open_file(s);
	else
		read_piece(s);
	next_turn(s);
}

/* ---- of a description ---- */

void media_sums_add_disks(struct media_sums *s, const json_t *disks)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(disks, i, disk) if (is_plain(disk))
	    media_sums_add(s, json_text(disk, "file"));
}

void media_sums_put(const struct media_sums *s, json_t *disks)
{
	json_t *disk;
	size_t i;

	json_array_foreach(disks, i, disk)
	{
		const char *sum = media_sums_of(s, json_text(disk, "file"));

		if (is_plain(disk) && *sum)
			json_object_set_new(disk, "sum", json_string(sum));
	}
}
