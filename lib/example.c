/* Moves a VM: example QMP-SOCKET tls://DESTINATION KEY-FILE. cc example.c -ladit */
#include <adit.h>
#include <stdio.h>

static void on_event(void *ctx, struct adit_job *job, const char *json)
{
	(void)ctx;
	printf("%.8s %s\n", adit_job_id(job), json);
}

static void on_end(void *ctx, struct adit_job *job, const struct adit_error *why)
{
	*(struct adit_error *)ctx = *why;
	adit_job_free(job);
}

int main(int argc, char **argv)
{
	struct adit_error why = {"usage", "give QMP-SOCKET, tls://DESTINATION and KEY-FILE"};
	struct adit_loop *loop = argc == 4 ? adit_loop_new(&why) : NULL;
	const struct adit_job_callbacks callbacks = {on_event, on_end};
	const struct adit_option options[] = {
	    {"qmp", argv[1]}, {"dest", argv[2]}, {"psk", argv[3]}, {NULL, NULL}};

	if (loop && adit_job_start(loop, options, &callbacks, &why, &why))
		adit_loop_run(loop);
	adit_loop_free(loop);
	if (why.code[0])
		fprintf(stderr, "%s: %s\n", why.code, why.text);
	return why.code[0] ? 1 : 0;
}
