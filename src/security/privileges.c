/* SPDX-License-Identifier: Apache-2.0 */
/* Order matters: the bounding set needs CAP_SETPCAP, the groups CAP_SETGID, so the capabilities themselves go last. */
#include <security/privileges.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#define DEFAULT_USER "sonde"
/* In the range that systemd keeps for dynamic users (61184..65519): no account is ever made there. */
#define DEFAULT_UID 61947

int sonde_user_find(const char *name, struct sonde_user *ret_user)
{
	const struct passwd *entry = getpwnam(name);

	if (entry)
		*ret_user = (struct sonde_user){entry->pw_uid, entry->pw_gid};
	else if (!strcmp(name, DEFAULT_USER))
		*ret_user = (struct sonde_user){DEFAULT_UID, DEFAULT_UID};
	else
		return -ENOENT;
	return 0;
}

static int capabilities_clear(void)
{
	cap_t none = cap_init();
	int r = none && !cap_set_proc(none) ? 0 : -errno;

	if (none)
		cap_free(none);
	return r;
}

int sonde_privileges_drop(const struct sonde_user *user)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	if (geteuid() == 0) {
		for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
			if (prctl(PR_CAPBSET_DROP, cap))
				return -errno;
		if (setgroups(0, NULL) || setresgid(user->gid, user->gid, user->gid) ||
		    setresuid(user->uid, user->uid, user->uid))
			return -errno;
	}
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* since 4.3 */
	if (prctl(PR_SET_DUMPABLE, 0))
		return -errno;
	return capabilities_clear();
}
