/* A migration's wishes in its first cookie, and the choice of disks: see migrate_wish.h. */
#include "control/wish/migrate_wish.h"

#include "control/vm.h"

int migrate_wish_networks(const struct migrate_config *c, json_t *vm, struct err *e)
{
	return vmdesc_net_select(vm, c->net, e);
}

int migrate_wish_select(const struct migrate_config *c, json_t *disks, struct err *e)
{
	const char *spec = c->storage == MIGRATE_STORAGE_NONE ? "none"
			   : c->disks			      ? c->disks
							      : "all";
	int r = vmdesc_select(disks, spec, e);

	if (r == 0 && c->storage == MIGRATE_STORAGE_INC)
		r = vmdesc_check_inc(disks, e);
	/* A QEMU that waits has its own. */
	if (r == 0 && !c->dest_qmp)
		media_select(disks, c->media);
	if (r == 0 && c->target)
		r = vmdesc_target(disks, c->target, e);
	if (r == 0 && c->storages)
		r = vmdesc_storage(disks, c->storages, e);
	return r;
}

void migrate_wish_tell(const struct migrate_config *c, json_t *msg)
{
	if (c->dest_qmp)
		json_object_set_new(msg, "dest_qmp", json_string(c->dest_qmp));
	if (c->storage != MIGRATE_STORAGE_ALL)
		json_object_set_new(msg, "storage", json_string(migrate_storage_name(c->storage)));
	if (c->rename)
		json_object_set_new(msg, "rename", json_string(c->rename));
	if (c->persistent)
		json_object_set_new(msg, "persistent", json_true());
	if (c->multifd)
		json_object_set_new(msg, "multifd", json_integer(c->multifd));
	if (c->compression)
		json_object_set_new(msg, "compression", json_string(c->compression));
	if (c->xbzrle)
		json_object_set_new(msg, "xbzrle", json_true());
	if (c->postcopy)
		json_object_set_new(msg, "postcopy", json_true());
}
