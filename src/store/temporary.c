/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariant: `bytes` is the size of all open temporary files, and never above `max_bytes`. What is refused fails the one statement
 * that wanted it, with a text for sonde_store_error(); SQLite's own code for it says only "full".
 */
#include <store/temporary.h>

#include <store/backend.h>

#include <base/cleanup.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define LOOK_BYTES (1u << 20) /* the disk's room is asked for once for so many */

struct sonde_temporary {
	sqlite3_vfs vfs; /* first: SQLite gives its address back */
	sqlite3_vfs *base;
	char name[40], folder[PATH_MAX];
	uint64_t max_bytes;
	_Atomic uint64_t bytes;
};

struct file {
	sqlite3_file base;
	struct sonde_temporary *temporary;
	int fd;
	uint64_t bytes, looked_at;
};

static int file_close(sqlite3_file *base)
{
	struct file *file = (struct file *)base;

	close(file->fd);
	file->temporary->bytes -= file->bytes;
	return SQLITE_OK;
}

static int file_read(sqlite3_file *base, void *out, int length, sqlite3_int64 offset)
{
	size_t done = 0;

	while (done < (size_t)length) {
		ssize_t n = pread(((struct file *)base)->fd, (char *)out + done, (size_t)length - done, offset + (off_t)done);

		if (n < 0 && errno != EINTR)
			return SQLITE_IOERR_READ;
		if (!n) {
			memset((char *)out + done, 0, (size_t)length - done);
			return SQLITE_IOERR_SHORT_READ;
		}
		done += n > 0 ? (size_t)n : 0;
	}
	return SQLITE_OK;
}

static int disk_full(const struct sonde_temporary *temporary)
{
	sonde_store_fail(-ENOSPC, "the disk of '%s' has too little room left for the rows that the statement has to sort or to group: ask for a "
			 "shorter span of time, or count with 'sonde count --by'", temporary->folder);
	return SQLITE_FULL;
}

/* The store, and whatever else is on that disk, must not run out of room for a question's sake. */
static bool disk_has_room(struct file *file, uint64_t bytes)
{
	struct statvfs disk;

	if (bytes - file->looked_at < LOOK_BYTES && file->looked_at)
		return true;
	file->looked_at = bytes;
	return fstatvfs(file->fd, &disk) || file->temporary->bytes <= (uint64_t)disk.f_bavail * disk.f_frsize;
}

static int file_grow(struct file *file, uint64_t bytes)
{
	struct sonde_temporary *temporary = file->temporary;
	uint64_t more = bytes - file->bytes;

	if ((temporary->bytes += more) > temporary->max_bytes) {
		temporary->bytes -= more;
		sonde_store_fail(-ENOSPC, "the rows that the statement has to sort or to group take more than %llu MiB: ask for a shorter "
				 "span of time or fewer columns, or count with 'sonde count --by'",
				 (unsigned long long)temporary->max_bytes >> 20);
		return SQLITE_FULL;
	}
	file->bytes = bytes;
	return disk_has_room(file, bytes) ? SQLITE_OK : disk_full(temporary);
}

static int file_write(sqlite3_file *base, const void *in, int length, sqlite3_int64 offset)
{
	struct file *file = (struct file *)base;
	uint64_t end = (uint64_t)offset + (uint64_t)length;
	int code = end > file->bytes ? file_grow(file, end) : SQLITE_OK;
	size_t done = 0;

	while (!code && done < (size_t)length) {
		ssize_t n = pwrite(file->fd, (const char *)in + done, (size_t)length - done, offset + (off_t)done);

		if (n < 0 && (errno == ENOSPC || errno == EDQUOT))
			return disk_full(file->temporary);
		if (n < 0 && errno != EINTR)
			return SQLITE_IOERR_WRITE;
		done += n > 0 ? (size_t)n : 0;
	}
	return code;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 bytes)
{
	struct file *file = (struct file *)base;

	if ((uint64_t)bytes > file->bytes)
		return file_grow(file, (uint64_t)bytes);
	if (ftruncate(file->fd, bytes))
		return SQLITE_IOERR_TRUNCATE;
	file->temporary->bytes -= file->bytes - (uint64_t)bytes;
	file->bytes = (uint64_t)bytes;
	return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *ret_bytes)
{
	*ret_bytes = (sqlite3_int64)((struct file *)base)->bytes;
	return SQLITE_OK;
}

/* Nobody else sees it, and it need not outlive anything. */
static int file_sync(sqlite3_file *base, int flags)
{
	return SQLITE_OK;
}

static int file_lock(sqlite3_file *base, int level)
{
	return SQLITE_OK;
}

static int file_is_reserved(sqlite3_file *base, int *ret_reserved)
{
	*ret_reserved = 0;
	return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int operation, void *argument)
{
	return SQLITE_NOTFOUND;
}

static int file_sector_size(sqlite3_file *base)
{
	return 4096;
}

static int file_characteristics(sqlite3_file *base)
{
	return 0;
}

static const sqlite3_io_methods file_methods = {
	.iVersion = 1, .xClose = file_close, .xRead = file_read, .xWrite = file_write, .xTruncate = file_truncate, .xSync = file_sync,
	.xFileSize = file_size, .xLock = file_lock, .xUnlock = file_lock, .xCheckReservedLock = file_is_reserved,
	.xFileControl = file_control, .xSectorSize = file_sector_size, .xDeviceCharacteristics = file_characteristics,
};

/* Not every file system knows O_TMPFILE. */
static int nameless(const char *folder)
{
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char name[PATH_MAX + 16];

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
		return fd;
	snprintf(name, sizeof(name), "%s/.sonde-XXXXXX", folder);
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		unlink(name);
	return fd;
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *ret_flags)
{
	struct sonde_temporary *temporary = (struct sonde_temporary *)vfs;
	struct file *file = (struct file *)base;

	if (name)
		return temporary->base->xOpen(temporary->base, name, base, flags, ret_flags);
	*file = (struct file){.temporary = temporary, .fd = nameless(temporary->folder)};
	if (file->fd < 0) {
		sonde_store_fail(-errno, "the rows that the statement has to sort or to group cannot be put into '%s': %s", temporary->folder,
				 strerror(errno));
		return SQLITE_CANTOPEN;
	}
	file->base.pMethods = &file_methods;
	if (ret_flags)
		*ret_flags = flags;
	return SQLITE_OK;
}

int sonde_temporary_new(const char *folder, uint64_t max_bytes, struct sonde_temporary **ret_temporary)
{
	struct sonde_temporary *temporary CLEANUP_FREE = calloc(1, sizeof(*temporary));

	if (!temporary)
		return -ENOMEM;
	temporary->base = sqlite3_vfs_find(NULL);
	temporary->max_bytes = max_bytes;
	snprintf(temporary->folder, sizeof(temporary->folder), "%s", folder);
	snprintf(temporary->name, sizeof(temporary->name), "sonde-%p", (void *)temporary);
	temporary->vfs = *temporary->base;
	temporary->vfs.pNext = NULL;
	temporary->vfs.zName = temporary->name;
	temporary->vfs.xOpen = vfs_open;
	if (temporary->vfs.szOsFile < (int)sizeof(struct file))
		temporary->vfs.szOsFile = sizeof(struct file);
	if (sqlite3_vfs_register(&temporary->vfs, 0))
		return -ENOMEM;
	*ret_temporary = TAKE_PTR(temporary);
	return 0;
}

void sonde_temporary_free(struct sonde_temporary **temporary)
{
	if (*temporary)
		sqlite3_vfs_unregister(&(*temporary)->vfs);
	free(*temporary);
	*temporary = NULL;
}

const char *sonde_temporary_vfs(const struct sonde_temporary *temporary)
{
	return temporary->name;
}

uint64_t sonde_temporary_bytes(const struct sonde_temporary *temporary)
{
	return temporary->bytes;
}
