/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters of the qdisc clsact. Each has a random handle, and its owner holds a socket with the name of it in this network
 * namespace, where the interface is too: the kernel takes the name back when the owner ends, however it ends. So a filter
 * with our name on it whose socket is gone was left by one that was killed.
 *
 * Invariant: nothing is removed that does not have our name on it, but a qdisc that we made and that is empty.
 */
#include <bpf/clsact.h>

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/membarrier.h>
#include <linux/pkt_cls.h>
#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <bpf/netlink.h>

/* The filter's name, which `tc filter show` shows too. The second says that the qdisc was made by us. */
static const char *const names[] = {"sonde", "sonde+clsact"};

#define INGRESS TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
#define EGRESS TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)
/* Where nobody is. Lower ones are left to those who name them, and may have other kinds of filters there than ours. */
#define PRIORITY 10
#define PRIORITIES_MAX 100 /* tried, where the first is taken */
#define FOUND_MAX 64

/* ---- who lives ---- */

/* @return A descriptor that has the filter's name; -EADDRINUSE: its owner lives. */
static int life_take(uint32_t handle)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "sonde/clsact/%08x", handle);
	CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address,
			   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)))
		return -errno;
	return TAKE_FD(fd);
}

static bool is_alive(uint32_t handle)
{
	CLEANUP_CLOSE int life = life_take(handle);

	return life < 0;
}

/* ---- what is there ---- */

struct survey {
	unsigned filters;
	uint32_t lowest;  /* priority; 0: none */
	bool made_qdisc;  /* one of ours says so */
	unsigned n_found; /* ours, of other processes too; at most so many at a time */
	struct sonde_clsact_filter found[FOUND_MAX];
};

static bool attribute_is(const struct rtattr *attribute, const char *text)
{
	return attribute && RTA_PAYLOAD(attribute) == strlen(text) + 1 && !memcmp(RTA_DATA(attribute), text, strlen(text) + 1);
}

/* Index in `names`, -1: somebody else's. */
static int name_of(struct rtattr *const attributes[TCA_MAX + 1])
{
	struct rtattr *options[TCA_BPF_MAX + 1];

	if (!attribute_is(attributes[TCA_KIND], "bpf") || !attributes[TCA_OPTIONS])
		return -1;
	sonde_netlink_attributes(RTA_DATA(attributes[TCA_OPTIONS]), RTA_PAYLOAD(attributes[TCA_OPTIONS]), options, TCA_BPF_MAX);
	for (int i = 0; i < (int)ARRAY_SIZE(names); i++)
		if (attribute_is(options[TCA_BPF_NAME], names[i]))
			return i;
	return -1;
}

static void filter_found(const struct tcmsg *tc, struct rtattr *const attributes[TCA_MAX + 1], void *userdata)
{
	struct survey *survey = userdata;
	uint32_t priority = TC_H_MAJ(tc->tcm_info) >> 16;
	int name = name_of(attributes);

	survey->filters++;
	if (!survey->lowest || priority < survey->lowest)
		survey->lowest = priority;
	if (name < 0)
		return;
	survey->made_qdisc |= name;
	if (survey->n_found < FOUND_MAX)
		survey->found[survey->n_found++] = (struct sonde_clsact_filter){
			.interface = (uint32_t)tc->tcm_ifindex, .parent = tc->tcm_parent, .handle = tc->tcm_handle,
			.priority = priority, .made_qdisc = name};
}

/* Adds to `survey`. */
static int survey_take(int fd, uint32_t interface, uint32_t parent, struct survey *survey)
{
	return sonde_tc_list(fd, RTM_GETTFILTER, interface, parent, filter_found, survey);
}

/* ---- the qdisc ---- */

enum place { PLACE_FREE, PLACE_CLSACT, PLACE_TAKEN };

struct place_of {
	uint32_t interface;
	enum place place;
};

static void qdisc_found(const struct tcmsg *tc, struct rtattr *const attributes[TCA_MAX + 1], void *userdata)
{
	struct place_of *of = userdata;

	if ((uint32_t)tc->tcm_ifindex == of->interface && tc->tcm_parent == TC_H_CLSACT)
		of->place = attribute_is(attributes[TCA_KIND], "clsact") ? PLACE_CLSACT : PLACE_TAKEN;
}

static int qdisc_send(int fd, uint16_t type, uint16_t flags, uint32_t interface)
{
	struct sonde_tc_request request;

	sonde_tc_request_init(&request, type, flags, interface, TC_H_CLSACT);
	request.tc.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	sonde_tc_request_put(&request, TCA_KIND, "clsact", sizeof("clsact"));
	return sonde_tc_request_send(fd, &request);
}

/* @return 0: it is there; *ret_made: somebody of us made it. */
static int qdisc_take(int fd, uint32_t interface, bool *ret_made)
{
	struct place_of of = {.interface = interface};
	struct survey survey = {};
	int r = sonde_tc_list(fd, RTM_GETQDISC, 0, 0, qdisc_found, &of);

	if (r < 0)
		return r;
	if (of.place == PLACE_TAKEN)
		return -EBUSY; /* an ingress qdisc, which would take filters for egress too, and run them on what comes in */
	if (of.place == PLACE_FREE) {
		r = qdisc_send(fd, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, interface);
		*ret_made = !r;
		return r == -EEXIST ? 0 : r;
	}
	r = survey_take(fd, interface, INGRESS, &survey);
	r = r ?: survey_take(fd, interface, EGRESS, &survey);
	*ret_made = survey.made_qdisc;
	return r;
}

static void qdisc_leave(int fd, uint32_t interface)
{
	struct survey survey = {};

	if (!survey_take(fd, interface, INGRESS, &survey) && !survey_take(fd, interface, EGRESS, &survey) && !survey.filters)
		(void)qdisc_send(fd, RTM_DELQDISC, 0, interface);
}

/* ---- filters ---- */

static void filter_request(struct sonde_tc_request *request, uint16_t type, uint16_t flags, const struct sonde_clsact_filter *filter)
{
	sonde_tc_request_init(request, type, flags, filter->interface, filter->parent);
	request->tc.tcm_handle = filter->handle;
	request->tc.tcm_info = TC_H_MAKE(filter->priority << 16, htons(ETH_P_ALL));
	sonde_tc_request_put(request, TCA_KIND, "bpf", sizeof("bpf"));
}

static int filter_add(int fd, int program_fd, const struct sonde_clsact_filter *filter)
{
	const char *name = names[filter->made_qdisc];
	uint32_t flags = TCA_BPF_FLAG_ACT_DIRECT;
	struct sonde_tc_request request;
	struct rtattr *options;

	filter_request(&request, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, filter);
	options = sonde_tc_request_put(&request, TCA_OPTIONS, NULL, 0);
	sonde_tc_request_put(&request, TCA_BPF_FD, &program_fd, sizeof(program_fd));
	sonde_tc_request_put(&request, TCA_BPF_NAME, name, strlen(name) + 1);
	sonde_tc_request_put(&request, TCA_BPF_FLAGS, &flags, sizeof(flags));
	sonde_tc_request_nest(&request, options);
	return sonde_tc_request_send(fd, &request);
}

static void filter_remove(int fd, const struct sonde_clsact_filter *filter)
{
	struct sonde_tc_request request;

	filter_request(&request, RTM_DELTFILTER, 0, filter);
	/* Where our filter is gone, the qdisc is perhaps another one too. */
	if (!sonde_tc_request_send(fd, &request) && filter->made_qdisc)
		qdisc_leave(fd, filter->interface);
}

/* What those left that were killed. @return How many filters. */
static unsigned interface_sweep(int fd, uint32_t interface)
{
	struct survey survey = {};
	unsigned removed = 0;

	if (survey_take(fd, interface, INGRESS, &survey) || survey_take(fd, interface, EGRESS, &survey))
		return 0;
	for (unsigned i = 0; i < survey.n_found; i++) {
		if (is_alive(survey.found[i].handle))
			continue;
		filter_remove(fd, &survey.found[i]);
		removed++;
	}
	return removed;
}

/* In front of the first; at the first's own priority, where there is none in front of it: there the newest runs first. */
static int filter_place(int fd, int program_fd, struct sonde_clsact_filter *filter)
{
	struct survey survey = {};
	int r = survey_take(fd, filter->interface, filter->parent, &survey);

	if (r < 0)
		return r;
	filter->priority = !survey.lowest || survey.lowest > PRIORITY ? PRIORITY : survey.lowest - (survey.lowest > 1);
	r = filter_add(fd, program_fd, filter);
	/* Filters of another kind or protocol have the priority for themselves. */
	for (unsigned i = 0; r == -EINVAL && i < PRIORITIES_MAX; i++) {
		filter->priority++;
		r = filter_add(fd, program_fd, filter);
	}
	return r == -EINVAL ? -ENOSPC : r;
}

int sonde_clsact_attach(int program_fd, uint32_t interface, bool egress, struct sonde_clsact_filter *ret_filter)
{
	struct sonde_clsact_filter filter = {.interface = interface, .parent = egress ? EGRESS : INGRESS};
	CLEANUP_CLOSE int fd = sonde_netlink_open(), life = -1;
	int r = fd;

	if (r < 0 || getrandom(&filter.handle, sizeof(filter.handle), 0) != sizeof(filter.handle))
		return r < 0 ? r : -errno;
	filter.handle |= 1; /* 0: the kernel's choice */
	life = life_take(filter.handle);
	if (life < 0)
		return life;
	(void)interface_sweep(fd, interface);
	r = qdisc_take(fd, interface, &filter.made_qdisc);
	if (r < 0)
		return r;
	r = filter_place(fd, program_fd, &filter);
	if (r < 0) {
		if (filter.made_qdisc)
			qdisc_leave(fd, interface);
		return r;
	}
	filter.life = TAKE_FD(life);
	*ret_filter = filter;
	return 0;
}

void sonde_clsact_detach(struct sonde_clsact_filter *filter)
{
	CLEANUP_CLOSE int fd = sonde_netlink_open();

	if (fd >= 0)
		filter_remove(fd, filter);
	close(TAKE_FD(filter->life));
	/* The kernel lets it go when the last packet in it is through, and does not wait for that. */
	(void)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

bool sonde_clsact_is_there(const struct sonde_clsact_filter *filter)
{
	CLEANUP_CLOSE int fd = sonde_netlink_open();
	struct sonde_tc_request request;

	filter_request(&request, RTM_GETTFILTER, 0, filter);
	return fd < 0 || !sonde_tc_request_send(fd, &request); /* who cannot ask does not know that it is gone */
}

/* ---- all interfaces ---- */

struct interfaces {
	unsigned n;
	uint32_t with_clsact[4096];
};

static void interface_found(const struct tcmsg *tc, struct rtattr *const attributes[TCA_MAX + 1], void *userdata)
{
	struct interfaces *interfaces = userdata;

	if (attribute_is(attributes[TCA_KIND], "clsact") && interfaces->n < ARRAY_SIZE(interfaces->with_clsact))
		interfaces->with_clsact[interfaces->n++] = (uint32_t)tc->tcm_ifindex;
}

unsigned sonde_clsact_sweep(void)
{
	CLEANUP_CLOSE int fd = sonde_netlink_open();
	struct interfaces interfaces = {};
	unsigned removed = 0;

	if (fd < 0 || sonde_tc_list(fd, RTM_GETQDISC, 0, 0, interface_found, &interfaces))
		return 0;
	for (unsigned i = 0; i < interfaces.n; i++)
		removed += interface_sweep(fd, interfaces.with_clsact[i]);
	return removed;
}
