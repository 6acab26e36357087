/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading cgroup files and /proc. What does not fit or does not parse is an error, never a 0.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "sources.h"

#define FILE_SIZE 8192
#define DEPTH_MAX 16

bool sonde_memory_parse_number(const char *text, uint64_t *ret_number)
{
	unsigned long long number;
	char *end;

	if (!strncmp(text, "max", 3)) {
		*ret_number = SONDE_MEMORY_UNLIMITED;
		return true;
	}
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno || (*end && *end != '\n' && *end != ' ' && *end != '\t'))
		return false;
	*ret_number = number;
	return true;
}

bool sonde_memory_parse_field(const char *text, const char *name, uint64_t *ret_number)
{
	size_t length = strlen(name);

	for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
		if (strncmp(line, name, length))
			continue;
		line += length;
		if (*line == ':')
			line++;
		if (*line != ' ' && *line != '\t')
			continue;
		return sonde_memory_parse_number(line + strspn(line, " \t"), ret_number);
	}
	return false;
}

static int percent_after(const char *text, const char *name)
{
	const char *line = strstr(text, name);
	double value;

	if (!line || sscanf(line + strlen(name), " avg10=%lf", &value) != 1 || !(value >= 0 && value <= 100))
		return -1;
	return (int)(value + 0.5);
}

void sonde_memory_parse_pressure(const char *text, struct sonde_memory_pressure *ret_pressure)
{
	ret_pressure->some_pct = percent_after(text, "some");
	ret_pressure->full_pct = percent_after(text, "full");
}

bool sonde_memory_parse_start(const char *text, uint64_t *ret_ticks)
{
	const char *at = strrchr(text, ')');

	/* The command's end is field 2, the start time is field 22. */
	for (int field = 2; at && field < 22; field++) {
		at = strchr(at, ' ');
		at += at != NULL;
	}
	return at && sonde_memory_parse_number(at, ret_ticks);
}

/* The controllers of a line "ID:CONTROLLER,CONTROLLER:PATH"; v2's line, "0::PATH", has none. */
static bool has_memory(const char *controllers, size_t length, bool v1)
{
	static const char memory[] = "memory";

	if (!v1)
		return !length;
	for (const char *word = controllers; word < controllers + length;) {
		size_t n = strcspn(word, ",:");

		if (n == strlen(memory) && !memcmp(word, memory, n))
			return true;
		word += n + 1;
	}
	return false;
}

bool sonde_memory_parse_cgroup(const char *text, bool v1, char ret_path[SONDE_MEMORY_PATH_SIZE])
{
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *controllers = line + strcspn(line, ":\n"), *path;
		size_t length;

		if (*controllers != ':')
			continue;
		controllers++;
		path = controllers + strcspn(controllers, ":\n");
		if (*path != ':' || !has_memory(controllers, (size_t)(path - controllers), v1))
			continue;
		path++;
		length = strcspn(path, "\n");
		if (*path != '/' || length >= SONDE_MEMORY_PATH_SIZE)
			return false;
		memcpy(ret_path, path, length);
		ret_path[length] = '\0';
		return true;
	}
	return false;
}

/* ID PARENT DEVICE ROOT POINT OPTIONS [TAG...] - TYPE SOURCE SUPER-OPTIONS; no cgroup is mounted where a name needs \ooo. */
static bool parse_mount(const char *line, char point[256], bool *ret_v1)
{
	const char *rest = strstr(line, " - ");
	char type[16], options[256];

	if (!rest || sscanf(line, "%*s %*s %*s %*s %255s", point) != 1 ||
	    sscanf(rest, " - %15s %*s %255s", type, options) != 2)
		return false;
	*ret_v1 = !strcmp(type, "cgroup");
	if (!*ret_v1)
		return !strcmp(type, "cgroup2");
	for (char *save = NULL, *word = strtok_r(options, ",", &save); word; word = strtok_r(NULL, ",", &save))
		if (!strcmp(word, "memory"))
			return true;
	return false;
}

static bool has_controller(int fd)
{
	char text[512], *save = NULL;

	if (sonde_memory_file_read(fd, "cgroup.controllers", text, sizeof(text)))
		return false;
	for (char *word = strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save))
		if (!strcmp(word, "memory"))
			return true;
	return false;
}

int sonde_memory_hierarchy_open(const char *mountinfo, struct sonde_memory_hierarchy *ret_hierarchy)
{
	FILE *file = fopen(mountinfo, "re");
	char *line = NULL, point[256];
	int fd = -1;
	size_t size = 0;
	bool v1 = false;

	if (!file)
		return -errno;
	while (fd < 0 && getline(&line, &size, file) > 0) {
		struct statfs fs;

		if (!parse_mount(line, point, &v1))
			continue;
		fd = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		/* Something else may be mounted on top. */
		if (fd >= 0 && (fstatfs(fd, &fs) || (unsigned long)fs.f_type != (v1 ? CGROUP_SUPER_MAGIC : CGROUP2_SUPER_MAGIC) ||
				(!v1 && !has_controller(fd)))) {
			close(fd);
			fd = -1;
		}
	}
	free(line);
	fclose(file);
	if (fd < 0)
		return -ENOENT;
	*ret_hierarchy = (struct sonde_memory_hierarchy){fd, v1};
	return 0;
}

static int read_kept(struct sonde_memory_kept *kept, const struct sonde_memory_hierarchy *h, const char *path, const char *name,
		     char *text, size_t size)
{
	char full[SONDE_MEMORY_PATH_SIZE + 64];

	if (kept->fd < 0)
		snprintf(full, sizeof(full), ".%s/%s", path, name);
	return sonde_memory_kept_read(kept, h->fd, full, text, size);
}

static int read_cgroup(const struct sonde_memory_hierarchy *h, const char *path, const char *name, char *text, size_t size)
{
	struct sonde_memory_kept once = SONDE_MEMORY_NOT_KEPT;
	int r = read_kept(&once, h, path, name, text, size);

	sonde_memory_kept_close(&once);
	return r;
}

const char *sonde_memory_limit_name(const struct sonde_memory_hierarchy *h)
{
	return h->v1 ? "memory.limit_in_bytes" : "memory.max";
}

int sonde_memory_read_limit(const struct sonde_memory_hierarchy *h, const char *path, uint64_t *ret_bytes)
{
	char text[64];
	int r = read_cgroup(h, path, sonde_memory_limit_name(h), text, sizeof(text));

	if (r < 0)
		return r;
	return sonde_memory_parse_number(text, ret_bytes) ? 0 : -EINVAL;
}

/* The kernel writes its 50 lines in ten times the time that it takes to say what is used. */
static int read_cache(struct sonde_memory_kept_cgroup *kept, const struct sonde_memory_hierarchy *h, const char *path)
{
	char text[FILE_SIZE];
	int r = read_kept(&kept->stat, h, path, "memory.stat", text, sizeof(text));

	if (r < 0)
		return r;
	return sonde_memory_parse_field(text, h->v1 ? "total_inactive_file" : "inactive_file", &kept->cache_bytes) ? 0 : -EINVAL;
}

int sonde_memory_read_working_set(struct sonde_memory_kept_cgroup *kept, const struct sonde_memory_hierarchy *h, const char *path,
				  uint64_t calm_bytes, uint64_t *ret_bytes)
{
	char text[64];
	uint64_t used;
	int r = read_kept(&kept->used, h, path, h->v1 ? "memory.usage_in_bytes" : "memory.current", text, sizeof(text));

	if (r < 0)
		return r;
	if (!sonde_memory_parse_number(text, &used))
		return -EINVAL;
	if (used && (used != kept->used_bytes || used >= calm_bytes)) {
		kept->used_bytes = 0;
		r = read_cache(kept, h, path);
		if (r < 0)
			return r;
		kept->used_bytes = used;
	}
	*ret_bytes = used > kept->cache_bytes ? used - kept->cache_bytes : 0;
	return 0;
}

struct walk {
	const struct sonde_memory_hierarchy *hierarchy;
	void (*found)(void *userdata, const char *path, uint64_t inode);
	void *userdata;
	size_t n, max;
	char path[SONDE_MEMORY_PATH_SIZE];
};

/* `length` bytes of walk->path are the directory's. */
static void walk_below(struct walk *walk, size_t length, int depth)
{
	char full[SONDE_MEMORY_PATH_SIZE + 2];
	struct dirent *entry;
	struct stat status;
	DIR *dir;
	int fd;

	snprintf(full, sizeof(full), ".%s", walk->path);
	fd = openat(walk->hierarchy->fd, full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return;
	}
	while (walk->n < walk->max && (entry = readdir(dir))) {
		size_t name = strlen(entry->d_name);

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' || length + 1 + name >= sizeof(walk->path) ||
		    fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW))
			continue;
		walk->path[length] = '/';
		memcpy(&walk->path[length + 1], entry->d_name, name + 1);
		walk->n++;
		walk->found(walk->userdata, walk->path, status.st_ino);
		/* 2 + subdirectories: most cgroups are leaves, and reading their 40 files costs much more than this. */
		if (status.st_nlink != 2 && depth < DEPTH_MAX)
			walk_below(walk, length + 1 + name, depth + 1);
		walk->path[length] = '\0';
	}
	closedir(dir);
}

size_t sonde_memory_walk(const struct sonde_memory_hierarchy *h, const char *path, size_t max,
			 void (*found)(void *userdata, const char *path, uint64_t inode), void *userdata)
{
	struct walk walk = {.hierarchy = h, .found = found, .userdata = userdata, .max = max};
	size_t length = strlen(path);

	if (length >= sizeof(walk.path))
		return 0;
	memcpy(walk.path, path, length + 1);
	walk_below(&walk, length, 0);
	return walk.n;
}

int sonde_memory_read_node(struct sonde_memory_kept *kept, struct sonde_memory_node *ret_node)
{
	struct sonde_memory_node node;
	char text[FILE_SIZE];
	int r = sonde_memory_kept_read(kept, AT_FDCWD, "/proc/meminfo", text, sizeof(text));

	if (r < 0)
		return r;
	if (!sonde_memory_parse_field(text, "MemTotal", &node.total_bytes) ||
	    !sonde_memory_parse_field(text, "MemAvailable", &node.available_bytes) ||
	    !sonde_memory_parse_field(text, "SwapTotal", &node.swap_bytes))
		return -EINVAL;
	if (node.available_bytes > node.total_bytes)
		return -EINVAL;
	node.total_bytes *= 1024;
	node.available_bytes *= 1024;
	node.swap_bytes *= 1024;
	*ret_node = node;
	return 0;
}

void sonde_memory_read_node_pressure(struct sonde_memory_kept *kept, struct sonde_memory_pressure *ret_pressure)
{
	char text[512];

	if (sonde_memory_kept_read(kept, AT_FDCWD, "/proc/pressure/memory", text, sizeof(text)) < 0)
		text[0] = '\0';
	sonde_memory_parse_pressure(text, ret_pressure);
}

void sonde_memory_read_pressure(const struct sonde_memory_hierarchy *h, const char *path,
				struct sonde_memory_pressure *ret_pressure)
{
	char text[512];

	if (read_cgroup(h, path, "memory.pressure", text, sizeof(text)) < 0)
		text[0] = '\0';
	sonde_memory_parse_pressure(text, ret_pressure);
}

static int read_process(uint32_t pid, const char *name, char *text, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
	return sonde_memory_file_read(AT_FDCWD, path, text, size);
}

static uint64_t status_bytes(const char *text, const char *name)
{
	uint64_t kib;

	return sonde_memory_parse_field(text, name, &kib) ? kib * 1024 : UINT64_MAX;
}

int sonde_memory_read_process(uint32_t pid, struct sonde_memory_process *ret_process)
{
	struct sonde_memory_process p = {.pid = pid, .oom_score_adj = -2000};
	char text[FILE_SIZE], *begin, *end;
	uint64_t number;
	size_t length;
	int r = read_process(pid, "stat", text, sizeof(text));

	if (r < 0)
		return r;
	begin = strchr(text, '(');
	end = strrchr(text, ')');
	if (!begin || !end || end < begin || !sonde_memory_parse_start(text, &number))
		return -EINVAL;
	p.start_time_ns = number * (1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK));
	length = (size_t)(end - begin - 1);
	memcpy(p.command, begin + 1, length < sizeof(p.command) ? length : sizeof(p.command) - 1);
	r = read_process(pid, "status", text, sizeof(text));
	if (r < 0)
		return r;
	if (!sonde_memory_parse_field(text, "Uid", &number))
		return -EINVAL;
	p.uid = (uint32_t)number;
	p.anon_bytes = status_bytes(text, "RssAnon");
	p.file_bytes = status_bytes(text, "RssFile");
	p.shmem_bytes = status_bytes(text, "RssShmem");
	p.swap_bytes = status_bytes(text, "VmSwap");
	p.page_table_bytes = status_bytes(text, "VmPTE");
	if (!read_process(pid, "oom_score_adj", text, sizeof(text)))
		p.oom_score_adj = atoi(text);
	*ret_process = p;
	return 0;
}

static int read_statm(struct sonde_memory_kept *kept, uint32_t pid, uint64_t *ret_resident, uint64_t *ret_shared)
{
	unsigned long long resident, shared;
	char path[64], text[128];
	int r;

	if (kept->fd < 0)
		snprintf(path, sizeof(path), "/proc/%u/statm", pid);
	r = sonde_memory_kept_read(kept, AT_FDCWD, path, text, sizeof(text));
	if (r < 0)
		return r;
	if (sscanf(text, "%*u %llu %llu", &resident, &shared) != 2)
		return -EINVAL;
	*ret_resident = resident * (uint64_t)sysconf(_SC_PAGESIZE);
	*ret_shared = shared * (uint64_t)sysconf(_SC_PAGESIZE);
	return 0;
}

int sonde_memory_read_resident(uint32_t pid, uint64_t *ret_bytes)
{
	struct sonde_memory_kept once = SONDE_MEMORY_NOT_KEPT;
	uint64_t shared;
	int r = read_statm(&once, pid, ret_bytes, &shared);

	sonde_memory_kept_close(&once);
	return r;
}

int sonde_memory_read_anonymous(struct sonde_memory_kept *kept, uint32_t pid, uint64_t *ret_bytes)
{
	uint64_t resident, shared;
	int r = read_statm(kept, pid, &resident, &shared);

	if (r < 0)
		return r;
	*ret_bytes = resident > shared ? resident - shared : 0;
	return 0;
}

int sonde_memory_read_start(uint32_t pid, uint64_t *ret_ticks)
{
	char text[FILE_SIZE];
	int r = read_process(pid, "stat", text, sizeof(text));

	if (r < 0)
		return r;
	return sonde_memory_parse_start(text, ret_ticks) ? 0 : -EINVAL;
}

int sonde_memory_read_cgroup(const struct sonde_memory_hierarchy *h, uint32_t pid, char ret_path[SONDE_MEMORY_PATH_SIZE])
{
	char text[FILE_SIZE];
	int r = read_process(pid, "cgroup", text, sizeof(text));

	if (r < 0)
		return r;
	return sonde_memory_parse_cgroup(text, h->v1, ret_path) ? 0 : -EINVAL;
}

static size_t pids_of_node(uint32_t *pids, size_t max)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	uint64_t pid;
	size_t n = 0;

	if (!dir)
		return 0;
	while (n < max && (entry = readdir(dir)))
		if (sonde_memory_parse_number(entry->d_name, &pid) && pid && pid <= UINT32_MAX)
			pids[n++] = (uint32_t)pid;
	closedir(dir);
	return n;
}

size_t sonde_memory_read_pids(const struct sonde_memory_hierarchy *h, const char *path, uint32_t *pids, size_t max)
{
	char full[SONDE_MEMORY_PATH_SIZE + 64];
	unsigned pid;
	size_t n = 0;
	FILE *file;
	int fd;

	if (!h)
		return pids_of_node(pids, max);
	snprintf(full, sizeof(full), ".%s/cgroup.procs", path);
	fd = openat(h->fd, full, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	file = fdopen(fd, "r");
	if (!file) {
		close(fd);
		return 0;
	}
	while (n < max && fscanf(file, "%u", &pid) == 1)
		if (pid) /* 0: of another pid namespace */
			pids[n++] = pid;
	fclose(file);
	return n;
}
