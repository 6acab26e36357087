/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file secret_text.h
 * Secrets that can be told by the text around them, wherever they stand: KEY=value, "key": "value", headers, URLs with
 * a password, and tokens whose first letters name their issuer.
 */

#include <sonde/types.h>
#include <stdbool.h>
#include <stddef.h>

/** A command line that is being looked through; what is to be hidden is only marked. */
struct sonde_line {
	const char *text;
	size_t length;
	bool hidden[SONDE_RECORD_MAX];
};

struct sonde_span {
	size_t start, end;
};

enum sonde_word_kind {
	SONDE_WORD_PLAIN,
	SONDE_WORD_SHELL,  /* commands: a value ends at white space */
	SONDE_WORD_HEADER, /* "Name:value" of a protocol */
};

void sonde_line_hide(struct sonde_line *line, size_t start, size_t end);
/** Mark the secrets in one word. */
void sonde_secret_text_mark(struct sonde_line *line, struct sonde_span word, enum sonde_word_kind kind);
