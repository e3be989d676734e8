/*
 * open_files_posix.h - files that are open while they are used, and closed when others need their descriptor.
 *
 * Of a process: all of its stores draw from one number of descriptors, however many files they have.  A file that was not
 * used for the longest is closed; who uses it next opens it again by its path.  Any thread.
 */
#ifndef WK_OPEN_FILES_POSIX_H
#define WK_OPEN_FILES_POSIX_H

#include <stdint.h>

#include "common/base/err.h"

struct open_files;
struct open_file;

/* At most so many are open, and one more for each thread that uses one beyond them. */
struct open_files *wk_open_files_new(uint32_t max);
void wk_open_files_free(struct open_files *files); /* NULL is legal; no file is left */

/* path: taken. Nothing is opened. Never NULL. */
struct open_file *wk_open_file_new(char *path);
/* Nobody uses it; NULL is legal. The file itself stays on disk. */
void wk_open_file_free(struct open_files *files, struct open_file *file);
/* Its descriptor until wk_open_file_done; flags as open(2), beside O_RDWR | O_CLOEXEC. */
int wk_open_file_use(struct open_files *files, struct open_file *file, int flags, int *ret_fd, struct err *err) MUST_CHECK;
void wk_open_file_done(struct open_files *files, struct open_file *file);
const char *wk_open_file_path(const struct open_file *file); /* borrowed */

#endif
