/* Answers, each a JSON object, and the status that goes with an error. */
#include "control/api/api_i.h"

#include <event2/buffer.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 202:
		return "Accepted";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 409:
		return "Conflict";
	case 413:
		return "Content Too Large";
	case 429:
		return "Too Many Requests";
	case 503:
		return "Service Unavailable";
	default:
		return "Internal Server Error";
	}
}

void api_reply(struct evhttp_request *req, int status, json_t *v)
{
	char *text = v ? json_dumps(v, JSON_COMPACT) : NULL;
	struct evbuffer *body = evbuffer_new();

	json_decref(v);
	if (!text || !body)
		status = 500;
	if (text && body)
		evbuffer_add_printf(body, "%s\n", text);
	free(text);
	evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type",
			  "application/json");
	evhttp_add_header(evhttp_request_get_output_headers(req), "Cache-Control", "no-store");
	evhttp_send_reply(req, status, reason(status), body);
	if (body)
		evbuffer_free(body);
}

void api_reply_error(struct evhttp_request *req, int status, const char *code, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	json_t *message;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	message = json_string(err_printable(text));
	if (!message) /* what was quoted is no UTF-8 */
		message = json_string(reason(status));
	api_reply(req, status,
		  json_pack("{s:{s:s,s:o}}", "error", "code", code, "message", message));
}

void api_reply_err(struct evhttp_request *req, const struct err *e)
{
	int status = 500;

	switch (e->code) {
	case ERR_USAGE:
	case ERR_ADDRESS:
		status = 400;
		break;
	case ERR_REFUSED:
		status = 409;
		break;
	case ERR_LIMIT:
		status = 429;
		break;
	default:
		break;
	}
	api_reply_error(req, status, err_code_name(e->code), "%s", e->text);
}
