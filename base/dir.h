/* Folders of our own making. */
#ifndef ADIT_BASE_DIR_H
#define ADIT_BASE_DIR_H

/* Removes the folder at path and what is directly in it, but no folders within. Best
 * effort; safe after fork. 0 when nothing is at path any more, else -1 with errno. */
int dir_remove(const char *path);

#endif
