/* SPDX-License-Identifier: Apache-2.0 */
/* IANA's registry "Domain Name System (DNS) Parameters": what is in use. */
#include "word.h"

#include <stdio.h>
#include <string.h>

#define N(array) (sizeof(array) / sizeof((array)[0]))

static const char types[][DNS_WORD_SIZE] = {
	[1] = "A",	    [2] = "NS",	      [5] = "CNAME",	   [6] = "SOA",	   [10] = "NULL",   [11] = "WKS",
	[12] = "PTR",	    [13] = "HINFO",   [14] = "MINFO",	   [15] = "MX",	   [16] = "TXT",    [17] = "RP",
	[18] = "AFSDB",	    [24] = "SIG",     [25] = "KEY",	   [28] = "AAAA",  [29] = "LOC",    [33] = "SRV",
	[35] = "NAPTR",	    [36] = "KX",      [37] = "CERT",	   [39] = "DNAME", [41] = "OPT",    [42] = "APL",
	[43] = "DS",	    [44] = "SSHFP",   [45] = "IPSECKEY",   [46] = "RRSIG", [47] = "NSEC",   [48] = "DNSKEY",
	[49] = "DHCID",	    [50] = "NSEC3",   [51] = "NSEC3PARAM", [52] = "TLSA",  [53] = "SMIMEA", [55] = "HIP",
	[59] = "CDS",	    [60] = "CDNSKEY", [61] = "OPENPGPKEY", [62] = "CSYNC", [63] = "ZONEMD", [64] = "SVCB",
	[65] = "HTTPS",	    [99] = "SPF",     [249] = "TKEY",	   [250] = "TSIG", [251] = "IXFR",  [252] = "AXFR",
	[255] = "ANY",	    [256] = "URI",    [257] = "CAA",
};

static const char classes[][DNS_WORD_SIZE] = {[1] = "IN", [3] = "CH", [4] = "HS", [254] = "NONE", [255] = "ANY"};

static const char rcodes[][DNS_WORD_SIZE] = {
	"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE",
	"DSOTYPENI",
	[16] = "BADVERS", [17] = "BADKEY", [18] = "BADTIME", [19] = "BADMODE", [20] = "BADNAME", [21] = "BADALG", [22] = "BADTRUNC",
	[23] = "BADCOOKIE",
};

static void word(const char (*table)[DNS_WORD_SIZE], size_t n, const char *otherwise, __u16 number, char *ret_word)
{
	memset(ret_word, 0, DNS_WORD_SIZE);
	if (number < n && table[number][0])
		memcpy(ret_word, table[number], DNS_WORD_SIZE);
	else
		snprintf(ret_word, DNS_WORD_SIZE, "%s%u", otherwise, number);
}

void dns_type_word(__u16 type, char *ret_word)
{
	word(types, N(types), "TYPE", type, ret_word);
}

void dns_class_word(__u16 class, char *ret_word)
{
	word(classes, N(classes), "CLASS", class, ret_word);
}

void dns_rcode_word(__u16 rcode, char *ret_word)
{
	word(rcodes, N(rcodes), "RCODE", rcode, ret_word);
}
