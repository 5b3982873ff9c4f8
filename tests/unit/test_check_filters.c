/* Which rules of nftables hold for a tap, in what nft prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "control/check/check_filters.h"

/* (Debian's nft 1.0.6, of rules of our own, of libvirt's nwfilter and of Proxmox's kind) */
static const char rules[] = "table inet fw {\n"
			    "\tchain input {\n"
			    "\t\ttype filter hook input priority filter; policy drop;\n"
			    "\t\tiif \"lo\" accept\n"
			    "\t\tcomment \"vm\"\n"
			    "\t}\n"
			    "}\n"
			    "table bridge filter {\n"
			    "\tchain FORWARD {\n"
			    "\t\tiifname \"vnet7\" counter packets 0 bytes 0 jump libvirt-I-vnet7\n"
			    "\t\tiifname { \"tap100i0\", \"tap100i1\" } drop\n"
			    "\t}\n"
			    "}\n"
			    "table netdev spoof {\n"
			    "\tchain a {\n"
			    "\t\ttype filter hook ingress devices = { \"vm1\" } priority 0\n"
			    "\t\tiifname \"guest*\" drop\n"
			    "\t}\n"
			    "}\n";

static void expect(const char *interface, const char *table)
{
	char found[32];
	/* a copy that ends where it ends */
	size_t len = strlen(rules);
	char *at = test_malloc(len);

	memcpy(at, rules, len);
	if (check_filters_find(at, len, interface, found, sizeof(found)) != (table != NULL))
		fail_msg("%s: %s", interface, table ? "not found" : found);
	if (table)
		assert_string_equal(found, table);
	test_free(at);
}

static void test_check_filters_finds_the_table_of_a_tap(void **state)
{
	(void)state;
	expect("vnet7", "bridge filter");
	expect("tap100i1", "bridge filter");
	expect("vm1", "netdev spoof");
	expect("guest0", "netdev spoof");
	expect("vnet", NULL);
	expect("vnet70", NULL);
	expect("tap100i", NULL);
	expect("vm2", NULL);
	expect("gues", NULL);
}

/* what nft does not print, but a file might hold */
static void test_check_filters_reads_anything(void **state)
{
	static const char *const odd[] = {"",
					  "\n",
					  "table ",
					  "table {",
					  "table  {\n\"",
					  "\"",
					  "\"\"",
					  "\"vm",
					  "table a b\n\"x\" \"",
					  "table averyveryverylongname\n"};
	char table[8];

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		assert_false(
		    check_filters_find(odd[i], strlen(odd[i]), "vm1", table, sizeof(table)));
	assert_true(check_filters_find("table inet averylongname {\n\"vm1\"", 32, "vm1", table,
				       sizeof(table)));
	assert_string_equal(table, "inet av");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_check_filters_finds_the_table_of_a_tap),
	    cmocka_unit_test(test_check_filters_reads_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
