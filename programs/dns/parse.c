/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of messages. Invariant: it reads no byte beyond those captured, whatever the message says of itself, and it
 * ends: each record that is passed takes at least 11 bytes.
 */
#include "parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <schema/encode_text.h>

#include "name.h"
#include "record.h"
#include "word.h"

#define FLAG_TRUNCATED 0x02 /* in the third byte */
#define ABSENT_BOOL 2
#define ABSENT_COUNT UINT32_MAX

/* A record whose data are `skip` bytes and a name: "CNAME www.example.org". */
static int name_text(const struct dns_bytes *message, const struct dns_record *record, const char *word, char *text, size_t size)
{
	const __u8 *data = message->bytes + record->data;
	size_t skip = record->type == DNS_TYPE_MX ? 2 : record->type == DNS_TYPE_SRV ? 6 : 0;
	char name[DNS_NAME_TEXT_MAX];
	int end;

	if (record->length <= skip)
		return -EINVAL;
	/* Not captured is not the same as outside of the data. */
	end = dns_name_read(message->bytes, record->data + record->length, record->data + skip, name);
	if (end < 0 || (size_t)end != record->data + record->length)
		return -EINVAL;
	if (record->type == DNS_TYPE_MX)
		snprintf(text, size, "%s %u %s", word, dns_get16(data), name);
	else if (record->type == DNS_TYPE_SRV)
		snprintf(text, size, "%s %u %u %u %s", word, dns_get16(data), dns_get16(data + 2), dns_get16(data + 4), name);
	else
		snprintf(text, size, "%s %s", word, name);
	return 0;
}

static int ipv4_text(const struct dns_record *record, const __u8 *data, char text[SONDE_TEXT_ADDRESS_SIZE])
{
	uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff};

	if (record->length != 4)
		return -EINVAL;
	memcpy(mapped + 12, data, 4);
	sonde_text_address(mapped, text);
	return 0;
}

/* One answer as text; what has no form of its own is told by type and size. */
static int record_text(const struct dns_bytes *message, const struct dns_record *record, char *text, size_t size)
{
	const __u8 *data = message->bytes + record->data;
	char word[DNS_WORD_SIZE];

	dns_type_word(record->type, word);
	switch (record->type) {
	case DNS_TYPE_A:
		return ipv4_text(record, data, text);
	case DNS_TYPE_AAAA:
		return record->length == 16 && inet_ntop(AF_INET6, data, text, (socklen_t)size) ? 0 : -EINVAL;
	case DNS_TYPE_CNAME:
	case DNS_TYPE_DNAME:
	case DNS_TYPE_NS:
	case DNS_TYPE_PTR:
	case DNS_TYPE_MX:
	case DNS_TYPE_SRV:
		return name_text(message, record, word, text, size);
	default:
		snprintf(text, size, "%s (%zu bytes)", word, record->length);
		return 0;
	}
}

/* Why reading stopped: the message was not all seen, or it says more than it has. */
static void note_end(const struct dns_bytes *message, int error, struct dns *event)
{
	event->incomplete = true;
	if (error != -ENODATA || message->captured >= message->length)
		event->malformed = true;
}

static int answers_read(const struct dns_bytes *message, int offset, struct dns *event)
{
	struct dns_text answers = {.text = event->answers, .size = sizeof(event->answers)};

	for (__u32 i = 0; i < event->answer_count; i++) {
		char text[DNS_NAME_TEXT_MAX + 2 * DNS_WORD_SIZE];
		struct dns_record record;
		int end = dns_record_read(message, (size_t)offset, &record), r;

		if (end < 0) {
			note_end(message, end, event);
			return end;
		}
		r = record_text(message, &record, text, sizeof(text));
		if (r < 0)
			event->malformed = event->incomplete = true;
		if (r == 0) {
			if (answers.length)
				dns_text_add(&answers, ", ");
			dns_text_add(&answers, text);
			if (record.ttl < event->ttl_seconds)
				event->ttl_seconds = record.ttl;
		}
		offset = end;
	}
	event->incomplete |= answers.cut;
	return offset;
}

/* EDNS (RFC 6891) keeps the upper bits of the code in a record of its own, somewhere in the last section. */
static __u16 upper_rcode(const struct dns_bytes *message, int offset, struct dns *event)
{
	__u32 authority = dns_get16(message->bytes + 8), additional = dns_get16(message->bytes + 10);

	for (__u32 i = 0; i < authority + additional; i++) {
		struct dns_record record;

		offset = dns_record_read(message, (size_t)offset, &record);
		if (offset < 0) {
			/* Seen or not, what is missing is no answer: only a lie about it is worth a word. */
			if (offset != -ENODATA || message->captured >= message->length)
				event->malformed = true;
			return 0;
		}
		if (i >= authority && record.type == DNS_TYPE_OPT)
			return (__u16)(record.ttl >> 24 << 4);
	}
	return 0;
}

static int question_parse(const struct dns_bytes *message, struct dns *event)
{
	char text[DNS_NAME_TEXT_MAX];
	int end = dns_question_read(message, text);

	if (end < 0)
		return end;
	event->incomplete = !dns_name_fit(text, event->name, sizeof(event->name));
	event->id = dns_get16(message->bytes);
	dns_type_word(dns_get16(message->bytes + end - 4), event->qtype);
	dns_class_word(dns_get16(message->bytes + end - 2), event->qclass);
	return end;
}

int dns_parse(const struct dns_bytes *message, bool answered, struct dns *ret_event)
{
	__u16 rcode;
	int offset;

	offset = question_parse(message, ret_event);
	if (offset < 0)
		return offset;
	ret_event->answers[0] = ret_event->rcode[0] = '\0';
	ret_event->answer_count = ret_event->ttl_seconds = ABSENT_COUNT;
	ret_event->truncated = ret_event->malformed = ABSENT_BOOL;
	if (!answered)
		return 0;
	ret_event->truncated = (message->bytes[2] & FLAG_TRUNCATED) != 0;
	ret_event->malformed = false;
	ret_event->answer_count = dns_get16(message->bytes + 6);
	rcode = message->bytes[3] & 0xf;
	offset = answers_read(message, offset, ret_event);
	if (offset >= 0)
		rcode |= upper_rcode(message, offset, ret_event);
	dns_rcode_word(rcode, ret_event->rcode);
	return 0;
}
