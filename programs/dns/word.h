/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file word.h The numbers of DNS by their names in IANA's registry. */

#include <sonde/types.h>

#include "event.h"

enum dns_type {
	DNS_TYPE_A = 1,
	DNS_TYPE_NS = 2,
	DNS_TYPE_CNAME = 5,
	DNS_TYPE_PTR = 12,
	DNS_TYPE_MX = 15,
	DNS_TYPE_AAAA = 28,
	DNS_TYPE_SRV = 33,
	DNS_TYPE_DNAME = 39,
	DNS_TYPE_OPT = 41,
};

/** A number without a name gives TYPE123, CLASS123, RCODE123. `ret_word` has DNS_WORD_SIZE bytes and is filled with NUL. */
void dns_type_word(__u16 type, char *ret_word);
void dns_class_word(__u16 class, char *ret_word);
/** @param rcode With the upper bits that EDNS adds. */
void dns_rcode_word(__u16 rcode, char *ret_word);
