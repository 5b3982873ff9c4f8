/* Folders of our own making. */
#ifndef ADIT_BASE_DIR_H
#define ADIT_BASE_DIR_H

/* Removes the folder at path and what is directly in it, but no folders within. Best
 * effort; safe after fork. */
void dir_remove(const char *path);

#endif
