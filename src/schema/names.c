/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of names; protocols by https://www.iana.org/assignments/protocol-numbers, the rest by the C library. */
#include <schema/names.h>

#include <base/cleanup.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* The kernel gives 32 and 33 to the C library's threads; SIGRTMIN as users know it (kill -l) begins behind them. */
#define SIGNAL_REALTIME_MIN 34
#define SIGNAL_REALTIME_MAX 64

static const char *const protocols[256] = {
	[0] = "HOPOPT",	     [1] = "ICMP",	   [2] = "IGMP",	     [3] = "GGP",	  [4] = "IPv4",
	[5] = "ST",	     [6] = "TCP",	   [7] = "CBT",		     [8] = "EGP",	  [9] = "IGP",
	[17] = "UDP",	     [27] = "RDP",	   [33] = "DCCP",	     [36] = "XTP",	  [41] = "IPv6",
	[43] = "IPv6-Route", [44] = "IPv6-Frag",   [46] = "RSVP",	     [47] = "GRE",	  [50] = "ESP",
	[51] = "AH",	     [58] = "IPv6-ICMP",   [59] = "IPv6-NoNxt",	     [60] = "IPv6-Opts",  [88] = "EIGRP",
	[89] = "OSPFIGP",    [92] = "MTP",	   [94] = "IPIP",	     [97] = "ETHERIP",	  [98] = "ENCAP",
	[103] = "PIM",	     [108] = "IPComp",	   [112] = "VRRP",	     [115] = "L2TP",	  [132] = "SCTP",
	[133] = "FC",	     [136] = "UDPLite",	   [135] = "Mobility Header", [137] = "MPLS-in-IP",
	[138] = "manet",     [139] = "HIP",	   [140] = "Shim6",	     [141] = "WESP",	  [142] = "ROHC",
	[143] = "Ethernet",  [144] = "AGGFRAG",	   [145] = "NSH",
};

/* include/linux/errno.h: never meant for user space, but hooks inside the kernel see them. */
static const char *const kernel_errors[] = {
	[512 - 512] = "ERESTARTSYS",	 [513 - 512] = "ERESTARTNOINTR",	[514 - 512] = "ERESTARTNOHAND",
	[515 - 512] = "ENOIOCTLCMD",	 [516 - 512] = "ERESTART_RESTARTBLOCK", [517 - 512] = "EPROBE_DEFER",
	[518 - 512] = "EOPENSTALE",	 [519 - 512] = "ENOPARAM",		[521 - 512] = "EBADHANDLE",
	[522 - 512] = "ENOTSYNC",	 [523 - 512] = "EBADCOOKIE",		[524 - 512] = "ENOTSUPP",
	[525 - 512] = "ETOOSMALL",	 [526 - 512] = "ESERVERFAULT",		[527 - 512] = "EBADTYPE",
	[528 - 512] = "EJUKEBOX",	 [529 - 512] = "EIOCBQUEUED",		[530 - 512] = "ERECALLCONFLICT",
	[531 - 512] = "ENOGRACE",
};

static char signals[SIGNAL_REALTIME_MAX + 1][16];
static pthread_once_t signals_once = PTHREAD_ONCE_INIT;

const char *sonde_protocol_name(uint64_t protocol)
{
	return protocol < ARRAY_SIZE(protocols) ? protocols[protocol] : NULL;
}

const char *sonde_errno_name(uint64_t number)
{
	if (number == 95)
		return "EOPNOTSUPP"; /* one number, two names in C; this is the one of network errors */
	if (number < 512)
		return number ? strerrorname_np((int)number) : NULL;
	return number - 512 < ARRAY_SIZE(kernel_errors) ? kernel_errors[number - 512] : NULL;
}

static void signals_fill(void)
{
	for (int i = 1; i < SIGNAL_REALTIME_MIN; i++) {
		const char *name = sigabbrev_np(i);

		if (name)
			snprintf(signals[i], sizeof(signals[i]), "SIG%s", name);
	}
	for (int i = SIGNAL_REALTIME_MIN; i <= SIGNAL_REALTIME_MAX; i++)
		snprintf(signals[i], sizeof(signals[i]), i == SIGNAL_REALTIME_MIN ? "SIGRTMIN" : "SIGRTMIN+%d",
			 i - SIGNAL_REALTIME_MIN);
}

const char *sonde_signal_name(uint64_t number)
{
	pthread_once(&signals_once, signals_fill);
	return number < ARRAY_SIZE(signals) && signals[number][0] ? signals[number] : NULL;
}
