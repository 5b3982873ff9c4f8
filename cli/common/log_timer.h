/* Has the log tell, now and then, of the lines that it left out. */
#ifndef ADIT_CLI_COMMON_LOG_TIMER_H
#define ADIT_CLI_COMMON_LOG_TIMER_H

struct event;
struct event_base;

/* On base's loop, until event_free (before the loop's). NULL when memory is short: then it is told
 * with later lines. */
struct event *log_timer_new(struct event_base *base);

#endif
