/*
 * The two sockets of a libvirt migration, which have the same path on both hosts: libvirt
 * names each of them once (--migrateuri, --disks-uri). On the destination QEMU makes them, late; on
 * the source adit listens there. DIR/adit-ID-ram.sock and DIR/adit-ID-disks.sock.
 */
#ifndef ADIT_PROXY_LIBVIRT_PATH_H
#define ADIT_PROXY_LIBVIRT_PATH_H

#include "base/addr.h"
#include "base/err.h"

/* libvirt makes this folder, and gives it to the user that its QEMUs run as. */
#define LIBVIRT_PATH_DIR "/var/lib/libvirt/qemu"

enum { LIBVIRT_PATH_ID_MAX = 8 + 1 };

/* The kinds of sockets. */
enum { LIBVIRT_PATH_RAM, LIBVIRT_PATH_DISKS, LIBVIRT_PATH_KINDS };

/* "ram" and "disks". */
const char *libvirt_path_kind_name(int kind);

/* Whether id, of len bytes, is what an ID is: 8 hexadecimal digits in small letters. */
int libvirt_path_is_id(const char *id, size_t len);

/* Whether dir is an absolute path of proper names, in characters that mean nothing in a URI,
 * short enough for both sockets in it. ERR_USAGE. */
int libvirt_path_check_dir(const char *dir, struct err *e);

/* The socket's address; dir and id were checked. */
void libvirt_path_format(struct addr *a, const char *dir, const char *id, int kind);

/* Whether a migration's sockets can be in dir, and nobody is there yet. ERR_ADDRESS, ERR_REFUSED,
 * in words for the far side. */
int libvirt_path_check_place(const char *dir, const char *id, struct err *e);

/*
 * A lock, DIR/adit-ID.lock, says that somebody stands for the two sockets and removes them: a free
 * one is left by a process that was killed.
 */

/* Clears up what such have left in dir, and locks id. A descriptor (close-on-exec), or
 * ERR_REFUSED: another has it, ERR_ADDRESS. */
int libvirt_path_claim(const char *dir, const char *id, struct err *e);

/* Removes the sockets, whoever made them, and the lock; *lock is -1 afterwards, and may be before:
 * nothing. */
void libvirt_path_release(const char *dir, const char *id, int *lock);

#endif
