/*
 * The keys of adit.conf and the options of adit serve, which are one table: see config_i.h. Each
 * says where it may stand, and takes its value.
 */
#include "cli/serve/config_i.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/netlink.h"
#include "base/size.h"
#include "cli/common/creds_options.h"
#include "cli/common/usage.h"
#include "control/host.h"
#include "proxy/libvirt_path.h"

/* ---- values ---- */

static int take_bool(bool *to, const char *value, struct err *e)
{
	if (strcmp(value, "yes") == 0)
		*to = true;
	else if (strcmp(value, "no") == 0)
		*to = false;
	else
		return err_set(e, ERR_USAGE, "\"%s\" is neither yes nor no: write one of these",
			       value);
	return 0;
}

static int take_text(char **to, const char *value, struct err *e)
{
	free(*to);
	*to = strdup(value);
	return *to ? 0 : err_set(e, ERR_SPACE, "memory is short");
}

static int take_path(char **to, const char *value, struct err *e)
{
	if (value[0] != '/')
		return err_set(e, ERR_USAGE, "%s: give an absolute path", value);
	return take_text(to, value, e);
}

static int take_count(uint32_t *to, const char *value, uint32_t max, struct err *e)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end || errno || n < 1 || n > max)
		return err_set(e, ERR_USAGE, "\"%s\" is no number from 1 to %u", value, max);
	*to = (uint32_t)n;
	return 0;
}

int config_i_check_path(const char *path, bool directory, struct err *e)
{
	struct stat st;

	if (path[0] != '/')
		return err_set(e, ERR_USAGE, "%s: give an absolute path", path);
	if (stat(path, &st) < 0 && errno == ENOENT && directory)
		return err_set(
		    e, ERR_CONFIG,
		    "%s: there is no such folder; make it (mkdir -p %s), or name another", path,
		    path);
	if (stat(path, &st) < 0)
		return err_set_sys(e, errno, "%s", path);
	if (directory && !S_ISDIR(st.st_mode))
		return err_set(e, ERR_CONFIG, "%s: not a directory", path);
	/* What is made in it could be swapped for a link before QEMU opens it. */
	if (directory && (st.st_mode & S_IWOTH))
		return err_set(e, ERR_CONFIG,
			       "%s: everybody may write to that folder; chmod o-w it", path);
	if (!directory && (!S_ISREG(st.st_mode) || access(path, X_OK) < 0))
		return err_set(e, ERR_CONFIG, "%s: not a program that can be run", path);
	return 0;
}

/* Of others' only the words: what is there is not for this user to see. */
static int check_path(const struct config_reading *g, const char *path, bool directory,
		      struct err *e)
{
	return g->others && path[0] == '/' ? 0 : config_i_check_path(path, directory, e);
}

/* ---- [serve] ---- */

static int take_listen(struct config_reading *g, const char *value, struct err *e)
{
	return addr_parse_listen(&g->c->listen, value, e);
}

/* creds_options keeps what it is given. */
static int take_creds(struct config_reading *g, int option, const char *value, struct err *e)
{
	char *copy = strdup(value);

	if (!copy)
		return err_set(e, ERR_SPACE, "memory is short");
	if (creds_options_take(&g->c->auth, option, copy, e) < 0) {
		free(copy);
		return e->code;
	}
	return 0;
}

static int take_psk(struct config_reading *g, const char *value, struct err *e)
{
	return take_creds(g, CREDS_OPTION_PSK, value, e);
}

static int take_tls_creds(struct config_reading *g, const char *value, struct err *e)
{
	return take_creds(g, CREDS_OPTION_TLS_CREDS, value, e);
}

static int take_insecure(struct config_reading *g, const char *value, struct err *e)
{
	bool yes;

	if (take_bool(&yes, value, e) < 0 || !yes)
		return e->code;
	return creds_options_take(&g->c->auth, CREDS_OPTION_INSECURE, NULL, e) < 0 ? (int)e->code
										   : 0;
}

static int take_run_dir(struct config_reading *g, const char *value, struct err *e)
{
	return take_text(&g->c->run_dir, value, e);
}

static int take_state_dir(struct config_reading *g, const char *value, struct err *e)
{
	return take_text(&g->c->state_dir, value, e);
}

static int take_libvirt_dir(struct config_reading *g, const char *value, struct err *e)
{
	if (libvirt_path_check_dir(value, e) < 0)
		return e->code;
	return take_text(&g->c->libvirt_dir, value, e);
}

static int take_vms(struct config_reading *g, const char *value, struct err *e)
{
	return serve_api_take(&g->c->api, SERVE_API_OPTION_VMS, value, e);
}

static int take_api(struct config_reading *g, const char *value, struct err *e)
{
	return serve_api_take(&g->c->api, SERVE_API_OPTION_API, value, e);
}

static int take_api_listen(struct config_reading *g, const char *value, struct err *e)
{
	return serve_api_take(&g->c->api, SERVE_API_OPTION_LISTEN, value, e);
}

static int take_api_token_file(struct config_reading *g, const char *value, struct err *e)
{
	return serve_api_take(&g->c->api, SERVE_API_OPTION_TOKEN, value, e);
}

static int take_log_level(struct config_reading *g, const char *value, struct err *e)
{
	return usage_parse_log_level(&g->c->log_level, value, e);
}

static int take_handshakes(struct config_reading *g, const char *value, struct err *e)
{
	return take_count(&g->c->limits.handshakes_max, value, 65536, e);
}

static int take_sessions_in_all(struct config_reading *g, const char *value, struct err *e)
{
	return take_count(&g->c->limits.all_sessions_max, value, 65536, e);
}

static int take_size(uint64_t *bytes, uint64_t least, const char *value, struct err *e)
{
	uint64_t v;

	if (size_parse(&v, value, e) < 0)
		return e->code;
	if (v < least)
		return err_set(e, ERR_USAGE, "\"%s\" is too little: a session needs %uM", value,
			       (unsigned)(least >> 20));
	*bytes = v;
	return 0;
}

static int take_memory(struct config_reading *g, const char *value, struct err *e)
{
	return take_size(&g->c->limits.session.memory_max_bytes, 1 << 20, value, e);
}

static int take_memory_total(struct config_reading *g, const char *value, struct err *e)
{
	return take_size(&g->c->limits.memory_max_bytes, 4 << 20, value, e);
}

/* Only root may become another; whom sshd has started this as may not need to. */
static int take_user(struct config_reading *g, struct user *to, const char *value, struct err *e)
{
	struct user u;

	if (user_parse(&u, value, e) < 0)
		return e->code;
	if (geteuid() != 0 && u.uid != geteuid() && !(g->source->stdio && g->from_file))
		return err_set(e, ERR_CONFIG,
			       "adit serve does not run as root, and cannot become user %s",
			       u.name);
	/* Nobody needs to become who he is. */
	*to = u.uid == geteuid() ? (struct user){0} : u;
	return 0;
}

static int take_launch_user_of_all(struct config_reading *g, const char *value, struct err *e)
{
	return take_user(g, &g->c->launch_user, value, e);
}

/* ---- [peer] ---- */

static int take_forward(struct config_reading *g, const char *value, struct err *e)
{
	return rules_add(&g->rights->forwards, value, e);
}

static int take_migrate(struct config_reading *g, const char *value, struct err *e)
{
	return take_bool(&g->rights->migrate, value, e);
}

static int take_launch(struct config_reading *g, const char *value, struct err *e)
{
	int rc = check_path(g, value, false, e);

	return rc < 0 ? rc : rights_add_launch(g->rights, value, e);
}

static int take_launch_user(struct config_reading *g, const char *value, struct err *e)
{
	return take_user(g, &g->rights->launch_user, value, e);
}

static int take_images(struct config_reading *g, const char *value, struct err *e)
{
	int rc = check_path(g, value, true, e);

	return rc < 0 ? rc : rights_add_images(g->rights, value, e);
}

/* NAME=FOLDER, which may have blanks in it; or NAME and more of them, each a [storage NAME]. */
static int take_storage(struct config_reading *g, const char *value, struct err *e)
{
	const char *equals = strchr(value, '=');
	char words[1024], *save = NULL;

	if (equals) {
		int rc = check_path(g, equals + 1, true, e);

		return rc < 0 ? rc : rights_add_storage(g->rights, value, e);
	}
	if (strlen(value) >= sizeof(words))
		return err_set(e, ERR_USAGE, "too long: write several lines of it");
	snprintf(words, sizeof(words), "%s", value);
	for (char *w = strtok_r(words, " \t", &save); w; w = strtok_r(NULL, " \t", &save))
		if (rights_add_storage(g->rights, w, e) < 0)
			return e->code;
	return *words ? 0 : err_set(e, ERR_USAGE, "no storage is named");
}

static int take_overwrite_images(struct config_reading *g, const char *value, struct err *e)
{
	return take_bool(&g->rights->overwrite_images, value, e);
}

/* NAME or NAME=BRIDGE, and more of them. */
static int take_networks(struct config_reading *g, const char *value, struct err *e)
{
	char words[1024], *save = NULL;

	if (strlen(value) >= sizeof(words))
		return err_set(e, ERR_USAGE, "too long: write several lines of it");
	snprintf(words, sizeof(words), "%s", value);
	for (char *w = strtok_r(words, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
		char *bridge = strchr(w, '=');

		if (bridge)
			*bridge++ = 0;
		if (rights_add_network(g->rights, w, bridge, e) < 0)
			return e->code;
	}
	return *words ? 0 : err_set(e, ERR_USAGE, "no network is named");
}

/* What is run with our rights: nobody else may write to it. */
static int check_program(const struct config_reading *g, const char *value, struct err *e)
{
	struct stat st;

	if (check_path(g, value, false, e) < 0)
		return e->code;
	if (strpbrk(value, "\n"))
		return err_set(e, ERR_USAGE, "a path has no newline in it");
	if (!g->others && stat(value, &st) < 0)
		return err_set_sys(e, errno, "%s", value);
	if (!g->others && ((st.st_uid != 0 && st.st_uid != geteuid()) || config_file_is_loose(&st)))
		return err_set(e, ERR_CONFIG,
			       "%s: must belong to root or to the user who runs adit, and be "
			       "writable for its owner only (chmod go-w)",
			       value);
	return 0;
}

/* ---- [network] ---- */

static int take_one(struct config_reading *g, enum rights_network_kind kind, struct err *e)
{
	struct rights_network *n = config_i_network(g);

	if (*n->bridge || *n->script)
		return err_set(e, ERR_USAGE, "bridge, openvswitch and script: write one of them");
	n->kind = kind;
	return 0;
}

static int take_bridge_of(struct config_reading *g, enum rights_network_kind kind,
			  const char *value, struct err *e)
{
	struct rights_network *n = config_i_network(g);

	/* (no program is to take it for an option) */
	if (!netlink_is_name(value) || *value == '-')
		return err_set(e, ERR_USAGE, "\"%.80s\" is no name of an interface", value);
	if (take_one(g, kind, e) == 0)
		snprintf(n->bridge, sizeof(n->bridge), "%s", value);
	return e->code;
}

static int take_bridge(struct config_reading *g, const char *value, struct err *e)
{
	return take_bridge_of(g, RIGHTS_BRIDGE, value, e);
}

static int take_openvswitch(struct config_reading *g, const char *value, struct err *e)
{
	return take_bridge_of(g, RIGHTS_OPENVSWITCH, value, e);
}

static int take_vlan(struct config_reading *g, const char *value, struct err *e)
{
	uint32_t vlan;

	if (take_count(&vlan, value, RIGHTS_VLAN_MAX, e) < 0)
		return e->code;
	config_i_network(g)->vlan = vlan;
	return 0;
}

static int take_script(struct config_reading *g, const char *value, struct err *e)
{
	struct rights_network *n = config_i_network(g);

	if (strlen(value) > RIGHTS_SCRIPT_MAX)
		return err_set(e, ERR_USAGE, "the path has more than %d bytes", RIGHTS_SCRIPT_MAX);
	if (check_program(g, value, e) < 0 || take_one(g, RIGHTS_SCRIPT, e) < 0 ||
	    (!g->others && netport_check_script(value, e) < 0))
		return e->code;
	snprintf(n->script, sizeof(n->script), "%s", value);
	return 0;
}

/* ---- [storage] ---- */

/* What sshd has started looks at its own peer's alone, in the end (config_host.c). */
static int take_folder(struct config_reading *g, const char *value, struct err *e)
{
	if (strlen(value) >= sizeof(g->folder))
		return err_set(e, ERR_USAGE, "the path is too long");
	if (value[0] != '/' || !g->source->stdio)
		if (config_i_check_path(value, true, e) < 0)
			return e->code;
	snprintf(g->folder, sizeof(g->folder), "%s", value);
	return 0;
}

static int take_format(struct config_reading *g, const char *value, struct err *e)
{
	if (strcmp(value, "raw") != 0 && strcmp(value, "qcow2") != 0)
		return err_set(e, ERR_USAGE, "\"%.80s\" is neither raw nor qcow2", value);
	snprintf(g->format, sizeof(g->format), "%s", value);
	return 0;
}

static int take_memory_paths(struct config_reading *g, const char *value, struct err *e)
{
	struct stat st;

	if (strpbrk(value, ",\n"))
		return err_set(e, ERR_USAGE, "%s: QEMU's options take no ',' in it", value);
	/* What QEMU makes there has a name for an instant only, so /dev/shm will do. */
	if (value[0] == '/' &&
	    (g->others || (stat(value, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & S_ISVTX))))
		return rights_add_memory(g->rights, value, e);
	if (check_path(g, value, true, e) < 0)
		return e->code;
	return rights_add_memory(g->rights, value, e);
}

static int take_swtpm(struct config_reading *g, const char *value, struct err *e)
{
	if (strcmp(value, "none") != 0 && check_path(g, value, false, e) < 0)
		return e->code;
	return take_text(&g->rights->swtpm, value, e);
}

static int take_launch_hook(struct config_reading *g, const char *value, struct err *e)
{
	if (check_program(g, value, e) < 0)
		return e->code;
	return take_path(&g->rights->launch_hook, value, e);
}

static int take_dest_qmp(struct config_reading *g, const char *value, struct err *e)
{
	return rights_add_dest_qmp(g->rights, value, e);
}

static int take_libvirt(struct config_reading *g, const char *value, struct err *e)
{
	return take_bool(&g->rights->libvirt, value, e);
}

static int take_bandwidth(struct config_reading *g, const char *value, struct err *e)
{
	return size_parse_rate(&g->rights->bandwidth, value, e);
}

static int take_sessions(struct config_reading *g, const char *value, struct err *e)
{
	return take_count(&g->rights->sessions_max, value, 65536, e);
}

static int take_memory_of_peer(struct config_reading *g, const char *value, struct err *e)
{
	return take_size(&g->rights->memory_max, 4 << 20, value, e);
}

/* ---- [client] ---- */

static int take_client_psk(struct config_reading *g, const char *value, struct err *e)
{
	return client_conf_take(&g->c->client, "psk", value, e);
}

static int take_client_tls_creds(struct config_reading *g, const char *value, struct err *e)
{
	return client_conf_take(&g->c->client, "tls-creds", value, e);
}

static int take_client_identity(struct config_reading *g, const char *value, struct err *e)
{
	return client_conf_take(&g->c->client, "identity", value, e);
}

const struct config_key config_keys[] = {
    {"listen", CONFIG_SERVE, false, take_listen},
    {"psk", CONFIG_SERVE, false, take_psk},
    {"tls-creds", CONFIG_SERVE, false, take_tls_creds},
    {"insecure", CONFIG_SERVE, false, take_insecure},
    {"run-dir", CONFIG_SERVE, false, take_run_dir},
    {"state-dir", CONFIG_SERVE, false, take_state_dir},
    {"libvirt-dir", CONFIG_SERVE, false, take_libvirt_dir},
    {"vms", CONFIG_SERVE, true, take_vms},
    {"api", CONFIG_SERVE, false, take_api},
    {"api-listen", CONFIG_SERVE, false, take_api_listen},
    {"api-token-file", CONFIG_SERVE, false, take_api_token_file},
    {"launch-user", CONFIG_SERVE, false, take_launch_user_of_all},
    {"log-level", CONFIG_SERVE, false, take_log_level},
    {"handshakes", CONFIG_SERVE, false, take_handshakes},
    {"sessions", CONFIG_SERVE, false, take_sessions_in_all},
    {"memory", CONFIG_SERVE, false, take_memory},
    {"memory-total", CONFIG_SERVE, false, take_memory_total},
    {"forward", CONFIG_PEER, true, take_forward},
    {"migrate", CONFIG_PEER, false, take_migrate},
    {"launch", CONFIG_PEER, true, take_launch},
    {"launch-user", CONFIG_PEER, false, take_launch_user},
    {"images", CONFIG_PEER, true, take_images},
    {"storage", CONFIG_PEER, true, take_storage},
    {"overwrite-images", CONFIG_PEER, false, take_overwrite_images},
    {"networks", CONFIG_PEER, true, take_networks},
    {"memory-paths", CONFIG_PEER, true, take_memory_paths},
    {"swtpm", CONFIG_PEER, false, take_swtpm},
    {"launch-hook", CONFIG_PEER, false, take_launch_hook},
    {"dest-qmp", CONFIG_PEER, true, take_dest_qmp},
    {"libvirt", CONFIG_PEER, false, take_libvirt},
    {"bandwidth", CONFIG_PEER, false, take_bandwidth},
    {"sessions", CONFIG_PEER, false, take_sessions},
    {"memory", CONFIG_PEER, false, take_memory_of_peer},
    {"bridge", CONFIG_NETWORK, false, take_bridge},
    {"openvswitch", CONFIG_NETWORK, false, take_openvswitch},
    {"vlan", CONFIG_NETWORK, false, take_vlan},
    {"script", CONFIG_NETWORK, false, take_script},
    {"folder", CONFIG_STORAGE, false, take_folder},
    {"format", CONFIG_STORAGE, false, take_format},
    {"psk", CONFIG_CLIENT, false, take_client_psk},
    {"tls-creds", CONFIG_CLIENT, false, take_client_tls_creds},
    {"identity", CONFIG_CLIENT, false, take_client_identity},
};

_Static_assert(sizeof(config_keys) / sizeof(*config_keys) == CONFIG_KEY_COUNT,
	       "each of them has a line in struct config_reading");

/* Names the file's keys where the words name the options. */
void config_i_name_keys(char *text)
{
	for (char *p = strstr(text, "--"); p; p = strstr(p + 2, "--"))
		for (unsigned i = 0; i < CONFIG_KEY_COUNT && (p == text || p[-1] == ' '); i++) {
			size_t len = strlen(config_keys[i].name);

			if (strncmp(p + 2, config_keys[i].name, len) == 0 &&
			    strchr(" :", p[2 + len])) {
				memmove(p, p + 2, strlen(p + 2) + 1);
				break;
			}
		}
}

/* Takes a value, with the key's name in front of what is wrong. */
int config_i_take(struct config_reading *g, unsigned i, const char *name, const char *value,
		  struct err *e)
{
	struct err own = ERR_INIT;
	const char *text = own.text;
	size_t len;

	if (config_keys[i].take(g, value, &own) >= 0)
		return 0;
	/* Some name their option themselves. */
	if (strncmp(text, "--", 2) == 0 && !g->from_file)
		return err_set(e, own.code, "%s", text);
	if (strncmp(text, "--", 2) == 0) {
		config_i_name_keys(own.text);
		len = strcspn(text, ": ");
		if (len == strlen(name) && strncmp(text, name, len) == 0)
			text += len + strspn(text + len, ": ");
	}
	return err_set(e, own.code, "%s%s: %s", g->from_file ? "" : "--", name, text);
}
