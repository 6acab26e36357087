/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's file as a whole: what may stand at its path, a new one, and a damaged one moved away. A new file appears at its
 * path only when it is complete, so that a file without our marks there is never one of ours that was just being made.
 * No descriptor of the database is opened and closed here beside SQLite's: that would drop its locks (POSIX). The one of
 * sqlite_file_lock() is closed after SQLite's.
 */
#include <store/sqlite.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/log.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define SET_ASIDE_MAX 5
/* A worker whose loader was killed still saves what is in the rings: the next agent waits for it. */
#define LOCK_WAIT_NS (5 * SONDE_NS_PER_S)
#define LOCK_PAUSE_NS (50 * SONDE_NS_PER_MS)

/* Where in its index SQLite locks the five marks of readers: sqlite.org/walformat.html. */
#define READ_LOCKS 123

static const char *const companions[] = {"", "-wal", "-shm", "-journal"};

static int plain_file(const char *path)
{
	struct stat st;

	if (lstat(path, &st))
		return errno == ENOENT ? -ENOENT : sonde_store_fail(-errno, "cannot look at '%s': %s", path, strerror(errno));
	if (S_ISLNK(st.st_mode))
		return sonde_store_fail(-ELOOP, "'%s' is a symbolic link; give the file itself", path);
	if (!S_ISREG(st.st_mode))
		return sonde_store_fail(S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL, "'%s' is not a regular file", path);
	if (st.st_nlink != 1)
		return sonde_store_fail(-EMLINK, "'%s' has a second name (hard link); remove it first", path);
	return 0;
}

int sqlite_file_check(const char *path)
{
	char name[PATH_MAX];
	int r, result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(companions); i++) {
		if ((size_t)snprintf(name, sizeof(name), "%s%s", path, companions[i]) >= sizeof(name))
			return sonde_store_fail(-ENAMETOOLONG, "the path of the store is too long");
		r = plain_file(name);
		if (r && r != -ENOENT)
			return r;
		if (!i)
			result = r;
	}
	return result;
}

static int database_fill(const char *path)
{
	sqlite3 *db = NULL;
	int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
	int r;

	if (!code)
		code = sqlite_schema_create(db);
	r = code ? sqlite_fail(db, code, "cannot make a new store") : 0;
	sqlite3_close(db);
	return r;
}

/* A log without its database must not be: SQLite would play it into the new one. */
static int remove_strays(const char *path)
{
	char name[PATH_MAX];
	int r = 0;

	for (size_t i = 1; i < ARRAY_SIZE(companions) && !r; i++) {
		snprintf(name, sizeof(name), "%s%s", path, companions[i]);
		if (!access(name, F_OK))
			r = sqlite_file_set_aside(path, "a log without its database", name, sizeof(name));
	}
	return r;
}

static int make_empty(const char *name)
{
	int fd, r;

	if (unlink(name) && errno != ENOENT)
		return sonde_store_fail(-errno, "cannot remove '%s': %s", name, strerror(errno));
	fd = open(name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd < 0)
		return sonde_store_fail(-errno, "cannot make '%s': %s", name, strerror(errno));
	r = fchmod(fd, 0640) ? -errno : 0; /* whatever the umask; the log gets the same mode from SQLite */
	close(fd);
	return r ? r : database_fill(name);
}

int sqlite_file_probe(const char *path)
{
	char name[PATH_MAX];
	int fd;

	snprintf(name, sizeof(name), "%s.new", path);
	fd = open(name, O_CREAT | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	unlink(name);
	return 0;
}

int sqlite_file_create(const char *path, const char *from)
{
	char name[PATH_MAX];
	int r = remove_strays(path);

	if (r)
		return r;
	if ((size_t)snprintf(name, sizeof(name), "%s.new", path) >= sizeof(name))
		return sonde_store_fail(-ENAMETOOLONG, "the path of the store is too long");
	r = make_empty(name);
	if (!r && from && sqlite_salvage(from, name))
		r = make_empty(name);
	if (!r && rename(name, path))
		r = sonde_store_fail(-errno, "cannot rename '%s': %s", name, strerror(errno));
	if (r)
		unlink(name);
	return r;
}

/* Damage that comes back must not fill the disk with evidence: the names sort by time. */
static void set_aside_limit(const char *path)
{
	char pattern[PATH_MAX];
	glob_t found;

	if ((size_t)snprintf(pattern, sizeof(pattern), "%s.damaged-*Z", path) >= sizeof(pattern))
		return;
	if (glob(pattern, 0, NULL, &found))
		return;
	for (size_t i = 0; i + SET_ASIDE_MAX < found.gl_pathc; i++)
		for (size_t j = 0; j < ARRAY_SIZE(companions); j++) {
			snprintf(pattern, sizeof(pattern), "%s%s", found.gl_pathv[i], companions[j]);
			unlink(pattern);
		}
	globfree(&found);
}

/* UTC with milliseconds: two in one second are two files. */
static void set_aside_name(const char *path, char *out, size_t size)
{
	int64_t now = sonde_clock_wall_ns();
	time_t seconds = (time_t)(now / SONDE_NS_PER_S);
	char text[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y%m%dT%H%M%S", &tm);
	snprintf(out, size, "%s.damaged-%s.%03dZ", path, text, (int)(now % SONDE_NS_PER_S / SONDE_NS_PER_MS));
}

int sqlite_file_set_aside(const char *path, const char *reason, char *ret_name, size_t size)
{
	char name[PATH_MAX - 16], from[PATH_MAX], to[PATH_MAX], why[200];

	snprintf(why, sizeof(why), "%s", reason); /* may be the text of this thread's last error */
	set_aside_name(path, name, sizeof(name));
	for (size_t i = 0; i < ARRAY_SIZE(companions); i++) {
		snprintf(from, sizeof(from), "%s%s", path, companions[i]);
		snprintf(to, sizeof(to), "%s%s", name, companions[i]);
		if (rename(from, to) && errno != ENOENT)
			return sonde_store_fail(-errno, "cannot set aside '%s': %s", from, strerror(errno));
	}
	sonde_log_warning("the store '%s' is damaged (%s): it is now '%s', and a new one begins", path, why, name);
	snprintf(ret_name, size, "%s", name);
	set_aside_limit(path);
	return 0;
}

bool sqlite_file_is(const char *path, int fd)
{
	struct stat at_path, open_one;

	if (fstat(fd, &open_one))
		return true;
	if (lstat(path, &at_path))
		return errno != ENOENT && errno != ENOTDIR;
	return at_path.st_dev == open_one.st_dev && at_path.st_ino == open_one.st_ino;
}

static ino_t inode_of(const char *path, const char *companion, dev_t *device)
{
	char name[PATH_MAX];
	struct stat st;

	snprintf(name, sizeof(name), "%s%s", path, companion);
	if (lstat(name, &st))
		return 0;
	*device = st.st_dev;
	return st.st_ino;
}

void sqlite_file_log(const char *path, struct sqlite_log *ret_log)
{
	*ret_log = (struct sqlite_log){};
	ret_log->log = inode_of(path, "-wal", &ret_log->device);
	ret_log->index = inode_of(path, "-shm", &ret_log->device);
}

bool sqlite_file_log_is(const char *path, const struct sqlite_log *log)
{
	struct sqlite_log now;

	sqlite_file_log(path, &now);
	return now.device == log->device && now.log == log->log && now.index == log->index;
}

/* The index of the log is in use by our readers of the old file: another file needs one of its own. */
int sqlite_file_clean(const char *path, bool log_is_ours)
{
	char name[PATH_MAX];
	struct stat st;

	snprintf(name, sizeof(name), "%s-shm", path);
	if (unlink(name) && errno != ENOENT)
		return sonde_store_fail(-errno, "cannot remove '%s': %s", name, strerror(errno));
	snprintf(name, sizeof(name), "%s-wal", path);
	if (!stat(name, &st) && !st.st_size)
		unlink(name);
	return log_is_ours || access(path, F_OK) ? remove_strays(path) : 0;
}

int sqlite_file_lock(const char *path)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
	int64_t end = sonde_clock_boot_ns() + LOCK_WAIT_NS;

	if (fd < 0 && errno == EACCES)
		return sonde_store_fail(-errno, "cannot open '%s': it is not the worker's: chown %u:%u it, and what stands beside it",
					path, geteuid(), getegid());
	if (fd < 0)
		return sonde_store_fail(-errno, "cannot open '%s': %s", path, strerror(errno));
	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK)
			return sonde_store_fail(-errno, "cannot lock '%s': %s", path, strerror(errno));
		if (sonde_clock_boot_ns() > end)
			return sonde_store_fail(-EBUSY, "another agent writes to it; give this one a store of its own");
		nanosleep(&pause, NULL);
	}
	return TAKE_FD(fd);
}

static uint64_t bytes_of(const char *path, const char *companion)
{
	char name[PATH_MAX];
	struct stat st;

	snprintf(name, sizeof(name), "%s%s", path, companion);
	return stat(name, &st) ? 0 : (uint64_t)st.st_size;
}

uint64_t sqlite_file_log_bytes(const char *path)
{
	return bytes_of(path, "-wal");
}

uint64_t sqlite_file_bytes(const char *path)
{
	return bytes_of(path, "") + sqlite_file_log_bytes(path);
}

/* Not by asking for the lock: to open and close the index here would drop SQLite's own locks. */
int sqlite_file_reader(const char *path)
{
	FILE *locks CLEANUP_FCLOSE = fopen("/proc/locks", "re");
	char line[160], name[PATH_MAX];
	unsigned long inode, from;
	struct stat st;
	int pid;

	snprintf(name, sizeof(name), "%s-shm", path);
	if (!locks || stat(name, &st))
		return 0;
	while (fgets(line, sizeof(line), locks))
		if (sscanf(line, "%*u: POSIX %*s READ %d %*x:%*x:%lu %lu", &pid, &inode, &from) == 3 && inode == st.st_ino &&
		    from >= READ_LOCKS && from < READ_LOCKS + 5 && pid != getpid())
			return pid;
	return 0;
}
