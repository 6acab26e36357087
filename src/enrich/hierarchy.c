/* SPDX-License-Identifier: Apache-2.0 */
/* Mounted cgroup hierarchies.
 *
 * The id of a cgroup, as bpf_get_current_cgroup_id() and cgroup->kn->id give it, is the inode number of its directory
 * (kernfs, since 5.5 on 64 bit). A kernfs directory's link count is 2 + its subdirectories, so one fstatat() tells both the
 * id and whether there is anything below: most cgroups are leaves, and reading a leaf's 40 to 70 files costs twenty times more. */
#include <enrich/hierarchy.h>

#include <base/cleanup.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

struct mount {
	char *root, *point, *type, *options;
};

static void cleanup_closedir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape_octal(char *text)
{
	char *out = text;

	while (*text) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] >= '0' && text[2] <= '7' &&
		    text[3] >= '0' && text[3] <= '7') {
			*out++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
			text += 4;
		} else {
			*out++ = *text++;
		}
	}
	*out = '\0';
}

/* ID PARENT DEVICE ROOT POINT OPTIONS [TAG...] - TYPE SOURCE SUPER-OPTIONS */
static bool parse_mount(char *line, struct mount *mount)
{
	char *save = NULL, *field = strtok_r(line, " \n", &save);

	*mount = (struct mount){0};
	for (int i = 0; field && strcmp(field, "-"); i++, field = strtok_r(NULL, " \n", &save)) {
		if (i == 3)
			mount->root = field;
		else if (i == 4)
			mount->point = field;
	}
	mount->type = strtok_r(NULL, " \n", &save);
	strtok_r(NULL, " \n", &save);
	mount->options = strtok_r(NULL, " \n", &save);
	if (!mount->point || !mount->options)
		return false;
	unescape_octal(mount->root);
	unescape_octal(mount->point);
	return true;
}

static bool has_option(const char *options, const char *name)
{
	size_t length = strlen(name);

	for (const char *option = options; *option; option += strcspn(option, ","), option += *option == ',')
		if (strcspn(option, ",") == length && !strncmp(option, name, length))
			return true;
	return false;
}

/* What lies above our cgroup namespace is shown as /..; paths then count from what is mounted. */
static const char *prefix_of(const char *root)
{
	return !strcmp(root, "/") || !strncmp(root, "/..", 3) ? "" : root;
}

static int open_mount(const struct mount *mount, bool v1)
{
	CLEANUP_CLOSE int fd = open(mount->point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	/* Something else may be mounted on top. */
	if ((unsigned long)fs.f_type != (v1 ? CGROUP_SUPER_MAGIC : CGROUP2_SUPER_MAGIC))
		return -ENOENT;
	return TAKE_FD(fd);
}

int sonde_hierarchy_open(const char *mountinfo, bool v1, struct sonde_hierarchy *ret_hierarchy)
{
	CLEANUP(sonde_hierarchy_close) struct sonde_hierarchy best = SONDE_HIERARCHY_INIT;
	CLEANUP_FCLOSE FILE *file = fopen(mountinfo, "re");
	CLEANUP_FREE char *line = NULL;
	struct mount mount;
	size_t size = 0;

	if (!file)
		return -errno;
	while (getline(&line, &size, file) > 0) {
		CLEANUP_CLOSE int fd = -1;
		CLEANUP_FREE char *prefix = NULL;

		if (!parse_mount(line, &mount) || strcmp(mount.type, v1 ? "cgroup" : "cgroup2") ||
		    (v1 && !has_option(mount.options, "memory")))
			continue;
		/* Several mounts: the one that shows most. */
		if (best.fd >= 0 && strlen(prefix_of(mount.root)) >= strlen(best.prefix))
			continue;
		fd = open_mount(&mount, v1);
		prefix = strdup(prefix_of(mount.root));
		if (fd < 0 || !prefix)
			continue;
		sonde_hierarchy_close(&best);
		best = (struct sonde_hierarchy){.fd = TAKE_FD(fd), .prefix = TAKE_PTR(prefix)};
	}
	if (best.fd < 0)
		return -ENOENT;
	*ret_hierarchy = best;
	best = (struct sonde_hierarchy)SONDE_HIERARCHY_INIT;
	return 0;
}

void sonde_hierarchy_close(struct sonde_hierarchy *hierarchy)
{
	if (hierarchy->fd >= 0)
		close(hierarchy->fd);
	free(hierarchy->prefix);
	*hierarchy = (struct sonde_hierarchy)SONDE_HIERARCHY_INIT;
}

struct walk {
	sonde_cgroup_fn fn;
	void *userdata;
	int seen;
	size_t length; /* of path */
	char path[PATH_MAX];
};

static bool path_push(struct walk *walk, const char *name)
{
	size_t length = strlen(name);

	if (walk->length + 1 + length >= sizeof(walk->path))
		return false;
	walk->path[walk->length] = '/';
	memcpy(walk->path + walk->length + 1, name, length + 1);
	walk->length += 1 + length;
	return true;
}

/* Takes `fd`. A cgroup that vanishes meanwhile is no error. */
static void walk_children(struct walk *walk, int fd, int depth)
{
	CLEANUP(cleanup_closedir) DIR *dir = fdopendir(fd);
	size_t length = walk->length;
	struct dirent *child;
	struct stat st;

	if (!dir) {
		close(fd);
		return;
	}
	while (walk->seen < SONDE_HIERARCHY_WALK_MAX && (child = readdir(dir))) {
		if (child->d_type != DT_DIR || !strcmp(child->d_name, ".") || !strcmp(child->d_name, ".."))
			continue;
		if (fstatat(fd, child->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !path_push(walk, child->d_name))
			continue;
		walk->seen++;
		walk->fn(st.st_ino, walk->path, walk->userdata);
		if (st.st_nlink > 2 && depth < SONDE_HIERARCHY_DEPTH_MAX) {
			int below = openat(fd, child->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (below >= 0)
				walk_children(walk, below, depth + 1);
		}
		walk->length = length;
		walk->path[length] = '\0';
	}
}

int sonde_hierarchy_walk(const struct sonde_hierarchy *hierarchy, sonde_cgroup_fn fn, void *userdata)
{
	struct walk walk = {.fn = fn, .userdata = userdata};
	struct stat st;
	int fd;

	if (strlen(hierarchy->prefix) >= sizeof(walk.path))
		return -ENAMETOOLONG;
	/* A new description: reading a directory moves its position. */
	fd = openat(hierarchy->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		close(fd);
		return -errno;
	}
	walk.length = strlen(hierarchy->prefix);
	memcpy(walk.path, hierarchy->prefix, walk.length + 1);
	fn(st.st_ino, walk.length ? walk.path : "/", userdata);
	walk.seen = 1;
	walk_children(&walk, fd, 1);
	return walk.seen;
}
