/* What a migration is asked for, as JSON and back; words that do not go together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "control/wish/migrate_config.h"

static const struct migrate_config full = {
    .qmp = "/run/vm.qmp",
    .dest = "tls://dst",
    .dest_address = "10.0.0.2:1",
    .auth = {.psk = "/etc/psk"},
    .state_dir = "/var/lib/adit",
    .dest_qmp = "/run/there.qmp",
    .disks = "a,b",
    .storage = MIGRATE_STORAGE_INC,
    .media = MEDIA_COPY_OFF,
    .target = "a=s:x,b=y",
    .storages = "c=fast,=big",
    .rename = "new",
    .drop_snapshots = true,
    .persistent = true,
    .keep_source = true,
    .limits = {1000000, 300, 60, MIGRATE_POSTCOPY},
    .multifd = 4,
    .compression = "zstd",
    .auto_converge = true,
    .postcopy = true,
};

static void test_config_json_gives_back_what_it_got(void **s)
{
	json_t *v = migrate_config_to_json(&full), *again;
	struct migrate_config c;
	struct err e = ERR_INIT;

	(void)s;
	assert_int_equal(migrate_config_from_json(&c, v, &e), 0);
	assert_string_equal(c.qmp, full.qmp);
	assert_string_equal(c.auth.psk, full.auth.psk);
	assert_int_equal(c.storage, MIGRATE_STORAGE_INC);
	assert_int_equal(c.media, MEDIA_COPY_OFF);
	assert_int_equal(c.limits.on_timeout, MIGRATE_POSTCOPY);
	assert_int_equal(c.limits.max_bandwidth, 1000000);
	assert_true(c.keep_source && c.persistent && c.drop_snapshots && c.postcopy && !c.offline);
	again = migrate_config_to_json(&c);
	assert_true(json_equal(v, again));
	json_decref(again);
	json_decref(v);
}

static void test_config_from_json_names_what_is_wrong(void **s)
{
	static const struct {
		const char *json, *word;
	} bad[] = {
	    {"[]", "object"},
	    {"{\"qpm\":\"x\"}", "qpm"},
	    {"{\"qmp\":1}", "qmp"},
	    {"{\"qmp\":\"\"}", "qmp"},
	    {"{\"offline\":\"yes\"}", "offline"},
	    {"{\"timeout\":-1}", "timeout"},
	    {"{\"timeout\":99999999999}", "timeout"},
	    {"{\"max_bandwidth\":1.5}", "max_bandwidth"},
	    {"{\"multifd\":256}", "multifd"},
	    {"{\"copy_storage\":\"some\"}", "some"},
	    {"{\"on_timeout\":\"explode\"}", "explode"},
	    {"{\"auth\":{}}", "psk"},
	    {"{\"auth\":{\"psk\":\"a\",\"insecure\":true}}", "psk"},
	};

	(void)s;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *v = json_loads(bad[i].json, 0, NULL);
		struct migrate_config c;
		struct err e = ERR_INIT;

		assert_non_null(v);
		assert_true(migrate_config_from_json(&c, v, &e) < 0);
		assert_non_null(strstr(e.text, bad[i].word));
		json_decref(v);
	}
}

static void refused(struct migrate_config c, const char *word)
{
	struct err e = ERR_INIT;

	assert_int_equal(migrate_config_check(&c, &e), ERR_USAGE);
	assert_non_null(strstr(e.text, word));
}

static void test_config_check_refuses_what_does_not_go_together(void **s)
{
	const struct migrate_config least = {.qmp = "/q", .dest = "tls://d"};
	struct migrate_config c = least;
	struct err e = ERR_INIT;

	(void)s;
	assert_int_equal(migrate_config_check(&least, &e), 0);
	c = full;
	refused(c, "--persistent and --dest-qmp");
	c.dest_qmp = NULL;
	assert_int_equal(migrate_config_check(&c, &e), 0);
	c.net = "n0=lan";
	assert_int_equal(migrate_config_check(&c, &e), 0);
	c.dest_qmp = "/there";
	c.persistent = false;
	refused(c, "--net and --dest-qmp");
	c.dest_qmp = NULL;
	c.net = "n0";
	refused(c, "--net \"n0\"");
	c.net = NULL;
	c.rename = "a/b";
	refused(c, "--rename");
	c = least;
	c.compression = "zstd";
	refused(c, "--multifd");
	c.multifd = 2;
	c.compression = "lz9";
	refused(c, "lz9");
	c = least;
	c.limits.on_timeout = MIGRATE_POSTCOPY;
	c.limits.timeout_s = 3;
	refused(c, "--postcopy");
	c.limits.on_timeout = MIGRATE_SUSPEND;
	c.limits.timeout_s = 0;
	refused(c, "--timeout");
	c = least;
	c.offline = c.postcopy = true;
	refused(c, "--offline");
	c = least;
	c.storage = MIGRATE_STORAGE_NONE;
	c.disks = "a";
	refused(c, "--disks");
	c = least;
	c.qmp = NULL;
	refused(c, "--qmp");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_config_json_gives_back_what_it_got),
	    cmocka_unit_test(test_config_from_json_names_what_is_wrong),
	    cmocka_unit_test(test_config_check_refuses_what_does_not_go_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
