/* See api_client.h. It asks as HTTP/1.0 does: one request a connection, and the answer ends
 * with it, so that nothing has to be taken apart but lines. */
#include "cli/commands/api_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

enum { ANSWER_S = 30 };

/* It is there, and stands still. */
static int silent(const char *path, struct err *e)
{
	return err_set(e, ERR_TIMEOUT, "the adit at %s has not answered within %d s: does it hang?",
		       path, ANSWER_S);
}

static FILE *ask(const char *path, const char *method, const char *what, json_t *body,
		 struct err *e)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct timeval tv = {.tv_sec = ANSWER_S};
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); /* it waits: no fd_connect_unix */
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r+");

	json_decref(body);
	if (!f) {
		err_set_sys(e, errno, "a socket");
		if (fd >= 0)
			close(fd);
		goto fail;
	}
	if (strlen(path) >= sizeof(sun.sun_path)) {
		err_set(e, ERR_USAGE, "--api %s: the path is too long", path);
		goto fail;
	}
	memcpy(sun.sun_path, path, strlen(path));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		const char *kind = fd_no_socket(path);

		if (errno == EAGAIN)
			silent(path, e);
		else if (kind)
			err_set(e, ERR_CLOSED,
				"no adit answers at %s: it is %s, not the socket of an adit", path,
				kind);
		else
			err_set(e, ERR_CLOSED, "no adit answers at %s: %s", path, strerror(errno));
		goto fail;
	}
	fprintf(f, "%s %s HTTP/1.0\r\nHost: adit\r\nContent-Length: %zu\r\n\r\n%s", method, what,
		text ? strlen(text) : 0, text ? text : "");
	if (fflush(f) != 0) {
		err_set_sys(e, errno, "the API at %s", path);
		goto fail;
	}
	free(text);
	return f;
fail:
	if (f)
		fclose(f);
	free(text);
	return NULL;
}

/* The status; what follows are the lines of the body. */
static int read_head(FILE *f, const char *path, struct err *e)
{
	char line[8192];
	int status = 0;

	errno = 0;
	if (!fgets(line, sizeof(line), f))
		return errno == EAGAIN
			   ? silent(path, e)
			   : err_set(e, ERR_CLOSED, "the API at %s did not answer", path);
	if (sscanf(line, "HTTP/1.%*c %d ", &status) != 1)
		return err_set(e, ERR_PROTOCOL, "the API at %s did not answer", path);
	while (fgets(line, sizeof(line), f))
		if (line[0] == '\r' || line[0] == '\n')
			return status;
	return err_set(e, ERR_PROTOCOL, "the API at %s did not answer to the end", path);
}

static json_t *read_body(FILE *f, const char *path, struct err *e)
{
	json_error_t why;
	json_t *v = json_loadf(f, 0, &why);

	if (!v)
		err_set(e, ERR_PROTOCOL, "the answer of the API at %s is no JSON: %s", path,
			why.text);
	return v;
}

static int refused(int status, const json_t *body, struct err *e)
{
	const json_t *error = json_object_get(body, "error");
	const char *text = json_string_value(json_object_get(error, "message"));

	return err_set(e, ERR_REFUSED, "%s (%d)", text ? text : "the API refused", status);
}

int api_client_ask(const char *socket, const char *method, const char *path, json_t *body,
		   json_t **out, struct err *e)
{
	FILE *f = ask(socket, method, path, body, e);
	int status = f ? read_head(f, socket, e) : -1;

	*out = status > 0 ? read_body(f, socket, e) : NULL;
	if (f)
		fclose(f);
	if (!*out)
		return e->code;
	if (status < 300)
		return 0;
	refused(status, *out, e);
	json_decref(*out);
	*out = NULL;
	return e->code;
}

int api_client_follow(const char *socket, const char *path, int (*fn)(void *ctx, json_t *event),
		      void *ctx, struct err *e)
{
	FILE *f = ask(socket, "GET", path, NULL, e);
	int status = f ? read_head(f, socket, e) : -1, stop = 0;
	char *line = NULL;
	size_t size = 0;
	json_t *v;

	if (status >= 300) {
		v = read_body(f, socket, e);
		if (v)
			refused(status, v, e);
		json_decref(v);
	}
	while (status > 0 && status < 300 && !stop && getline(&line, &size, f) > 0) {
		v = json_loads(line, 0, NULL);
		if (v)
			stop = fn(ctx, v);
		json_decref(v);
	}
	free(line);
	if (f)
		fclose(f);
	return status > 0 && status < 300 ? 0 : (int)e->code;
}
