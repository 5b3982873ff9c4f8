/* What this process got from whoever started it, and what a program that it starts is to get
 * likewise: signals, the limit of open files, descriptors. */
#ifndef ADIT_CLI_COMMON_INHERITED_H
#define ADIT_CLI_COMMON_INHERITED_H

/* Notes it; first thing in main, before anything is changed or opened. */
void inherited_save(void);

/* Whether a signal was ignored when we were started (nohup, a shell's background). */
int inherited_ignored(int signum);

/* In a child, between fork and exec, with all signals blocked: puts it all back. Descriptors
 * that were not inherited are closed by exec. Safe after fork. */
void inherited_restore(void);

#endif
