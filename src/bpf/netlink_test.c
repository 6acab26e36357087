/* SPDX-License-Identifier: Apache-2.0 */
#include <bpf/netlink.h>

#include <linux/pkt_sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static void what_is_put_is_found(void **state)
{
	struct rtattr *outer, *found[TCA_MAX + 1], *inner[4];
	struct sonde_tc_request request;
	uint32_t number = 0x01020304;

	sonde_tc_request_init(&request, RTM_NEWTFILTER, NLM_F_CREATE, 7, TC_H_CLSACT);
	assert_int_equal(request.header.nlmsg_len, NLMSG_LENGTH(sizeof(struct tcmsg)));
	sonde_tc_request_put(&request, TCA_KIND, "bpf", 4);
	outer = sonde_tc_request_put(&request, TCA_OPTIONS, NULL, 0);
	sonde_tc_request_put(&request, 1, "odd", 3);
	sonde_tc_request_put(&request, 3, &number, sizeof(number));
	sonde_tc_request_nest(&request, outer);
	assert_int_equal(request.header.nlmsg_len % NLMSG_ALIGNTO, 0);

	sonde_netlink_attributes(TCA_RTA(&request.tc), request.header.nlmsg_len - NLMSG_LENGTH(sizeof(struct tcmsg)), found, TCA_MAX);
	assert_int_equal(RTA_PAYLOAD(found[TCA_KIND]), 4);
	assert_string_equal(RTA_DATA(found[TCA_KIND]), "bpf");
	assert_ptr_equal(found[TCA_OPTIONS], outer);
	assert_null(found[TCA_CHAIN]);

	sonde_netlink_attributes(RTA_DATA(outer), RTA_PAYLOAD(outer), inner, 3);
	assert_int_equal(RTA_PAYLOAD(inner[1]), 3);
	assert_null(inner[2]);
	assert_memory_equal(RTA_DATA(inner[3]), &number, sizeof(number));

	sonde_netlink_attributes(RTA_DATA(outer), RTA_PAYLOAD(outer), inner, 2);
	assert_non_null(inner[1]); /* and nothing is written behind the array for the one above */
}

/* Cut at every length: what is not there as a whole is not there. */
static void what_is_cut_off_is_left_out(void **state)
{
	struct rtattr *found[3];
	struct sonde_tc_request request;

	sonde_tc_request_init(&request, RTM_NEWQDISC, 0, 1, TC_H_CLSACT);
	sonde_tc_request_put(&request, 1, "abcd", 4);
	sonde_tc_request_put(&request, 2, "efgh", 4);
	for (size_t length = 0; length <= 16; length++) {
		sonde_netlink_attributes(TCA_RTA(&request.tc), length, found, 2);
		assert_int_equal(found[1] != NULL, length >= 8);
		assert_int_equal(found[2] != NULL, length >= 16);
	}
	TCA_RTA(&request.tc)->rta_len = 3; /* shorter than its own header */
	sonde_netlink_attributes(TCA_RTA(&request.tc), 16, found, 2);
	assert_null(found[1]);
	assert_null(found[2]);
}

static void count(const struct tcmsg *tc, struct rtattr *const attributes[TCA_MAX + 1], void *userdata)
{
	assert_non_null(attributes[TCA_KIND]);
	++*(unsigned *)userdata;
}

/* Anyone may ask. */
static void the_kernel_answers(void **state)
{
	struct sonde_tc_request request;
	int fd = sonde_netlink_open();
	unsigned n = 0;

	assert_true(fd >= 0);
	assert_int_equal(sonde_tc_list(fd, RTM_GETQDISC, 0, 0, count, &n), 0);
	sonde_tc_request_init(&request, RTM_DELQDISC, 0, 2000000000, TC_H_CLSACT);
	assert_true(sonde_tc_request_send(fd, &request) < 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_is_found),
		cmocka_unit_test(what_is_cut_off_is_left_out),
		cmocka_unit_test(the_kernel_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
