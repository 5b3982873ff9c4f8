/* Folders of our own making. */
#ifndef ADIT_BASE_DIR_H
#define ADIT_BASE_DIR_H

struct stat;

/* Removes the folder at path and what is directly in it, but no folders within. Best
 * effort; safe after fork. A link in its place is not followed, and stays. 0 when nothing is at
 * path any more, else -1 with errno. */
int dir_remove(const char *path);

/* Likewise the folder name in the open folder parent (O_PATH will do), if it is the one that is
 * (its device and inode; NULL: any): -1 with ESTALE if it is not. */
int dir_remove_at(int parent, const char *name, const struct stat *is);

/* Opens the folder that path is in, for the calls that end in _at. The caller closes it; *name is
 * the rest of path. -1 with errno. */
int dir_open_parent(const char *path, const char **name);

#endif
