/*
 * The subcommands of adit. Each takes its own words (argv[0] is the command's
 * name) and returns the exit status: 0, 1 when it failed (one line on standard
 * error has said why), 2 when its words were wrong. (adit run: the command's that it runs.)
 */
#ifndef ADIT_CLI_COMMANDS_H
#define ADIT_CLI_COMMANDS_H

int cmd_keygen(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_forward(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_migrate(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_recover(int argc, char **argv);
int cmd_jobs(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_cancel(int argc, char **argv);
int cmd_set(int argc, char **argv);
int cmd_start(int argc, char **argv);
int cmd_vms(int argc, char **argv);
int cmd_console(int argc, char **argv);

#endif
