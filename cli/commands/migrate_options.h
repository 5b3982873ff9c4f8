/*
 * The options that say what a migration is to be: taken by adit migrate, which does it,
 * and by adit check, which says beforehand what would come of it. A new one needs a line
 * in each of the three parts: the enum, the long options, the help; and its case in
 * migrate_options_take.
 */
#ifndef ADIT_CLI_COMMANDS_MIGRATE_OPTIONS_H
#define ADIT_CLI_COMMANDS_MIGRATE_OPTIONS_H

#include <getopt.h>

#include "base/err.h"
#include "cli/common/creds_options.h"
#include "cli/common/options.h"
#include "cli/common/usage.h"
#include "control/source.h"

/* Between those of creds_options.h and a command's own. */
enum {
	MIGRATE_OPTION_QMP = OPTION_MIGRATE,
	MIGRATE_OPTION_DEST_QMP,
	MIGRATE_OPTION_DEST_ADDRESS,
	MIGRATE_OPTION_DISKS,
	MIGRATE_OPTION_TARGET,
	MIGRATE_OPTION_STORAGE,
	MIGRATE_OPTION_COPY_STORAGE,
	MIGRATE_OPTION_COPY_MEDIA,
	MIGRATE_OPTION_RENAME,
	MIGRATE_OPTION_NET,
	MIGRATE_OPTION_DROP_SNAPSHOTS,
	MIGRATE_OPTION_PERSISTENT,
	MIGRATE_OPTION_MAX_BANDWIDTH,
	MIGRATE_OPTION_DOWNTIME,
	MIGRATE_OPTION_TIMEOUT,
	MIGRATE_OPTION_ON_TIMEOUT,
	MIGRATE_OPTION_LIVE,
	MIGRATE_OPTION_OFFLINE,
	MIGRATE_OPTION_MULTIFD,
	MIGRATE_OPTION_COMPRESSION,
	MIGRATE_OPTION_AUTO_CONVERGE,
	MIGRATE_OPTION_XBZRLE,
	MIGRATE_OPTION_POSTCOPY,
};

/* For a command's table of long options; those of creds_options.h are among them. */
#define MIGRATE_OPTIONS_LONG                                                                       \
	{"qmp", required_argument, NULL, MIGRATE_OPTION_QMP},                                      \
	    {"dest-qmp", required_argument, NULL, MIGRATE_OPTION_DEST_QMP},                        \
	    {"dest-address", required_argument, NULL, MIGRATE_OPTION_DEST_ADDRESS},                \
	    {"copy-storage", required_argument, NULL, MIGRATE_OPTION_COPY_STORAGE},                \
	    {"copy-media", required_argument, NULL, MIGRATE_OPTION_COPY_MEDIA},                    \
	    {"drop-snapshots", no_argument, NULL, MIGRATE_OPTION_DROP_SNAPSHOTS},                  \
	    {"persistent", no_argument, NULL, MIGRATE_OPTION_PERSISTENT},                          \
	    {"rename", required_argument, NULL, MIGRATE_OPTION_RENAME},                            \
	    {"net", required_argument, NULL, MIGRATE_OPTION_NET},                                  \
	    {"disks", required_argument, NULL, MIGRATE_OPTION_DISKS},                              \
	    {"target", required_argument, NULL, MIGRATE_OPTION_TARGET},                            \
	    {"storage", required_argument, NULL, MIGRATE_OPTION_STORAGE},                          \
	    {"max-bandwidth", required_argument, NULL, MIGRATE_OPTION_MAX_BANDWIDTH},              \
	    {"downtime-limit", required_argument, NULL, MIGRATE_OPTION_DOWNTIME},                  \
	    {"timeout", required_argument, NULL, MIGRATE_OPTION_TIMEOUT},                          \
	    {"on-timeout", required_argument, NULL, MIGRATE_OPTION_ON_TIMEOUT},                    \
	    {"live", no_argument, NULL, MIGRATE_OPTION_LIVE},                                      \
	    {"offline", no_argument, NULL, MIGRATE_OPTION_OFFLINE},                                \
	    {"multifd", required_argument, NULL, MIGRATE_OPTION_MULTIFD},                          \
	    {"compression", required_argument, NULL, MIGRATE_OPTION_COMPRESSION},                  \
	    {"auto-converge", no_argument, NULL, MIGRATE_OPTION_AUTO_CONVERGE},                    \
	    {"xbzrle", no_argument, NULL, MIGRATE_OPTION_XBZRLE},                                  \
	    {"postcopy", no_argument, NULL, MIGRATE_OPTION_POSTCOPY}, CREDS_OPTIONS_LONG,          \
	    CREDS_OPTIONS_LONG_SSH

/* For a command's help, in this order. */
#define MIGRATE_OPTIONS_HELP_WHO                                                                   \
	"  --qmp SOCKET        the VM's monitor (QMP), a unix socket that nobody else is using:\n" \
	"                      -qmp unix:/path,server=on,wait=off\n"                               \
	"  DEST                tls://[IDENTITY@]HOST[:PORT]; the port is 16516 when left out.\n"   \
	"                      tcp://HOST[:PORT] with --insecure\n"                                \
	"                      ssh://[USER@]HOST[:PORT]: through the sshd there, which starts "    \
	"the "                                                                                     \
	"far\n"                                                                                    \
	"                      adit; user and port as ssh's configuration says when left out.\n"   \
	"                      ssh+tls://[USER@]HOST[:PORT]: ssh carries a key that is good "      \
	"once,\n"                                                                                  \
	"                      all else goes to adit's own port there\n"                           \
	"\n"                                                                                       \
	"how the two sides prove who they are, exactly one of:\n" CREDS_OPTIONS_HELP_CLIENT

#define MIGRATE_OPTIONS_HELP_HOW                                                                   \
	"  --dest-address HOST[:PORT]  connect there, where this host sees the destination "       \
	"under\n"                                                                                  \
	"                      another address than DEST, which still is whom it has to prove "    \
	"to be\n"                                                                                  \
	"  --dest-qmp SOCKET   use the QEMU that waits on the destination with -incoming defer,\n" \
	"                      by its monitor there. Without it the destination starts one, "      \
	"with\n"                                                                                   \
	"                      the command line of this one rewritten for it\n"                    \
	"  --copy-storage HOW  all: whole disks (what it is without this); inc: the top image "    \
	"of\n"                                                                                     \
	"                      each disk only, over a backing file that both hosts have; none:\n"  \
	"                      nothing, both hosts have the images (shared storage)\n"             \
	"  --disks WHICH       what is copied: all (writable disks, what it is without this), "    \
	"or\n"                                                                                     \
	"                      NODE,...: disks by node name, drive id, device id, or the "         \
	"image's\n"                                                                                \
	"                      file name; none is --copy-storage none\n"                           \
	"  --copy-media HOW    images that are only read (CD, floppy, seed), where the "           \
	"destination\n"                                                                            \
	"                      launches the VM and has none of that name: auto: those of up to\n"  \
	"                      64 MiB are copied (what it is without this); on: all; off: none\n"  \
	"  --target NODE=PLACE,...  where the image of a disk (named as for --disks) is to be on " \
	"the\n"                                                                                    \
	"                      destination: STORAGE:NAME or STORAGE: in a folder that it calls "   \
	"so\n"                                                                                     \
	"                      (--allow-storage there), NAME in its folder of images, or a path\n" \
	"                      in one of these. Under the name that it has here without this\n"    \
	"  --storage NODE=NAME,...  the disk's image is to be in the storage that the "            \
	"destination calls\n"                                                                      \
	"                      NAME, made in the format that it has for that; =NAME: those of "    \
	"all\n"                                                                                    \
	"                      disks that are copied and named nowhere else\n"                     \
	"  --drop-snapshots    internal snapshots stay behind in the source's images: without "    \
	"it\n"                                                                                     \
	"                      an image that is copied may have none\n"                            \
	"  --rename NAME       the VM's name on the destination\n"                                 \
	"  --net ID=NAME,...   the VM's network ID (of its -netdev) is the destination's network " \
	"NAME;\n"                                                                                  \
	"                      without it the one that is called as its bridge is here\n"          \
	"  --persistent        the destination keeps how to start the VM again, as a script\n"     \
	"  --max-bandwidth R   bytes a second over RAM and disks together: 100M (MB and MiB are "  \
	"the\n"                                                                                    \
	"                      same, of 1024s), 1G; or bits: 100Mbit, of 1000s. No limit "         \
	"without it\n"                                                                             \
	"  --downtime-limit MS how long the guest may stand still at the end, in milliseconds "    \
	"or\n"                                                                                     \
	"                      with a unit (500ms, 2s); QEMU's own setting without it\n"           \
	"  --timeout S         do what --on-timeout says when it is not done after S seconds, "    \
	"or\n"                                                                                     \
	"                      as long as 90s, 10m, 2h\n"                                          \
	"  --on-timeout WHAT   abort: give up, the VM runs on here (what it is without this);\n"   \
	"                      suspend: pause the guest, so that it ends soon, and run it "        \
	"there;\n"                                                                                 \
	"                      postcopy: run it there at once (with --postcopy)\n"                 \
	"  --live, --offline   the guest runs meanwhile (what it is without this), or is paused\n" \
	"                      first and runs there in the end\n"                                  \
	"  --multifd N         RAM in N channels beside the main one, 1 to 255\n"                  \
	"  --compression ALGO  of those channels: zlib or zstd\n"                                  \
	"  --auto-converge     slow the guest down when it writes faster than RAM is sent\n"       \
	"  --xbzrle            send what changed in a page that was sent before, not all of it\n"  \
	"  --postcopy          the VM may run there before all of its RAM has come: begun by\n"    \
	"                      --on-timeout postcopy. From then on it cannot come back here\n"

/* For struct options. */
extern const char *const migrate_options_apart[];

/* Takes what options_next returned: 1 when it was one of ours, 0 when not, ERR_USAGE with
 * the option's name. The strings are borrowed from argv. */
int migrate_options_take(struct migrate_config *c, int option, const char *value, struct err *e);

/* The words that are left at argv[optind]: exactly one, DEST; and --qmp was given, and all fits
 * together. ERR_USAGE. */
int migrate_options_end(struct migrate_config *c, const struct options *o, struct err *e);

#endif
