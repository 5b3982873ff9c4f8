/*
 * The sums by which media are told apart: see media.h. Reads files, and writes none. All readings
 * of the process share a quarter of the loop's time: one piece is read, then a pause of three times
 * as long as that took. The next piece is for whoever has waited longest for one, and each has one
 * file at a time: a peer that asks again and again waits for itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "control/vm/media.h"
#include "control/vm/secret_file.h"
#include "tunnel/tls_digest.h"

/* A piece takes a fraction of a millisecond where it is in memory already, and it is asked for
 * before. KNOWN: files of which the sum is remembered. */
enum { PIECE = 64 << 10, AHEAD = 1 << 20, SECTOR = 512, KNOWN = 256, SHARE = 4, PIECE_MAX = 50000 };
#define END_BYTES ((uint64_t)4 << 20)

struct sum {
	char *path;
	char text[TLS_DIGEST_TEXT];
};

/* What had that sum, and has it as long as nothing of this changes. */
struct known {
	struct stat st;
	char text[TLS_DIGEST_TEXT];
};

struct media_sums {
	TAILQ_ENTRY(media_sums) link; /* queue.waiting, where who is set */
	const char *who;
	uint64_t served; /* the turn of the last piece for who */
	media_sums_on_end *on_end;
	void *ctx;
	pid_t pid; /* whose names of files they are */
	struct event *turn;
	struct sum *at;
	size_t count, next;
	int fd; /* of the one that is read */
	struct tls_digest *digest;
	struct stat st;
	uint64_t size, offset;
	unsigned char piece[PIECE];
};

/* One loop has all readings; in a process with more of them only their pauses would be others'. */
static struct {
	TAILQ_HEAD(, media_sums) waiting;
	struct media_sums *reading; /* whose event is set */
	uint64_t turn, free_at;	    /* clock_us */
	struct known known[KNOWN];
	size_t known_next;
} queue = {.waiting = TAILQ_HEAD_INITIALIZER(queue.waiting)};

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

/* After the pause, whoever ended or was given up within it. */
static void next_turn(void)
{
	struct media_sums *s, *next = TAILQ_FIRST(&queue.waiting);
	uint64_t now = clock_us(), pause = queue.free_at > now ? queue.free_at - now : 0;
	const struct timeval in = {(time_t)(pause / 1000000), (suseconds_t)(pause % 1000000)};

	if (queue.reading || !next)
		return;
	TAILQ_FOREACH(s, &queue.waiting, link)
	if (s->served < next->served)
		next = s;
	queue.reading = next;
	event_add(next->turn, &in);
}

static void leave(struct media_sums *s)
{
	if (!s->who)
		return;
	TAILQ_REMOVE(&queue.waiting, s, link);
	s->who = NULL;
	if (queue.reading == s)
		queue.reading = NULL;
}

void media_sums_free(struct media_sums *s)
{
	if (!s)
		return;
	leave(s);
	next_turn();
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

void media_sums_start(struct media_sums *s, const char *who)
{
	const struct media_sums *other;

	TAILQ_FOREACH(other, &queue.waiting, link)
	if (strcmp(other->who, who) == 0)
		s->served = other->served;
	s->who = who;
	TAILQ_INSERT_TAIL(&queue.waiting, s, link);
	next_turn();
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

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Nothing is asked for that is read at once: a piece later it is there. */
static void ask_for(struct media_sums *s, uint64_t offset)
{
	posix_fadvise(s->fd, (off_t)offset, AHEAD, POSIX_FADV_WILLNEED);
}

static void open_file(struct media_sums *s)
{
	s->fd = secret_file_open_plain(s->pid, s->at[s->next].path);
	s->digest = s->fd < 0 ? NULL : tls_digest_new();
	s->offset = 0;
	if (!s->digest || fstat(s->fd, &s->st) < 0) {
		close_file(s);
		return;
	}
	s->size = (uint64_t)s->st.st_size;
	for (size_t i = 0; i < KNOWN; i++)
		if (*queue.known[i].text && is_same(&queue.known[i].st, &s->st)) {
			memcpy(s->at[s->next].text, queue.known[i].text, TLS_DIGEST_TEXT);
			close_file(s);
			return;
		}
	ask_for(s, 0);
	if (s->size > MEDIA_SMALL)
		ask_for(s, s->size - END_BYTES);
}

/* Of what was changed a moment ago the next change may have the same time. */
static void remember(const struct media_sums *s)
{
	struct known *k = &queue.known[queue.known_next];
	struct stat st;

	if (fstat(s->fd, &st) < 0 || !is_same(&st, &s->st) || st.st_ctim.tv_sec + 1 >= time(NULL))
		return;
	*k = (struct known){.st = st};
	memcpy(k->text, s->at[s->next].text, TLS_DIGEST_TEXT);
	queue.known_next = (queue.known_next + 1) % KNOWN;
}

static void end_file(struct media_sums *s)
{
	static const char zero[SECTOR];
	const size_t over = s->size % SECTOR;

	if (over)
		tls_digest_add(s->digest, zero, SECTOR - over);
	tls_digest_end(s->digest, s->at[s->next].text);
	remember(s);
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
	if (s->offset % AHEAD == 0)
		ask_for(s, s->offset + AHEAD);
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
	struct media_sums *s = ctx, *other;
	uint64_t began = clock_us(), ended;

	(void)fd;
	(void)what;
	queue.reading = NULL;
	if (s->next == s->count) {
		leave(s);
		next_turn();
		s->on_end(s->ctx, s);
		return;
	}
	if (s->fd < 0)
		open_file(s);
	else
		read_piece(s);
	queue.turn++;
	TAILQ_FOREACH(other, &queue.waiting, link)
	if (strcmp(other->who, s->who) == 0)
		other->served = queue.turn;
	ended = clock_us();
	/* (one that was long held up by others of the host has not held up the loop) */
	queue.free_at =
	    ended + (SHARE - 1) * (ended - began < PIECE_MAX ? ended - began : PIECE_MAX);
	next_turn();
}
